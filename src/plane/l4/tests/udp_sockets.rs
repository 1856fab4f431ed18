//! What flows share: sockets, room, and addresses.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::net::UdpSocket;

use super::*;
use crate::life::spawn_local;
use crate::net::{Departure, ReusePort, bind_udp, send_departures};
use crate::plane::tests::{backend, run};
use crate::snapshot::{Network, Serve, SocketKey, Transport};

/// An endpoint that sends back what it gets, with the port that it came from.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    spawn_local("endpoint", async move {
        let mut datagram = [0; 100];
        while let Ok((length, from)) = socket.recv_from(&mut datagram).await {
            let text = String::from_utf8_lossy(&datagram[..length]).into_owned();
            let answer = format!("{text} {}", from.port());
            let _ = socket.send_to(answer.as_bytes(), from).await;
        }
    });
    addr
}

fn serve(core: &mut Core, carrier: &Rc<Carrier>, ip: &str, endpoints: &[SocketAddr]) -> SocketKey {
    let ip: IpAddr = ip.parse().expect("an address");
    let socket = bind_udp((ip, 0).into(), ReusePort::No).expect("port 0 must be free");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    let key = SocketKey { transport: Transport::Udp, addr };
    publish(core, key, endpoints);
    spawn_local("udp", carrier.clone().serve(socket, key));
    key
}

fn publish(core: &mut Core, key: SocketKey, endpoints: &[SocketAddr]) {
    let backend = backend("dns", Transport::Udp, endpoints);
    core.publish(key, Serve::Frontend(frontend(vec![share(1, backend)])));
}

/// A client that takes answers from there only.
async fn client(from: &str, to: SocketAddr) -> UdpSocket {
    let ip: IpAddr = from.parse().expect("an address");
    let client = UdpSocket::bind((ip, 0)).await.expect("port 0 must be free");
    client.connect(to).await.expect("a socket connects");
    client
}

async fn hear(client: &UdpSocket) -> String {
    let mut answer = [0; 100];
    let length = client.recv(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn answers_come_from_the_address_that_the_client_used() {
    run(async {
        let mut core = Core::new();
        let carrier = carrier(&core);
        let endpoint = echo().await;
        for (listen, from, at) in [
            ("0.0.0.0", "127.0.0.1", "127.99.0.5"),
            ("0.0.0.0", "127.0.0.9", "127.99.0.6"),
            ("127.99.0.7", "127.0.0.1", "127.99.0.7"),
            ("::", "::1", "::1"),
            ("::1", "::1", "::1"),
        ] {
            let key = serve(&mut core, &carrier, listen, &[endpoint]);
            let at: IpAddr = at.parse().expect("an address");
            let client = client(from, (at, key.addr.port()).into()).await;
            for text in ["once", "again"] {
                client.send(text.as_bytes()).await.expect("it must be sent");
                assert!(hear(&client).await.starts_with(text), "{listen} {at}");
            }
        }
    });
}

#[test]
fn sockets_are_shared_and_every_client_gets_its_own_answers() {
    run(async {
        let mut core = Core::new();
        let mut endpoints = Vec::new();
        for _ in 0..8 {
            endpoints.push(echo().await);
        }
        let carrier = carrier(&core);
        let key = serve(&mut core, &carrier, "127.0.0.1", &endpoints);
        let mut ports = BTreeSet::new();
        let mut clients = Vec::new();
        for number in 0..80 {
            let client = client("127.0.0.1", key.addr).await;
            client.send(format!("hello {number}").as_bytes()).await.expect("it must be sent");
            clients.push(client);
        }
        for (number, client) in clients.iter().enumerate() {
            let answer = hear(client).await;
            let (text, port) = answer.rsplit_once(' ').expect("text and port");
            assert_eq!(text, format!("hello {number}"));
            ports.insert(port.to_owned());
        }
        assert!((10..40).contains(&ports.len()), "80 flows have {} sockets", ports.len());
    });
}

#[test]
fn a_flow_whose_endpoint_refuses_goes_elsewhere_with_its_next_datagram() {
    run(async {
        let mut core = Core::new();
        let alive = echo().await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let dead = socket.local_addr().expect("a bound socket must have an address");
        drop(socket);
        let carrier = carrier(&core);
        let key = serve(&mut core, &carrier, "127.0.0.1", &[dead]);
        let client = client("127.0.0.1", key.addr).await;
        client.send(b"lost").await.expect("it must be sent");
        while core.local.loads.of(crate::snapshot::EndpointId(dead)) == 0 {
            tokio::task::yield_now().await;
        }
        publish(&mut core, key, &[dead, alive]);
        let mut answer = [0; 100];
        while client.try_recv(&mut answer).is_err() {
            client.try_send(b"hello").expect("it must be sent");
            tokio::task::yield_now().await;
        }
        core.until_ended(1, "default/dns", Some(Reason::ConnectRefused)).await;
    });
}

#[test]
fn bundles_pass_intact_both_ways() {
    run(async {
        let mut core = Core::new();
        let endpoint = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = endpoint.local_addr().expect("a bound socket must have an address");
        let carrier = carrier(&core);
        let key = serve(&mut core, &carrier, "127.0.0.1", &[addr]);
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
        for (length, segment) in [(30_000, 1000), (30_050, 1000), (999, 500), (60_000, 1200)] {
            let sent: Vec<u8> = (0..length).map(|it: u32| (it % 251) as u8).collect();
            let bundle = |to| Departure { bytes: &sent, to, from: None, segment: Some(segment) };
            let parts = || sent.chunks(usize::from(segment));
            let mut received = [0; 2000];
            send_departures(&client, &[bundle(key.addr)]);
            let mut from = None;
            for part in parts() {
                let (length, flow) = endpoint.recv_from(&mut received).await.expect("a datagram");
                assert_eq!(&received[..length], part, "{segment}");
                from = Some(flow);
            }
            send_departures(&endpoint, &[bundle(from.expect("a flow"))]);
            for part in parts() {
                let length = client.recv(&mut received).await.expect("a datagram");
                assert_eq!(&received[..length], part, "{segment}");
            }
        }
    });
}

#[test]
fn a_socket_on_every_address_takes_no_datagrams_for_virtual_ones() {
    run(async {
        let mut core = Core::new();
        let service_cidrs = vec!["127.96.0.0/16".parse().expect("a CIDR")];
        core.network = Arc::new(Network { service_cidrs, ..Network::default() });
        let endpoint = echo().await;
        let carrier = carrier(&core);
        let key = serve(&mut core, &carrier, "0.0.0.0", &[endpoint]);
        let virtual_one = client("127.0.0.1", ([127, 96, 0, 20], key.addr.port()).into()).await;
        virtual_one.send(b"astray").await.expect("it must be sent");
        core.until_ended(1, "", Some(Reason::NoService)).await;
        let other = client("127.0.0.1", ([127, 97, 0, 20], key.addr.port()).into()).await;
        other.send(b"hello").await.expect("it must be sent");
        assert!(hear(&other).await.starts_with("hello"));
    });
}

#[test]
fn a_client_with_its_share_of_a_nearly_full_table_leaves_room_for_others() {
    run(async {
        let mut core = Core::new();
        let endpoint = echo().await;
        let carrier = Carrier::new(core.local.clone(), 16, 1000);
        let key = serve(&mut core, &carrier, "127.0.0.1", &[endpoint]);
        let mut clients = Vec::new();
        for _ in 0..12 {
            let client = client("127.0.0.1", key.addr).await;
            client.send(b"hello").await.expect("it must be sent");
            hear(&client).await;
            clients.push(client);
        }
        let one_more = client("127.0.0.1", key.addr).await;
        one_more.send(b"hello").await.expect("it must be sent");
        core.until_ended(1, "", Some(Reason::Overloaded)).await;
        let other = client("127.0.0.2", key.addr).await;
        other.send(b"hello").await.expect("it must be sent");
        assert!(hear(&other).await.starts_with("hello"));
        // nobody has lost a flow
        clients[0].send(b"still here").await.expect("it must be sent");
        assert!(hear(&clients[0]).await.starts_with("still here"));
        assert_eq!(core.ended("default/dns", None), 0);
    });
}

#[test]
fn where_no_socket_is_left_older_flows_give_way() {
    run(async {
        let mut core = Core::new();
        let endpoint = echo().await;
        let carrier = Carrier::new(core.local.clone(), 100, 4);
        let key = serve(&mut core, &carrier, "127.0.0.1", &[endpoint]);
        for number in 0..20 {
            let client = client("127.0.0.1", key.addr).await;
            client.send(b"hello").await.expect("it must be sent");
            assert!(hear(&client).await.starts_with("hello"), "{number}");
        }
    });
}
