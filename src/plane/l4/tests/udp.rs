use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::*;
use crate::life::spawn_local;
use crate::net::{ReusePort, bind_udp};
use crate::plane::tests::{Core, backend, run};
use crate::snapshot::{Serve, SocketKey, Transport};

async fn socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    (socket, addr)
}

/// An endpoint that answers every datagram by its name.
async fn named(name: &'static str) -> SocketAddr {
    let (socket, addr) = socket().await;
    spawn_local("endpoint", async move {
        while let Ok((_, client)) = socket.recv_from(&mut [0; 10]).await {
            let _ = socket.send_to(name.as_bytes(), client).await;
        }
    });
    addr
}

/// A socket of the plane.
fn listen(core: &Core) -> (SocketKey, JoinHandle<()>) {
    listen_at(&carrier(core), "127.0.0.1")
}

/// A socket of the plane at an address.
fn listen_at(carrier: &Rc<Carrier>, ip: &str) -> (SocketKey, JoinHandle<()>) {
    let ip: IpAddr = ip.parse().expect("an address");
    let socket = bind_udp((ip, 0).into(), ReusePort::No).expect("port 0 must be free");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    let key = SocketKey { transport: Transport::Udp, addr };
    (key, spawn_local("udp", carrier.clone().serve(socket, key)))
}

async fn ask(client: &UdpSocket, key: SocketKey) -> String {
    client.send_to(b"?", key.addr).await.expect("it must be sent");
    let mut answer = [0; 10];
    let length = client.recv(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

/// How many flows a backend has.
fn flows(core: &Core, backend: &Backend) -> u64 {
    let of = backend.endpoints.iter().map(|endpoint| core.local.loads.of(endpoint.id));
    of.map(u64::from).sum()
}

#[test]
fn flows_are_shared_by_weight_and_a_failed_share_is_dropped() {
    run(async {
        let backends = [
            backend("a", Transport::Udp, &[named("a").await]),
            backend("b", Transport::Udp, &[named("b").await]),
        ];
        for (parts, expected) in TABLE {
            let mut core = Core::new();
            let frontend = frontend_of(parts, &backends);
            // in waves: each flow takes a socket
            for wave in 0..10 {
                let (key, task) = listen(&core);
                core.publish(key, Serve::Frontend(frontend.clone()));
                let before = core.ended("", Some(refusal(parts)));
                let mut clients = Vec::new();
                for _ in 0..WAVE {
                    let (client, _) = socket().await;
                    client.send_to(b"?", key.addr).await.expect("it must be sent");
                    clients.push(client);
                }
                let begun = || backends.iter().map(|it| flows(&core, it)).sum::<u64>();
                while core.ended("", Some(refusal(parts))) - before + begun() < WAVE {
                    tokio::task::yield_now().await;
                }
                task.abort();
                let _ = task.await;
                assert_eq!(begun(), 0, "in wave {wave}: a closed socket has no flows");
            }
            let ended = |service| core.ended(service, None);
            let refused = core.ended("", Some(refusal(parts)));
            check(parts, [ended("default/a"), ended("default/b"), refused], expected);
        }
    });
}

/// Clients at a time.
const WAVE: u64 = 50;

#[test]
fn a_flow_stays_as_long_as_its_endpoint_is_usable_in_any_share() {
    run(async {
        let mut core = Core::new();
        let (key, _task) = listen(&core);
        let (near, far) = (named("a").await, named("b").await);
        let backends =
            [backend("a", Transport::Udp, &[near]), backend("b", Transport::Udp, &[far])];
        let (client, _) = socket().await;
        for (parts, kept, fresh) in [
            (&[To(0, 1), To(1, 0)][..], "a", "a"),
            (&[To(0, 0), To(1, 1)], "a", "b"),
            (&[To(1, 1), To(0, 0)], "a", "b"),
            (&[To(1, 1)], "b", "b"),
            (&[To(0, 1), To(1, 0)], "b", "a"),
        ] {
            core.publish(key, Serve::Frontend(frontend_of(parts, &backends)));
            assert_eq!(ask(&client, key).await, kept, "{parts:?}");
            assert_eq!(ask(&socket().await.0, key).await, fresh, "{parts:?}");
        }
        // a socket that serves something else by now, or nothing, carries nothing
        core.publish(key, Serve::Frontend(frontend_of(&[], &backends)));
        client.send_to(b"?", key.addr).await.expect("it must be sent");
        core.until_ended(1, "", Some(Reason::NoService)).await;
    });
}
