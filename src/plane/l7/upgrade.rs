//! After 101: bytes both ways, whatever they mean. Cold: called boxed.
//!
//! What the client sent before 101 stayed in its buffer until now: an endpoint that refuses the
//! upgrade never sees it (the request smuggling class of 2026).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Server;
use super::account::Holding;
use super::exchange::Carrier;
use super::upstream::Connection;
use crate::observe::RequestRecord;
use crate::snapshot::Reason;

/// Copies both ways until both sides have ended, or one has failed. `ahead` is what the client
/// sent before 101.
pub(super) async fn run(
    server: &Server,
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ahead: &[u8],
    carrier: Carrier,
    record: &mut RequestRecord,
) {
    let Carrier { connection, in_flight: _in_flight } = carrier;
    let Connection { mut stream, buffer, .. } = connection;
    let mut up = Direction::new(ahead);
    let mut down = Direction::new(buffer.filled());
    let mut holding = Holding::default();
    let _ = poll_fn(|cx| {
        let mut scratch = server.scratch.borrow_mut();
        let ended = [
            up.poll_copy(cx, client, &mut stream, &mut scratch)?,
            down.poll_copy(cx, &mut stream, client, &mut scratch)?,
        ];
        if ended.iter().all(Poll::is_ready) {
            return Poll::Ready(io::Result::Ok(()));
        }
        let held = up.waiting.capacity().saturating_add(down.waiting.capacity());
        if holding.poll_note(cx, &server.accounts, held).is_ready() {
            record.reason = Some(Reason::Overloaded);
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await;
    record.request_bytes = up.bytes;
    record.response_bytes = down.bytes;
}

/// One way: what was read and not yet written, and how far it is to its end.
#[derive(Debug, Default)]
struct Direction {
    waiting: Vec<u8>,
    written: usize,
    bytes: u64,
    ended: bool,
    shut: bool,
}

impl Direction {
    fn new(ahead: &[u8]) -> Self {
        let waiting = ahead.to_vec();
        Self { bytes: waiting.len() as u64, waiting, ..Self::default() }
    }

    /// Copies until nothing moves, through a buffer that all connections of the worker share;
    /// only what the other side does not take at once is kept. An end is passed on as an end.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        while !self.shut {
            ready!(self.poll_waiting(cx, to))?;
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.shut = true;
                break;
            }
            let mut read = ReadBuf::new(scratch);
            if Pin::new(&mut *from).poll_read(cx, &mut read)?.is_pending() {
                // TLS may hold bytes back until it is flushed
                let _ = Pin::new(&mut *to).poll_flush(cx)?;
                return Poll::Pending;
            }
            self.ended = read.filled().is_empty();
            self.bytes = self.bytes.saturating_add(read.filled().len() as u64);
            let sent = match Pin::new(&mut *to).poll_write(cx, read.filled())? {
                Poll::Ready(sent) => sent,
                Poll::Pending => 0,
            };
            self.waiting.extend_from_slice(read.filled().get(sent..).unwrap_or_default());
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what the other side did not take before, and frees its memory.
    fn poll_waiting(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.waiting.get(self.written..) {
            let sent = ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written = self.written.saturating_add(sent);
        }
        self.waiting = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}
