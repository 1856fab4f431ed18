//! What endpoints are told of clients, and whose address they see.

use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncWriteExt;

use super::*;
use crate::plane::l4::way::Way;
use crate::plane::tests::{Core, Manual, backend, closed_port, run};
use crate::snapshot::{Backend, EndpointId, Exposure, Network, Policy, ProxyProtocol, Transport};

fn telling(version: ProxyProtocol, endpoints: &[SocketAddr]) -> Arc<Frontend> {
    let silent = (*backend("web", Transport::Tcp, endpoints)).clone();
    frontend(vec![share(1, Arc::new(Backend { proxy_protocol: Some(version), ..silent }))])
}

#[test]
fn an_endpoint_is_told_of_the_client_before_the_first_byte() {
    run(async {
        let mut core = Core::new();
        let origin = Manual::new().await;
        let endpoints = [origin.addr, closed_port().await];
        for _ in 0..8 {
            let frontend = telling(ProxyProtocol::V1, &endpoints);
            let (mut client, key) = sessions::begin(&mut core, &frontend).await;
            client.write_all(b"hello\n").await.expect("it must be sent");
            let mut endpoint = origin.accept().await;
            let from = client.local_addr().expect("an address");
            let (ip, port) = (key.addr.ip(), key.addr.port());
            let expected = format!("PROXY TCP4 {} {ip} {} {port}\r\n", from.ip(), from.port());
            assert_eq!(endpoint.until("\r\n").await, expected);
            assert_eq!(endpoint.until("\n").await, "hello\n");
        }
        // the server speaks first, and yet it is told before
        let frontend = telling(ProxyProtocol::V2, &[origin.addr]);
        let (_client, _) = sessions::begin(&mut core, &frontend).await;
        let mut endpoint = origin.accept().await;
        assert_eq!(endpoint.until("QUIT\n").await.len(), 12);
    });
}

#[test]
fn the_address_of_a_client_is_kept_where_kube_proxy_keeps_it_and_answers_can_come_back() {
    let core = Core::new();
    let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
    let pods = || vec!["10.1.0.0/16".parse().expect("a CIDR")];
    let endpoints = ["10.1.0.2:80", "192.168.0.1:80", "[fd00::2]:80"];
    let addrs = endpoints.map(|it| it.parse().expect("an address"));
    let kept = |exposure, is_local, keeps, client: &str| -> Vec<&str> {
        let network = Network {
            pods: pods(),
            node: [ip("192.168.0.1")].into(),
            keep_client_address: keeps,
            ..Network::default()
        };
        let mut backend = (*backend("web", Transport::Tcp, &addrs)).clone();
        backend.local = backend.usable.clone();
        let plain = frontend(vec![share(1, Arc::new(backend))]);
        let policy = Arc::new(Policy { is_local, network: Arc::new(network), ..Policy::default() });
        let frontend = Frontend { exposure, policy, ..(*plain).clone() };
        let way = Way::choose(&core.local, &frontend, ip(client), ip("10.96.0.1")).expect("a way");
        let source = |place: &usize| way.source(&frontend, EndpointId(addrs[*place]));
        let kept = (0..3).filter(|place| source(place).is_some());
        kept.inspect(|place| assert_eq!(source(place), Some(ip(client).to_canonical())))
            .map(|place| endpoints[place])
            .collect()
    };
    let (cluster, outside) = (Exposure::ClusterIp, Exposure::LoadBalancer);
    let here = ["10.1.0.2:80"];
    assert_eq!(kept(cluster, false, true, "10.1.0.9"), here);
    assert_eq!(kept(cluster, false, true, "::ffff:10.1.0.9"), here);
    assert_eq!(kept(outside, true, true, "203.0.113.9"), here);
    for (exposure, is_local, keeps, client) in [
        (cluster, false, false, "10.1.0.9"),
        // as its own endpoint it would answer itself
        (cluster, false, true, "10.1.0.2"),
        (cluster, false, true, "203.0.113.9"),
        (outside, false, true, "203.0.113.9"),
        (outside, true, true, "192.168.0.1"),
        (Exposure::Gateway, false, true, "10.1.0.9"),
    ] {
        let none: [&str; 0] = [];
        assert_eq!(kept(exposure, is_local, keeps, client), none, "{exposure:?} {client}");
    }
}
