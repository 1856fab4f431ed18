//! How sessions begin, and how they end: each end sees what the other did.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::life::spawn_local;
use crate::net::reset_on_drop;
use crate::net::tests::stuff;
use crate::plane::Accepted;
use crate::plane::l4::tcp;
use crate::plane::tests::{Core, Manual, backend, closed_port, named_echo, run};
use crate::plane::tls::Stream;
use crate::snapshot::{EndpointId, Serve, SocketKey, Transport};

/// A way to these endpoints.
fn way(endpoints: &[SocketAddr]) -> Arc<Frontend> {
    frontend(vec![share(1, backend("web", Transport::Tcp, endpoints))])
}

/// A client whose session has begun, and the key of its socket.
pub(super) async fn begin(core: &mut Core, frontend: &Arc<Frontend>) -> (TcpStream, SocketKey) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = listener.local_addr().expect("a bound socket must have an address");
    let key = SocketKey { transport: Transport::Tcp, addr };
    core.publish(key, Serve::Frontend(frontend.clone()));
    let (client, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
    let (stream, client_addr) = accepted.expect("it must be accepted");
    let accepted = Accepted { stream: Stream::Plain(stream), client: client_addr, key };
    let session =
        tcp::serve(core.local.clone(), Default::default(), accepted, vec![], frontend.clone());
    spawn_local("session", session);
    (client.expect("it must connect"), key)
}

/// A client and the endpoint that it is connected to.
async fn pair(core: &mut Core) -> (TcpStream, TcpStream) {
    let origin = Manual::new().await;
    let (client, _) = begin(core, &way(&[origin.addr])).await;
    (client, origin.accept().await.stream)
}

/// The two ends, with the one that acts first.
fn ends(is_client: bool, (client, endpoint): (TcpStream, TcpStream)) -> (TcpStream, TcpStream) {
    if is_client { (client, endpoint) } else { (endpoint, client) }
}

async fn pass(from: &mut TcpStream, to: &mut TcpStream, word: &[u8]) {
    from.write_all(word).await.expect("it must be sent");
    let mut read = vec![0; word.len()];
    to.read_exact(&mut read).await.expect("it must arrive");
    assert_eq!(read, word);
}

/// Reads to the end and gives how it ended.
async fn end_of(stream: &mut TcpStream) -> Result<Vec<u8>, ErrorKind> {
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.map(|_| read).map_err(|error| error.kind())
}

#[test]
fn a_reset_of_either_end_is_a_reset_of_the_other() {
    run(async {
        for is_client in [true, false] {
            let mut core = Core::new();
            let (mut acts, mut sees) = ends(is_client, pair(&mut core).await);
            pass(&mut acts, &mut sees, b"hello").await;
            reset_on_drop(&acts);
            drop(acts);
            assert_eq!(end_of(&mut sees).await, Err(ErrorKind::ConnectionReset), "{is_client}");
        }
    });
}

#[test]
fn a_reset_after_a_half_close_of_the_other_end_is_still_a_reset() {
    run(async {
        for is_client in [true, false] {
            let mut core = Core::new();
            let (mut acts, mut sees) = ends(is_client, pair(&mut core).await);
            sees.shutdown().await.expect("a half-close");
            assert_eq!(end_of(&mut acts).await, Ok(Vec::new()));
            reset_on_drop(&acts);
            drop(acts);
            assert_eq!(end_of(&mut sees).await, Err(ErrorKind::ConnectionReset), "{is_client}");
        }
    });
}

#[test]
fn a_reset_after_a_half_close_of_the_same_end_is_noticed_while_nothing_is_read_of_it() {
    run(async {
        let mut core = Core::new();
        let (mut client, mut endpoint) = pair(&mut core).await;
        client.shutdown().await.expect("a half-close");
        assert_eq!(end_of(&mut endpoint).await, Ok(Vec::new()));
        reset_on_drop(&client);
        drop(client);
        core.until_ended(1, "default/web", Some(Reason::ClientClosed)).await;
        let sent = endpoint.write_all(b"nobody listens").await;
        assert!(sent.is_err() || end_of(&mut endpoint).await.is_err());
    });
}

#[test]
fn a_reset_is_noticed_while_the_other_end_takes_nothing() {
    run(async {
        for (is_client, reason) in [(true, Reason::ClientClosed), (false, Reason::UpstreamReset)] {
            let mut core = Core::new();
            let (acts, mut sees) = ends(is_client, pair(&mut core).await);
            stuff(&acts).await;
            reset_on_drop(&acts);
            drop(acts);
            core.until_ended(1, "default/web", Some(reason)).await;
            assert_eq!(end_of(&mut sees).await, Err(ErrorKind::ConnectionReset));
        }
    });
}

#[test]
fn an_answer_arrives_whole_though_its_endpoint_resets_after_its_end() {
    run(async {
        let mut core = Core::new();
        let (mut client, mut endpoint) = pair(&mut core).await;
        client.write_all(b"what nobody reads").await.expect("it must be sent");
        // as much as rutter and the kernel take while the client takes nothing
        let mut answer = stuff(&endpoint).await;
        let mut first = vec![0; 500_000];
        client.read_exact(&mut first).await.expect("it must arrive");
        answer += 9;
        endpoint.write_all(b"the end\r\n").await.expect("it must be sent");
        endpoint.shutdown().await.expect("a half-close");
        // what is left in rutter and the kernel goes on, and with it the end
        let mut read = first.len() as u64;
        while is_established(&client) {
            read += client.try_read(&mut first).unwrap_or(0) as u64;
            tokio::task::yield_now().await;
        }
        // with something unread, the kernel resets
        drop(endpoint);
        core.until_ended(1, "default/web", Some(Reason::UpstreamReset)).await;
        let rest = end_of(&mut client).await.map(|rest| rest.len() as u64);
        assert_eq!(rest, Ok(answer - read));
    });
}

/// Whether the other end has not said its end yet (proc_net_tcp(5)).
fn is_established(stream: &TcpStream) -> bool {
    let hex = |at: io::Result<SocketAddr>| match at.expect("it must be connected") {
        SocketAddr::V4(at) => {
            format!("{:08X}:{:04X}", u32::from_ne_bytes(at.ip().octets()), at.port())
        }
        SocketAddr::V6(at) => panic!("{at}: the tests listen on 127.0.0.1"),
    };
    let other_end = format!(" {} {} 01 ", hex(stream.peer_addr()), hex(stream.local_addr()));
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    sockets.contains(&other_end)
}

#[test]
fn a_half_close_of_either_end_is_passed_on_and_data_goes_on_the_other_way() {
    run(async {
        for is_client in [true, false] {
            let mut core = Core::new();
            let (mut acts, mut sees) = ends(is_client, pair(&mut core).await);
            acts.write_all(b"the last words").await.expect("it must be sent");
            acts.shutdown().await.expect("a half-close");
            assert_eq!(end_of(&mut sees).await, Ok(b"the last words".to_vec()));
            for _ in 0..3 {
                pass(&mut sees, &mut acts, b"go on").await;
            }
            sees.shutdown().await.expect("a close");
            assert_eq!(end_of(&mut acts).await, Ok(Vec::new()));
            core.until_ended(1, "default/web", None).await;
        }
    });
}

#[test]
fn an_endpoint_that_refuses_costs_no_connection() {
    run(async {
        let mut core = Core::new();
        let frontend = way(&[
            closed_port().await,
            closed_port().await,
            closed_port().await,
            named_echo("d").await,
        ]);
        for _ in 0..30 {
            let (mut client, _) = begin(&mut core, &frontend).await;
            assert_eq!(client.read_u8().await.expect("an answer"), b'd');
        }
        core.until_ended(30, "default/web", None).await;
    });
}

#[test]
fn an_endpoint_that_is_silent_costs_a_second_and_no_connection() {
    run(async {
        // its queue is full, so that the kernel drops whoever comes next
        let silent = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("port 0 must be free");
        silent.listen(0).expect("it must listen");
        let addr = silent.local_addr().expect("an address").as_socket().expect("an IP address");
        let _first = TcpStream::connect(addr).await.expect("the queue has one place");
        let frontend = way(&[addr, named_echo("d").await]);
        let mut core = Core::new();
        // of so many some come to the silent one first
        let mut clients = Vec::new();
        for _ in 0..16 {
            clients.push(begin(&mut core, &frontend).await.0);
        }
        for mut client in clients {
            assert_eq!(client.read_u8().await.expect("an answer"), b'd');
        }
    });
}

#[test]
fn where_no_endpoint_can_be_reached_the_client_is_reset() {
    run(async {
        let mut core = Core::new();
        let (mut client, _) = begin(&mut core, &way(&[closed_port().await])).await;
        assert_eq!(end_of(&mut client).await, Err(ErrorKind::ConnectionReset));
        core.until_ended(1, "default/web", Some(Reason::ConnectRefused)).await;
    });
}

#[test]
fn a_removed_endpoint_keeps_its_sessions_until_they_end_and_gets_no_new_ones() {
    run(async {
        let mut core = Core::new();
        let (old, new) = (Manual::new().await, Manual::new().await);
        let (mut client, key) = begin(&mut core, &way(&[old.addr])).await;
        let mut endpoint = old.accept().await.stream;
        let after = way(&[new.addr]);
        core.publish(key, Serve::Frontend(after.clone()));
        let (mut next, _) = begin(&mut core, &after).await;
        let mut other = new.accept().await.stream;
        pass(&mut next, &mut other, b"elsewhere").await;
        pass(&mut client, &mut endpoint, b"still here").await;
        pass(&mut endpoint, &mut client, b"so am I").await;
        assert!(old.is_untouched());
        assert_eq!(core.local.loads.of(EndpointId(old.addr)), 1, "it drains");
        // the client sees the end that the endpoint chooses, to its last byte
        endpoint.write_all(b"bye").await.expect("it must be sent");
        drop(endpoint);
        assert_eq!(end_of(&mut client).await, Ok(b"bye".to_vec()));
        drop(client);
        core.until_ended(1, "default/web", None).await;
        assert_eq!(core.local.loads.of(EndpointId(old.addr)), 0, "it is drained");
    });
}

#[test]
fn an_endpoint_is_reached_with_the_options_of_carried_connections() {
    run(async {
        let origin = Manual::new().await;
        let options = crate::net::TcpOptions {
            keepalive: Some(std::time::Duration::from_secs(77)),
            user_timeout: Some(std::time::Duration::from_secs(99)),
        };
        let second = std::time::Duration::from_secs(1);
        let stream =
            crate::net::connect(origin.addr, second, None, &options).await.expect("connected");
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().expect("an option"));
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option").as_secs(), 77);
        assert_eq!(socket.tcp_user_timeout().expect("an option"), options.user_timeout);
    });
}
