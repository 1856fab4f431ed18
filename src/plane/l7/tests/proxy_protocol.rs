use std::sync::Arc;

use super::world::*;
use crate::snapshot::{Backend, ProxyProtocol, Target};

fn told(to: Target, version: ProxyProtocol) -> Target {
    let backend = Backend { proxy_protocol: Some(version), ..Backend::clone(&to.backend) };
    Target { backend: Arc::new(backend), ..to }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn an_endpoint_is_told_of_each_client_before_its_first_request() {
    run(async {
        let origin = Manual::new().await;
        let mut world = World::new().await;
        let to = told(target("web", &[origin.addr]), ProxyProtocol::V1);
        world.publish(all(forward_to(to)), None);
        let mut connections = Vec::new();
        for _ in 0..2 {
            let mut client = world.client().await;
            let from = client.stream.local_addr().expect("an address").port();
            client.send(GET).await;
            // a client does not come by the connection of another one, which is free
            let mut upstream = origin.accept().await;
            let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {from} {}\r\n", world.addr.port());
            assert_eq!(upstream.until("\r\n").await, line);
            assert!(upstream.head().await.starts_with("GET / HTTP/1.1\r\n"));
            upstream.send(OK).await;
            client.until("ok").await;
            client.send(GET).await;
            assert!(upstream.head().await.starts_with("GET / HTTP/1.1\r\n"), "and is told once");
            upstream.send(OK).await;
            client.until("ok").await;
            connections.push((client, upstream));
        }
    });
}

#[test]
fn an_endpoint_is_told_in_binary_where_its_service_says_so() {
    run(async {
        let origin = Manual::new().await;
        let mut world = World::new().await;
        let to = told(target("web", &[origin.addr]), ProxyProtocol::V2);
        world.publish(all(forward_to(to)), None);
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        assert_eq!(upstream.until("QUIT\n").await, "\r\n\r\n\0\r\nQUIT\n");
        assert!(upstream.head().await.contains("GET / HTTP/1.1\r\n"));
    });
}
