//! DNS over one stream: TCP (RFC 7766), or TLS within it (RFC 7858).
//!
//! Most connections are idle most of the time, so an idle one has no buffers: bytes are read into
//! the room of the stack, and what is kept is the beginning of a query whose end has not come yet.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::connections::Connection;
use super::limits::QUERY;
use super::padding;
use super::server::{Next, Server, Waiting};
use crate::life::spawn_local;
use crate::plane::tls::Stream;

/// Answers queries until the client closes, is idle or has had its share. Answers of the cluster
/// have the order of their questions; one that waits for upstreams lets others pass (RFC 7766
/// section 6.2.1.1). A drain ends the connection between two queries.
pub(super) async fn serve(server: Rc<Server>, mut stream: Stream, connection: Rc<Connection>) {
    let guard = server.local.drain.guard();
    let mut dialogue = Dialogue {
        left: server.limits.queries,
        server: &server,
        connection,
        partial: Vec::new(),
        late: None,
        waiting: 0,
    };
    // an error is the client's own business: it has gone, or does not take its answers
    if dialogue.run(&mut stream).await.is_ok() {
        let _ = timeout(server.limits.write, stream.shutdown()).await;
        drop(guard);
        let _ = timeout(LINGER, Box::pin(linger(&mut stream))).await;
    }
}

/// Takes what the client has sent beyond its share until it closes too. To close on unread bytes
/// is a reset, which overtakes answers that the client has not read yet.
async fn linger(stream: &mut Stream) -> io::Result<u64> {
    tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
}

struct Dialogue<'s> {
    server: &'s Rc<Server>,
    connection: Rc<Connection>,
    /// How many queries it may still ask.
    left: usize,
    /// The beginning of the next query.
    partial: Vec<u8>,
    /// By which answers of upstreams come; made when the first is waited for.
    late: Option<Late>,
    /// How many of them are still to come.
    waiting: usize,
}

struct Late {
    sender: mpsc::Sender<Option<Vec<u8>>>,
    receiver: mpsc::Receiver<Option<Vec<u8>>>,
}

impl Dialogue<'_> {
    async fn run(&mut self, stream: &mut Stream) -> io::Result<()> {
        let mut drained = pin!(self.server.local.drain.started());
        let mut idle = pin!(sleep(self.server.limits.idle));
        let mut is_asking = true;
        while is_asking || self.waiting > 0 {
            tokio::select! {
                biased;
                answer = next_late(&mut self.late), if self.waiting > 0 => {
                    self.waiting -= 1;
                    if let Some(answer) = answer {
                        Box::pin(self.write(stream, &framed(&answer))).await?;
                    }
                }
                () = &mut drained, if is_asking => is_asking = false,
                read = next_piece(stream, &mut self.partial), if is_asking => {
                    let left = self.left;
                    // boxed, so that it leaves no room behind while the connection is idle
                    is_asking = read.is_ok_and(|length| length > 0)
                        && Box::pin(self.answer(stream)).await?
                        && self.left > 0;
                    if self.left < left {
                        idle.as_mut().reset(Instant::now() + self.server.limits.idle);
                        self.connection.wait_for_client();
                    }
                }
                () = &mut idle, if is_asking => is_asking = false,
            }
        }
        Ok(())
    }

    /// Answers every query that has come whole, several in one write. `false`: the next is too
    /// long.
    async fn answer(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let received = std::mem::take(&mut self.partial);
        let (mut rest, mut is_good) = (received.as_slice(), true);
        let (mut answer, mut out) = (Vec::new(), Vec::new());
        while self.left > 0 {
            let query = match split_query(rest) {
                Split::Whole(query, behind) => {
                    rest = behind;
                    query
                }
                Split::Partial => break,
                Split::TooLong => {
                    is_good = false;
                    break;
                }
            };
            self.left -= 1;
            let is_padded = self.connection.transport.is_encrypted() && padding::is_asked(query);
            match self.server.answer(
                query,
                self.connection.address,
                self.connection.transport,
                &mut answer,
            ) {
                Next::Nothing => {}
                Next::Send => {
                    if is_padded {
                        padding::pad(&mut answer);
                    }
                    frame(&answer, &mut out);
                }
                Next::Wait(waiting) => self.forward(waiting, is_padded),
            }
            if out.len() >= WRITTEN_AT_ONCE {
                self.write(stream, &out).await?;
                out.clear();
            }
        }
        self.partial = rest.to_vec();
        self.write(stream, &out).await?;
        Ok(is_good)
    }

    /// Asks upstreams in a task of its own.
    fn forward(&mut self, waiting: Waiting, is_padded: bool) {
        let late = self.late.get_or_insert_with(|| {
            let (sender, receiver) = mpsc::channel(LATE_AT_ONCE);
            Late { sender, receiver }
        });
        self.waiting += 1;
        let (server, sender) = (self.server.clone(), late.sender.clone());
        let connection = self.connection.clone();
        spawn_local("dns forward", async move {
            let mut answer = Vec::new();
            let busy = connection.wait_for_upstream();
            let is_said = server.forward(waiting, connection.address, &mut answer).await;
            drop(busy);
            if is_padded {
                padding::pad(&mut answer);
            }
            let _ = sender.send(is_said.then_some(answer)).await;
        });
    }

    async fn write(&self, stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let all = async {
            stream.write_all(bytes).await?;
            stream.flush().await
        };
        timeout(self.server.limits.write, all).await?
    }
}

/// The next answer of an upstream, or that there will be none. Cancel-safe.
async fn next_late(late: &mut Option<Late>) -> Option<Vec<u8>> {
    match late {
        // we hold a sender, so the channel does not end
        Some(late) => late.receiver.recv().await.flatten(),
        None => std::future::pending().await,
    }
}

/// Reads what is there. Cancel-safe.
async fn next_piece(stream: &mut Stream, into: &mut Vec<u8>) -> io::Result<usize> {
    std::future::poll_fn(|cx| poll_piece(stream, into, cx)).await
}

fn poll_piece(
    stream: &mut Stream,
    into: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = [const { MaybeUninit::uninit() }; PIECE];
    let mut piece = ReadBuf::uninit(&mut room);
    ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
    into.extend_from_slice(piece.filled());
    Poll::Ready(Ok(piece.filled().len()))
}

/// The beginning of what has come.
enum Split<'b> {
    /// A query, and what is behind it.
    Whole(&'b [u8], &'b [u8]),
    /// Less than a query.
    Partial,
    /// A query that nobody needs.
    TooLong,
}

/// Takes one query, of which a length stands in front.
fn split_query(bytes: &[u8]) -> Split<'_> {
    let Some((length, behind)) = bytes.split_first_chunk() else { return Split::Partial };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > QUERY {
        return Split::TooLong;
    }
    match behind.split_at_checked(length) {
        Some((query, behind)) => Split::Whole(query, behind),
        None => Split::Partial,
    }
}

/// Appends an answer with its length in front.
fn frame(answer: &[u8], out: &mut Vec<u8>) {
    let Ok(length) = u16::try_from(answer.len()) else { return };
    out.extend(length.to_be_bytes());
    out.extend(answer);
}

fn framed(answer: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.len() + 2);
    frame(answer, &mut out);
    out
}

/// Bytes read at a time: many queries of one client that pipelines.
const PIECE: usize = 4096;

/// Bytes of answers that are collected before they are written.
const WRITTEN_AT_ONCE: usize = 16 * 1024;

/// Answers of upstreams that may wait for the client to take them.
const LATE_AT_ONCE: usize = 4;

/// How long the client may take to read its last answers, and what it may send meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 << 10;
