use std::hash::{DefaultHasher, Hasher};
use std::io::ErrorKind;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::net::reset_on_drop;
use crate::net::tests::stuff;

async fn pair() -> (TcpStream, TcpStream) {
    pair_by(TcpSocket::new_v4().expect("a socket")).await
}

/// A connection by this socket.
async fn pair_by(socket: TcpSocket) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = listener.local_addr().expect("an address");
    let (client, server) = tokio::join!(socket.connect(addr), listener.accept());
    (client.expect("a client"), server.expect("a server").0)
}

/// A client and a server with a copy between them; gives what was copied, and how it ended.
async fn between<F>(
    shared: &SharedBuffers,
    work: impl FnOnce(TcpStream, TcpStream) -> F,
) -> (Copied, Result<(), CopyError>)
where
    F: Future<Output = ()>,
{
    over(pair().await, shared, work).await
}

/// The same, with a connection of the client that is there.
async fn over<F>(
    (client, near): (TcpStream, TcpStream),
    shared: &SharedBuffers,
    work: impl FnOnce(TcpStream, TcpStream) -> F,
) -> (Copied, Result<(), CopyError>)
where
    F: Future<Output = ()>,
{
    let (far, server) = pair().await;
    let mut copied = Copied::default();
    let count = &mut copied;
    // the connections are its own: they are closed when it ends, not when the others have
    let copy = async move {
        let (mut first, mut second) = (Plain(&near), Plain(&far));
        let ended = copy_both(&mut first, &mut second, Vec::new(), shared, count).await;
        // as `l4` does
        if let Err(failed) = &ended {
            reset_on_drop(&far);
            if !matches!(failed, CopyError::SecondAfterEnd(_)) {
                reset_on_drop(&near);
            }
        }
        ended
    };
    let (ended, ()) = tokio::join!(copy, work(client, server));
    (copied, ended)
}

/// SplitMix64: `net` imports nobody, not even for its tests.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Small messages and bulk.
    fn length(&mut self) -> usize {
        let bound = [10, 1_000, 20_000, 500_000][usize::try_from(self.below(4)).expect("small")];
        usize::try_from(self.below(bound) + 1).expect("small")
    }
}

/// What one end has sent or read.
#[derive(Default)]
struct Sum(DefaultHasher, u64);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0.write_u8(*byte));
        self.1 += bytes.len() as u64;
    }

    fn of(&self) -> (u64, u64) {
        (self.0.finish(), self.1)
    }
}

/// Sends chunks with pauses, then the end.
async fn send(mut to: impl AsyncWrite + Unpin, mut random: Random, bytes: &[u8]) -> Sum {
    let mut sum = Sum::default();
    for _ in 0..=random.below(5) {
        let length = random.length();
        let start = usize::try_from(random.below(bytes.len() as u64 - 500_000)).expect("small");
        let chunk = &bytes[start..start + length];
        to.write_all(chunk).await.expect("it must be sent");
        sum.add(chunk);
        for _ in 0..random.below(30) {
            tokio::task::yield_now().await;
        }
    }
    to.shutdown().await.expect("a half-close");
    sum
}

/// Reads pieces with pauses, to the end.
async fn receive(mut from: impl AsyncRead + Unpin, mut random: Random) -> Sum {
    let mut sum = Sum::default();
    let mut piece = vec![0; 100_000];
    loop {
        let room = random.length().min(piece.len());
        match from.read(&mut piece[..room]).await.expect("it must arrive") {
            0 => return sum,
            length => sum.add(&piece[..length]),
        }
        for _ in 0..random.below(10) {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn whatever_is_sent_arrives_whole_both_ways_in_bulk_and_in_bits() {
    let mut random = Random(7);
    let bytes: Vec<u8> = (0..600_000).map(|_| random.next() as u8).collect();
    let shared = SharedBuffers::default();
    for seed in 0..256 {
        let random = |part: u64| Random(seed * 4 + part);
        let bytes = &bytes;
        let (copied, ended) = between(&shared, |client, server| async move {
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let [sent, received, answered, heard] = {
                let (one, two, three, four) = tokio::join!(
                    send(to_client, random(0), bytes),
                    receive(from_server, random(1)),
                    send(to_server, random(2), bytes),
                    receive(from_client, random(3)),
                );
                [one, two, three, four]
            };
            assert_eq!(sent.of(), received.of(), "seed {seed}");
            assert_eq!(answered.of(), heard.of(), "seed {seed}");
        })
        .await;
        ended.unwrap_or_else(|error| panic!("seed {seed}: {error:?}"));
        assert!(copied.forth > 0 && copied.back > 0);
        assert_eq!(shared.pipes.count().0, 0, "seed {seed}");
    }
    assert!(shared.pipes.count().1 > 0, "there was bulk");
}

#[tokio::test]
async fn who_takes_nothing_holds_up_who_sends_and_loses_nothing() {
    let shared = SharedBuffers::default();
    let (copied, ended) = between(&shared, |mut client, mut server| async move {
        let sent = stuff(&client).await;
        client.shutdown().await.expect("a half-close");
        let mut read = Vec::new();
        server.read_to_end(&mut read).await.expect("it must arrive");
        assert_eq!(read.len() as u64, sent);
        assert!(read.iter().all(|byte| *byte == 7));
    })
    .await;
    assert!(ended.is_ok() && copied.forth > 0);
    assert_eq!(shared.pipes.count(), (0, 1), "it went through a pipe, which is back");
}

#[tokio::test]
async fn a_reset_in_the_middle_of_bulk_ends_both_and_what_is_left_in_the_pipe_is_for_nobody() {
    for is_client in [true, false] {
        let shared = SharedBuffers::default();
        let (_, ended) = between(&shared, |client, server| async {
            stuff(&client).await;
            assert_eq!(shared.pipes.count(), (1, 0), "it is full");
            let (acts, mut sees) = if is_client { (client, server) } else { (server, client) };
            reset_on_drop(&acts);
            drop(acts);
            let error = sees.read_to_end(&mut Vec::new()).await.expect_err("a reset");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        })
        .await;
        match ended {
            Err(CopyError::First(_)) => assert!(is_client),
            Err(CopyError::Second(_)) => assert!(!is_client),
            other => panic!("{other:?}"),
        }
        assert_eq!(shared.pipes.count(), (0, 0));
    }
}

/// What a session has read and cannot write yet is left in it, and it has not heard the end behind it.
#[tokio::test]
async fn an_answer_goes_on_to_its_end_though_its_end_was_reset_later_and_the_client_sends_on() {
    for sends_on in [false, true] {
        let shared = SharedBuffers::default();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("an option");
        let (client, near) = pair_by(socket).await;
        SockRef::from(&near).set_send_buffer_size(4096).expect("an option");
        let (_, ended) = over((client, near), &shared, |mut client, mut server| async move {
            client.write_all(b"what nobody reads").await.expect("to be sent");
            server.readable().await.expect("it must arrive");
            let answer = vec![7; 60_000];
            server.write_all(&answer).await.expect("to be sent");
            server.shutdown().await.expect("a half-close");
            // with something unread, the kernel resets
            drop(server);
            if sends_on {
                client.write_all(b"more").await.expect("to be sent");
            }
            tokio::task::yield_now().await;
            let mut read = Vec::new();
            client.read_to_end(&mut read).await.expect("the whole answer");
            assert_eq!(read.len(), answer.len());
        })
        .await;
        assert!(matches!(ended, Err(CopyError::SecondAfterEnd(_))), "{ended:?}");
    }
}

#[tokio::test]
async fn no_pipe_is_held_by_who_pauses_and_bits_after_bulk_are_copied() {
    let shared = SharedBuffers::default();
    let (_, ended) = between(&shared, |mut client, mut server| async {
        for _ in 0..3 {
            let (sent, mut read) = (vec![7; 2_000_000], vec![0; 2_000_000]);
            let (sent, read) = tokio::join!(client.write_all(&sent), server.read_exact(&mut read));
            sent.expect("it must be sent");
            read.expect("it must arrive");
            assert_eq!(shared.pipes.count(), (0, 1));
            for _ in 0..10 {
                client.write_all(b"bit").await.expect("it must be sent");
                let mut bit = [0; 3];
                server.read_exact(&mut bit).await.expect("it must arrive");
                assert_eq!(&bit, b"bit");
            }
        }
        drop((client, server));
    })
    .await;
    assert!(ended.is_ok());
}

#[tokio::test]
async fn where_there_are_no_pipes_bulk_is_copied() {
    let refused = SharedBuffers::default();
    refused.pipes.refuse();
    let exhausted = SharedBuffers::default();
    let lent: Vec<_> = std::iter::from_fn(|| exhausted.pipes.lend()).collect();
    for shared in [&refused, &exhausted] {
        let (copied, ended) = between(shared, |mut client, mut server| async move {
            let sent = vec![7; 2_000_000];
            let mut read = Vec::new();
            let (sent, read) = tokio::join!(
                async {
                    client.write_all(&sent).await?;
                    client.shutdown().await
                },
                server.read_to_end(&mut read)
            );
            sent.expect("it must be sent");
            assert_eq!(read.expect("it must arrive"), 2_000_000);
        })
        .await;
        assert!(ended.is_ok());
        assert_eq!(copied.forth, 2_000_000);
    }
    assert!(lent.len() < 100, "descriptors are a budget");
    assert_eq!(refused.pipes.count(), (0, 0));
}
