use std::sync::Arc;
use std::time::Duration;

use super::world::*;
use crate::plane::Accepted;
use crate::plane::Limits;
use crate::plane::l7::Server;
use crate::snapshot::{EndpointId, HostMatch, HttpListener, Snapshot};

#[test]
fn the_next_request_of_a_kept_connection_sees_the_new_snapshot() {
    run(async {
        let (old, new) = (Canned::ok().await, Canned::ok().await);
        let mut world = World::to(&[old.addr]).await;
        let mut client = world.client().await;
        client.get("/1", "ok").await;
        world.publish(vec![rule(HostMatch::Any, "", forward("web", &[new.addr]))], None);
        client.get("/2", "ok").await;
        world.publish(Vec::new(), None);
        client.get("/3", "rutter: 404 no_route\n").await;
        world.publisher.publish(Snapshot::default());
        let response = client.get("/4", "rutter: 503 draining\n").await;
        assert!(response.contains("Connection: close\r\n"));
        assert_eq!(client.rest().await, "");
        assert_eq!((old.heads().len(), new.heads().len()), (1, 1));
    });
}

#[test]
fn draining_closes_idle_connections_and_lets_exchanges_finish() {
    run(async {
        let origin = Manual::new().await;
        let limits = Limits { drain_idle: Duration::from_millis(30), ..Limits::default() };
        let mut world = World::to_within(limits, &[origin.addr]).await;
        let mut idle = world.client().await;
        idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut first = origin.accept().await;
        first.head().await;
        first.send(OK).await;
        idle.until("ok").await;
        drop(first);
        let mut busy = world.client().await;
        busy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let signal = world.drain.take().expect("the drain must not have started");
        signal.start();
        assert_eq!(idle.rest().await, "");
        upstream.send(OK).await;
        let response = busy.rest().await;
        assert!(response.contains("Connection: close\r\n") && response.ends_with("ok"));
    });
}

#[test]
fn a_request_that_is_on_its_way_when_the_drain_begins_is_answered() {
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::to(&[origin.addr]).await;
        let (mut kept, mut fresh) = (world.client().await, world.client().await);
        kept.get("/1", "ok").await;
        world.drain.take().expect("the drain must not have started").start();
        // every task of the worker has seen it
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        for client in [&mut kept, &mut fresh] {
            client.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n").await;
            let response = client.rest().await;
            assert!(response.contains("Connection: close\r\n") && response.ends_with("ok"));
        }
    });
}

#[test]
fn slow_heads_silent_endpoints_and_idle_clients_run_out_of_time() {
    run(async {
        let short = Duration::from_millis(30);
        let limits = Limits {
            head_time: short,
            client_stall: short,
            upstream_stall: short,
            client_idle: short,
            linger_time: short,
            ..Limits::default()
        };
        let origin = Manual::new().await;
        let mut world = World::with(limits).await;
        let to = forward("web", &[origin.addr]);
        world.publish(vec![rule(HostMatch::Any, "", to)], None);
        assert_eq!(world.ask("").await, "");
        assert!(world.ask("GET / HT").await.ends_with("rutter: 408 request_timeout\n"));
        let silent = world.ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert!(silent.ends_with("rutter: 504 response_timeout\n"), "{silent}");
        let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx";
        let slow = world.ask(head).await;
        assert!(slow.ends_with("rutter: 408 request_timeout\n"), "{slow}");
    });
}

#[test]
fn connections_to_endpoints_that_are_gone_are_closed() {
    run(async {
        let origin = Manual::new().await;
        let mut world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        assert_eq!(world.local.loads.of(EndpointId(origin.addr)), 1);
        upstream.send(OK).await;
        client.until("ok").await;
        assert_eq!(world.local.loads.of(EndpointId(origin.addr)), 0);
        world.publish(Vec::new(), None);
        assert_eq!(upstream.rest().await, "");
    });
}

#[test]
fn an_idle_connection_is_small() {
    run(async {
        let world = World::new().await;
        let server = Server::new(world.local.clone());
        let stream = tokio::net::TcpStream::connect(world.addr).await.expect("it must accept");
        let accepted = Accepted { stream, client: world.addr, key: world.key };
        let routes = Default::default();
        let listener = Arc::new(HttpListener::single("http".into(), None, routes));
        let size = size_of_val(&server.serve(accepted, listener));
        assert!(size <= 1200, "{size}");
    });
}
