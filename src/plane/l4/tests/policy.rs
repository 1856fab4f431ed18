//! Which clients get which endpoints, and what those see that get none.

use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};

use super::*;
use crate::life::spawn_local;
use crate::plane::Accepted;
use crate::plane::l4::tcp;
use crate::plane::tests::{Core, backend, named_echo, run};
use crate::plane::tls::Stream;
use crate::snapshot::{Exposure, Network, Policy, Serve, SocketKey, Transport};

type Rules = (Exposure, Policy);

fn ruled(backend: Backend, (exposure, policy): Rules) -> Arc<Frontend> {
    let plain = frontend(vec![share(1, Arc::new(backend))]);
    Arc::new(Frontend { exposure, policy: Arc::new(policy), ..(*plain).clone() })
}

/// No policy, `internalTrafficPolicy: Local`, `externalTrafficPolicy: Local` and source ranges.
/// A pod is 127.0.0.7, the outside is everybody else.
fn policies() -> [Rules; 4] {
    let pod = || vec!["127.0.0.7/32".parse().expect("a CIDR")];
    let network = Arc::new(Network { pods: pod(), ..Network::default() });
    let policy = Policy { network, ..Policy::default() };
    let local = Policy { is_local: true, ..policy.clone() };
    [
        (Exposure::LoadBalancer, policy.clone()),
        (Exposure::ClusterIp, local.clone()),
        (Exposure::LoadBalancer, local),
        (Exposure::LoadBalancer, Policy { sources: Some(pod()), ..policy }),
    ]
}

const POD: [u8; 4] = [127, 0, 0, 7];
const OUTSIDE: [u8; 4] = [127, 0, 0, 8];

/// Connects from an address and tells who answered; `None`: it was reset.
async fn hear(core: &Core, from: [u8; 4], frontend: &Arc<Frontend>) -> Option<char> {
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
    client.expect("it must connect").read_u8().await.ok().map(char::from)
}

#[test]
fn connections_go_where_policies_let_them_and_are_reset_elsewhere() {
    run(async {
        let (here, far) = (named_echo("h").await, named_echo("f").await);
        let mut both = (*backend("web", Transport::Tcp, &[here, far])).clone();
        both.local = both.endpoints.iter().filter(|it| it.id.addr() == here).cloned().collect();
        let mut elsewhere = (*backend("web", Transport::Tcp, &[far])).clone();
        elsewhere.local = Vec::new();
        let nobody = (*backend("web", Transport::Tcp, &[])).clone();
        let [cluster, node, from_outside, sources] = policies();
        let refusals = [
            (&both, &sources, OUTSIDE, Reason::SourceNotAllowed),
            (&elsewhere, &node, POD, Reason::NoLocalEndpoint),
            (&elsewhere, &from_outside, OUTSIDE, Reason::NoLocalEndpoint),
            (&nobody, &node, POD, Reason::NoReadyEndpoint),
            (&nobody, &from_outside, OUTSIDE, Reason::NoReadyEndpoint),
        ];
        for (backend, policy, client, reason) in refusals {
            let mut core = Core::new();
            let frontend = ruled(backend.clone(), policy.clone());
            let key = SocketKey { transport: Transport::Tcp, addr: far };
            core.publish(key, Serve::Frontend(frontend.clone()));
            assert_eq!(hear(&core, client, &frontend).await, None, "{reason}");
            core.until_ended(1, "default/web", Some(reason)).await;
        }
        let core = Core::new();
        // the node, by the very address that it connects to: nobody has written it down
        let frontend = ruled(elsewhere.clone(), from_outside.clone());
        assert_eq!(hear(&core, [127, 0, 0, 1], &frontend).await, Some('f'));
        for (policy, client) in [(&node, POD), (&node, OUTSIDE), (&from_outside, OUTSIDE)] {
            let frontend = ruled(both.clone(), policy.clone());
            for _ in 0..20 {
                assert_eq!(hear(&core, client, &frontend).await, Some('h'), "{policy:?}");
            }
        }
        for (policy, client) in [(&cluster, OUTSIDE), (&from_outside, POD), (&sources, POD)] {
            let frontend = ruled(both.clone(), policy.clone());
            let (mut near, mut distant) = (false, false);
            while !(near && distant) {
                match hear(&core, client, &frontend).await {
                    Some('h') => near = true,
                    answer => distant |= answer == Some('f'),
                }
            }
        }
    });
}

#[test]
fn datagrams_that_policies_do_not_let_in_are_dropped_and_the_socket_stays() {
    run(async {
        let endpoint = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = endpoint.local_addr().expect("a bound socket must have an address");
        let mut core = Core::new();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("port 0 must be free");
        socket.set_nonblocking(true).expect("a socket must take options");
        let listen = socket.local_addr().expect("a bound socket must have an address");
        let key = SocketKey { transport: Transport::Udp, addr: listen };
        spawn_local("udp", carrier(&core).serve(socket, key));
        let backend = (*backend("dns", Transport::Udp, &[addr])).clone();
        let [_, node, _, sources] = policies();
        for (policy, reason) in
            [(&node, Reason::NoLocalEndpoint), (&sources, Reason::SourceNotAllowed)]
        {
            core.publish(key, Serve::Frontend(ruled(backend.clone(), policy.clone())));
            let outside = SocketAddr::new(IpAddr::from(OUTSIDE), 0);
            let client = UdpSocket::bind(outside).await.expect("loopback can be bound");
            client.send_to(b"lost", listen).await.expect("it must be sent");
            core.until_ended(1, "default/dns", Some(reason)).await;
        }
        let client = UdpSocket::bind(SocketAddr::new(IpAddr::from(POD), 0)).await.expect("bound");
        client.send_to(b"seen", listen).await.expect("it must be sent");
        let mut seen = [0; 8];
        let (length, _) = endpoint.recv_from(&mut seen).await.expect("a datagram");
        assert_eq!(&seen[..length], b"seen", "the first that was let in");
    });
}

#[test]
fn a_flow_stays_while_its_endpoint_serves_whatever_new_flows_get() {
    run(async {
        let endpoint = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = endpoint.local_addr().expect("a bound socket must have an address");
        let mut core = Core::new();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("port 0 must be free");
        socket.set_nonblocking(true).expect("a socket must take options");
        let listen = socket.local_addr().expect("a bound socket must have an address");
        let key = SocketKey { transport: Transport::Udp, addr: listen };
        spawn_local("udp", carrier(&core).serve(socket, key));
        let ready = (*backend("dns", Transport::Udp, &[addr])).clone();
        let mut leaving = ready.clone();
        leaving.usable = Vec::new();
        leaving.endpoints = leaving
            .endpoints
            .iter()
            .map(|it| {
                Arc::new(crate::snapshot::Endpoint {
                    ready: false,
                    terminating: true,
                    ..(**it).clone()
                })
            })
            .collect();
        let client = UdpSocket::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let mut from = Vec::new();
        for backend in [ready, leaving] {
            core.publish(key, Serve::Frontend(ruled(backend, policies()[0].clone())));
            client.send_to(b"?", listen).await.expect("it must be sent");
            from.push(endpoint.recv_from(&mut [0; 8]).await.expect("a datagram").1);
        }
        assert_eq!(from[0], from[1], "one flow");
    });
}
