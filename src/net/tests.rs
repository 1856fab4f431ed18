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
    let (client, mut near) = pair().await;
    let (mut far, server) = pair().await;
    let (buffer, mut copied) = (SharedBuffer::default(), Copied::default());
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
