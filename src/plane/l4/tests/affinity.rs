//! Clients that stay with their endpoint, whichever worker and address they come by.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::*;
use crate::life::spawn_local;
use crate::plane::Accepted;
use crate::plane::l4::tcp;
use crate::plane::tests::{Core, backend, closed_port, named_echo, run};
use crate::plane::tls::Stream;
use crate::snapshot::{Policy, Serve, SocketKey, Transport};

/// A frontend whose clients stay.
fn sticky(backend: &Arc<Backend>) -> Arc<Frontend> {
    let policy = Policy { affinity: Some(Duration::from_secs(60)), ..Policy::default() };
    let plain = frontend(vec![share(1, backend.clone())]);
    Arc::new(Frontend { policy: Arc::new(policy), ..(*plain).clone() })
}

/// Two workers, as far as they share anything.
fn workers() -> [Core; 2] {
    let (one, mut other) = (Core::new(), Core::new());
    let local = Rc::get_mut(&mut other.local).expect("nobody else has it yet");
    local.affinity = one.local.affinity.clone();
    [one, other]
}

/// Connects from an address and tells who answered.
async fn hear(core: &Core, from: [u8; 4], frontend: &Arc<Frontend>) -> char {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = listener.local_addr().expect("a bound socket must have an address");
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(IpAddr::from(from), 0)).expect("loopback can be bound");
    let (client, accepted) = tokio::join!(socket.connect(addr), listener.accept());
    let (stream, client_addr) = accepted.expect("it must be accepted");
    let key = SocketKey { transport: Transport::Tcp, addr };
    let accepted = Accepted { stream: Stream::Plain(stream), client: client_addr, key };
    let buffer = Default::default();
    let session = tcp::serve(core.local.clone(), buffer, accepted, vec![], frontend.clone());
    spawn_local("session", session);
    let answer = client.expect("it must connect").read_u8().await.expect("an answer");
    char::from(answer)
}

#[test]
fn a_client_has_one_endpoint_by_whichever_worker_until_it_is_gone() {
    run(async {
        let (a, b) = (named_echo("a").await, named_echo("b").await);
        let both = sticky(&backend("web", Transport::Tcp, &[a, b]));
        let [one, other] = workers();
        for last in 1..=8 {
            let from = [127, 0, 0, last];
            let first = hear(&one, from, &both).await;
            for _ in 0..4 {
                assert_eq!(hear(&other, from, &both).await, first);
                assert_eq!(hear(&one, from, &both).await, first);
            }
            let (left, remaining) = if first == 'a' { ('b', b) } else { ('a', a) };
            let rest = sticky(&backend("web", Transport::Tcp, &[remaining]));
            assert_eq!(hear(&other, from, &rest).await, left, "its endpoint is gone");
            assert_eq!(hear(&one, from, &both).await, left, "and it has another one now");
        }
    });
}

#[test]
fn a_client_whose_endpoint_refuses_stays_with_the_one_that_accepts() {
    run(async {
        let (dead, alive) = (closed_port().await, named_echo("b").await);
        let frontend = sticky(&backend("web", Transport::Tcp, &[dead, alive]));
        let [one, other] = workers();
        for last in 1..=8 {
            assert_eq!(hear(&one, [127, 0, 0, last], &frontend).await, 'b');
            assert_eq!(hear(&other, [127, 0, 0, last], &frontend).await, 'b');
        }
    });
}

#[test]
fn flows_of_one_client_have_one_endpoint_whatever_port_they_come_from() {
    run(async {
        let (mut one, mut addrs) = (Core::new(), Vec::new());
        let mut endpoints = Vec::new();
        for _ in 0..8 {
            let endpoint = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
            addrs.push(endpoint.local_addr().expect("a bound socket must have an address"));
            endpoints.push(endpoint);
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("port 0 must be free");
        socket.set_nonblocking(true).expect("a socket must take options");
        let addr = socket.local_addr().expect("a bound socket must have an address");
        let key = SocketKey { transport: Transport::Udp, addr };
        let backend = backend("dns", Transport::Udp, &addrs);
        one.publish(key, Serve::Frontend(sticky(&backend)));
        spawn_local("udp", carrier(&one).serve(socket, key));
        let mut clients = Vec::new();
        for _ in 0..8 {
            let client = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
            client.send_to(b"?", addr).await.expect("it must be sent");
            clients.push(client);
        }
        let load = |place: usize| one.local.loads.of(backend.endpoints[place].id);
        while (0..8).map(load).sum::<u32>() < 8 {
            tokio::task::yield_now().await;
        }
        assert_eq!((0..8).map(load).max(), Some(8), "all of them are at one endpoint");
    });
}
