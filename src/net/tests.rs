use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let addr = listener.local_addr().expect("an address");
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.expect("a client"), server.expect("a server").0)
}

/// A client and a server with a copy between them; gives what was copied.
async fn between<F>(work: impl FnOnce(TcpStream, TcpStream) -> F) -> (Copied, bool)
where
    F: Future<Output = ()>,
{
    let (client, near) = pair().await;
    let (far, server) = pair().await;
    let (buffer, mut copied) = (SharedBuffers::default(), Copied::default());
    let (mut near, mut far) = (Plain(&near), Plain(&far));
    let (result, ()) = tokio::join!(
        copy_both(&mut near, &mut far, Vec::new(), &buffer, &mut copied),
        work(client, server)
    );
    (copied, result.is_ok())
}

#[tokio::test]
async fn a_half_close_is_passed_on_and_the_other_way_stays_open() {
    let (copied, ended) = between(|mut client, mut server| async move {
        client.write_all(b"question").await.expect("sent");
        client.shutdown().await.expect("a half-close");
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.expect("the end must arrive");
        assert_eq!(question, b"question");
        server.write_all(b"a longer answer").await.expect("sent");
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("the answer");
        assert_eq!(answer, b"a longer answer");
    })
    .await;
    assert!(ended);
    assert_eq!(copied, Copied { forth: 8, back: 15 });
}

#[tokio::test]
async fn a_reset_ends_the_copy_with_an_error() {
    let (_, ended) = between(|client, server| async move {
        reset_on_drop(&client);
        drop(client);
        drop(server);
    })
    .await;
    assert!(!ended);
}

#[tokio::test]
async fn bulk_passes_a_slow_reader_unchanged() {
    let sent: Vec<u8> = (0..8_000_000_u32).map(|number| (number % 251) as u8).collect();
    let expected = sent.clone();
    let (copied, ended) = between(|mut client, mut server| async move {
        let send = async {
            client.write_all(&sent).await.expect("sent");
            client.shutdown().await.expect("a half-close");
        };
        let receive = async {
            let mut received = Vec::new();
            let mut piece = vec![0; 1000];
            while let length @ 1.. = server.read(&mut piece).await.expect("bytes") {
                received.extend_from_slice(&piece[..length]);
                if received.len() % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            assert!(received == expected, "the bytes must be the same");
        };
        tokio::join!(send, receive);
        drop(server);
    })
    .await;
    assert!(ended);
    assert_eq!(copied.forth, 8_000_000);
}

#[tokio::test]
async fn what_a_client_does_not_read_waits_within_bounds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    bound_unsent(&listener, 128 * 1024);
    let addr = listener.local_addr().expect("an address");
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    let (client, server) = (client.expect("a client"), server.expect("a server").0);
    let (piece, mut taken) = ([0; 64 * 1024], 0);
    server.writable().await.expect("room");
    while let Ok(length) = server.try_write(&piece) {
        taken += length;
    }
    // the client's own buffer and the bound; the system would take megabytes
    assert!((128 * 1024..1024 * 1024).contains(&taken), "{taken}");
    drop(client);
}

#[tokio::test]
async fn datagrams_come_and_go_many_at_a_time() {
    for ip in ["127.0.0.1", "::1"] {
        let addr: std::net::SocketAddr =
            (ip.parse::<std::net::IpAddr>().expect("an address"), 0).into();
        let server = bind_udp(addr, ReusePort::No).expect("a socket");
        let client = bind_udp(addr, ReusePort::No).expect("a socket");
        let to = server.local_addr().expect("an address");
        let mut outbox = Outbox::new();
        for number in 0..100u8 {
            if outbox.is_full() {
                assert_eq!(outbox.send(&client), 0);
            }
            let message = outbox.room().expect("room");
            message.clear();
            message.extend(vec![number; usize::from(number)]);
            outbox.push(to);
        }
        assert_eq!(outbox.send(&client), 0);
        // loopback delivers at once: all of them wait by now
        let mut inbox = Inbox::new(64, 50);
        let mut received = Vec::new();
        for is_all in [false, true] {
            assert_eq!(inbox.receive(&server).expect("datagrams"), is_all);
            assert_eq!(inbox.get(inbox.senders().len()), None);
            for place in 0..inbox.senders().len() {
                let (datagram, from) = inbox.get(place).expect("a datagram");
                assert_eq!(from, client.local_addr().expect("an address"));
                received.push(datagram.to_vec());
            }
            inbox.clear();
        }
        // what is longer than its slot is cut off
        let sent: Vec<Vec<u8>> = (0..100u8).map(|n| vec![n; usize::from(n).min(50)]).collect();
        assert_eq!(received, sent);
        let nothing = inbox.receive(&server).expect_err("nothing is left");
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn a_datagram_that_cannot_be_sent_does_not_hold_up_the_others() {
    let local = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let server = bind_udp(local(0), ReusePort::No).expect("a socket");
    let client = bind_udp(local(0), ReusePort::No).expect("a socket");
    let to = server.local_addr().expect("an address");
    let mut outbox = Outbox::new();
    for addr in [to, local(0), "[::1]:9".parse().expect("an address"), to] {
        outbox.room().expect("room").push(1);
        outbox.push(addr);
    }
    assert_eq!(outbox.send(&client), 2);
    let mut inbox = Inbox::new(64, 50);
    assert!(inbox.receive(&server).expect("datagrams"));
    assert_eq!(inbox.senders().len(), 2);
}

#[tokio::test]
async fn a_bundle_arrives_whole_or_in_parts_and_says_where_it_was_sent_to() {
    for (ip, other) in [("127.0.0.1", "127.99.0.7"), ("::1", "::1")] {
        let any = if ip == "::1" { "[::]:0" } else { "0.0.0.0:0" };
        let [server, client] = [(); 2]
            .map(|()| bind_udp(any.parse().expect("an address"), ReusePort::No).expect("a socket"));
        tell_details(&server, ip != "::1").expect("details");
        let port = |socket: &std::net::UdpSocket| socket.local_addr().expect("an address").port();
        let at = other.parse::<std::net::IpAddr>().expect("an address");
        let from = ip.parse::<std::net::IpAddr>().expect("an address");
        let sent: Vec<u8> = (0..950_u16).map(|number| (number % 251) as u8).collect();
        for segment in [Some(100), None, Some(300)] {
            let to = (at, port(&server)).into();
            send_departures(&client, &[Departure { bytes: &sent, to, from: Some(from), segment }]);
            let mut inbox = Inbox::with_details();
            assert!(inbox.receive(&server).expect("datagrams"));
            let mut received = Vec::new();
            for arrival in inbox.arrivals() {
                assert_eq!(arrival.from, (from, port(&client)).into());
                assert_eq!(arrival.at, Some(at));
                let length = arrival.segment.map_or(arrival.bytes.len(), usize::from);
                received.extend(arrival.bytes.chunks(length.max(1)).map(<[u8]>::to_vec));
            }
            let length = segment.map_or(sent.len(), usize::from);
            let expected: Vec<_> = sent.chunks(length).map(<[u8]>::to_vec).collect();
            assert_eq!(received, expected, "{ip} {segment:?}");
        }
    }
}

#[tokio::test]
async fn many_receivers_and_bundles_in_one_go_keep_their_order() {
    let addr = |ip| std::net::SocketAddr::from((ip, 0));
    let [server, client] =
        [(); 2].map(|()| bind_udp(addr([127, 0, 0, 1]), ReusePort::No).expect("a socket"));
    let to = server.local_addr().expect("an address");
    let texts: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![number; 20]).collect();
    let departures: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(place, bytes)| {
            let segment = (place % 3 == 0).then_some(10);
            // port 0 cannot be sent to, which says nothing of the others
            let to = if place % 10 == 7 { addr([127, 0, 0, 1]) } else { to };
            Departure { bytes, to, from: None, segment }
        })
        .collect();
    send_departures(&client, &departures);
    let mut inbox = Inbox::new(256, 100);
    assert!(inbox.receive(&server).expect("datagrams"));
    let received: Vec<u8> = inbox.arrivals().flat_map(|it| it.bytes.to_vec()).collect();
    let arrived = departures.iter().filter(|it| it.to == to);
    assert_eq!(received, arrived.flat_map(|it| it.bytes.to_vec()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_socket_tells_which_of_its_receivers_is_not_there() {
    for ip in ["127.0.0.1", "::1"] {
        let ip: std::net::IpAddr = ip.parse().expect("an address");
        let bind = || bind_udp((ip, 0).into(), ReusePort::No).expect("a socket");
        let (client, there, gone) = (bind(), bind(), bind());
        tell_unreachable(&client, ip.is_ipv4()).expect("errors");
        let [there_addr, gone_addr] =
            [&there, &gone].map(|socket| socket.local_addr().expect("an address"));
        drop(gone);
        let hello = |to| Departure { bytes: b"hello", to, from: None, segment: None };
        // the refusal is there before the second one is sent, and is not taken for its own
        for to in [gone_addr, there_addr] {
            send_departures(&client, &[hello(to)]);
        }
        assert_eq!(unreachable(&client), Some(gone_addr));
        assert_eq!(unreachable(&client), None);
        let mut inbox = Inbox::new(32, 100);
        assert!(inbox.receive(&there).expect("a datagram"));
        assert_eq!(inbox.senders().len(), 1);
    }
}

/// Sends until the peer has taken nothing for long, and gives how much it took.
pub(crate) async fn stuff(stream: &TcpStream) -> u64 {
    let (mut sent, mut calm) = (0, 0);
    while calm < 1000 {
        match stream.try_write(&[7; 65_536]) {
            Ok(length) => {
                sent += length as u64;
                calm = 0;
            }
            Err(_) => calm += 1,
        }
        tokio::task::yield_now().await;
    }
    sent
}
