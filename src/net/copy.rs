//! Copies between two connections, both ways, half-closes kept.
//!
//! Every session of a worker reads into one buffer that they share: a session keeps bytes of its
//! own only while its peer is full, so that an idle one costs no buffer at all. Measured against
//! `copy_bidirectional` (a buffer each way for every session), it takes less memory and less CPU.
//! A direction that moves bulk between connections without TLS goes through a pipe in place of the
//! buffer, which is cheaper still ([`pipe`]); small messages are dearer that way.

mod pipe;
mod plain;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use pipe::{LentPipe, Pipes};
use plain::{Reset, ResetWatch};

pub use plain::Plain;

/// What the sessions of one worker share while they copy.
#[derive(Debug)]
pub struct SharedBuffers {
    bytes: RefCell<Box<[u8]>>,
    pipes: Pipes,
}

impl Default for SharedBuffers {
    fn default() -> Self {
        let bytes = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
        Self { bytes, pipes: Pipes::default() }
    }
}

/// Large enough for bulk, small enough for the second-level cache.
const BUFFER_BYTES: usize = 64 * 1024;

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Bytes from the first connection to the second.
    pub forth: u64,
    /// Bytes from the second connection to the first.
    pub back: u64,
}

/// Copies until both directions have ended. A direction that ends is passed on as a shutdown of
/// writing (within TLS: a close_notify, too); an error ends both, but what the second connection said
/// goes on to its end if it was reset only after that. `ahead` is what was read of the first
/// connection before, and counts as copied. `copied` is up to date whenever this future is
/// not running, also after it was dropped.
pub async fn copy_both<'a>(
    first: &mut impl Connection<'a>,
    second: &mut impl Connection<'a>,
    ahead: Vec<u8>,
    shared: &'a SharedBuffers,
    copied: &mut Copied,
) -> Result<(), CopyError> {
    copied.forth = ahead.len() as u64;
    let sockets = first.plain().zip(second.plain());
    let mut forth = Direction::new(ahead, sockets);
    let mut back = Direction::new(Vec::new(), sockets.map(|(first, second)| (second, first)));
    back.outlives_reset = true;
    poll_fn(|context| {
        let polled = forth.poll(first, second, shared, &mut copied.forth, context);
        let is_forth_over = match polled {
            // nobody takes the rest, and nothing of it is needed any more
            Err(Failed::Writing(error)) if back.goes_on_after(&error) => forth.give_up(),
            polled => polled.map_err(|failed| match failed {
                Failed::Reading(error) => CopyError::First(error),
                Failed::Writing(error) if back.has_ended() => CopyError::SecondAfterEnd(error),
                Failed::Writing(error) => CopyError::Second(error),
            })?,
        };
        let polled = back.poll(second, first, shared, &mut copied.back, context);
        let is_back_over = polled.map_err(|failed| match failed {
            Failed::Reading(error) if back.has_ended() => CopyError::SecondAfterEnd(error),
            Failed::Reading(error) => CopyError::Second(error),
            Failed::Writing(error) => CopyError::First(error),
        })?;
        match (is_forth_over, is_back_over) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    })
    .await
}

/// Which connection failed, and how.
#[derive(Debug)]
pub enum CopyError {
    /// The first one.
    First(io::Error),
    /// The second one.
    Second(io::Error),
    /// The second one, after its end was passed on: what it said may be on its way to the first.
    SecondAfterEnd(io::Error),
}

/// Where a direction failed.
enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

/// What can be copied from and to, for `'a`.
pub trait Connection<'a>: AsyncRead + AsyncWrite + Unpin {
    /// The socket, where its bytes are the connection's, as they are.
    fn plain(&self) -> Option<&'a TcpStream>;
}

impl<'a> Connection<'a> for Plain<'a> {
    fn plain(&self) -> Option<&'a TcpStream> {
        Some(self.0)
    }
}

/// One direction of a copy.
#[derive(Debug)]
struct Direction<'a> {
    /// From and to, where bytes can go without being read.
    sockets: Option<(&'a TcpStream, &'a TcpStream)>,
    /// Read, but not yet taken by the peer.
    left: Vec<u8>,
    /// The same, in a pipe.
    pipe: Option<LentPipe<'a>>,
    /// Bytes since the reader paused.
    burst: usize,
    /// Bytes since a burst was small.
    bulk: usize,
    reset: ResetWatch<'a>,
    /// What is left goes on when the reader is reset after its end: an answer is whole by then, while
    /// a request whose client is gone serves nobody.
    outlives_reset: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    /// The reader has ended; the writer is to be told.
    Ending,
    Ended,
}

impl<'a> Direction<'a> {
    fn new(left: Vec<u8>, sockets: Option<(&'a TcpStream, &'a TcpStream)>) -> Self {
        Self {
            sockets,
            left,
            pipe: None,
            burst: 0,
            bulk: 0,
            reset: ResetWatch::default(),
            outlives_reset: false,
            phase: Phase::Copying,
        }
    }

    fn has_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Whether what is left goes on though writing to its reader failed by this: by a reset, after
    /// the reader had said its end.
    fn goes_on_after(&mut self, error: &io::Error) -> bool {
        let goes_on = self.sockets.is_some() && self.outlives_reset && !self.has_ended();
        goes_on && self.reset.learn(error.kind()) == Reset::AfterEnd
    }

    /// Drops what is left.
    fn give_up(&mut self) -> Poll<()> {
        (self.left, self.pipe, self.phase) = (Vec::new(), None, Phase::Ended);
        Poll::Ready(())
    }

    fn poll(
        &mut self,
        from: &mut impl Connection<'a>,
        to: &mut impl Connection<'a>,
        shared: &'a SharedBuffers,
        copied: &mut u64,
        context: &mut Context<'_>,
    ) -> Result<Poll<()>, Failed> {
        let polled = self.advance(from, to, shared, copied, context)?;
        let is_reading =
            self.phase == Phase::Copying && self.left.is_empty() && self.pipe.is_none();
        match self.sockets {
            Some((from, _)) if !is_reading => match self.reset.poll(from, context) {
                Some(Reset::AfterEnd) if self.outlives_reset && !self.has_ended() => Ok(polled),
                Some(reset) => Err(Failed::Reading(reset.into())),
                None => Ok(polled),
            },
            _ => {
                self.reset.end();
                Ok(polled)
            }
        }
    }

    fn advance(
        &mut self,
        from: &mut impl Connection<'a>,
        to: &mut impl Connection<'a>,
        shared: &'a SharedBuffers,
        copied: &mut u64,
        context: &mut Context<'_>,
    ) -> Result<Poll<()>, Failed> {
        for _ in 0..ROUNDS {
            let polled = match self.phase {
                Phase::Ended => return Ok(Poll::Ready(())),
                Phase::Ending => self.poll_end(to, context),
                Phase::Copying => self.poll_round(from, to, shared, copied, context),
            };
            match polled {
                Poll::Ready(done) => done?,
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        // others of this worker have their turn before the next round
        context.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    fn poll_end(
        &mut self,
        to: &mut impl Connection<'a>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        ready!(Pin::new(to).poll_shutdown(context)).map_err(Failed::Writing)?;
        self.phase = Phase::Ended;
        Poll::Ready(Ok(()))
    }

    /// Moves once as much as the reader has.
    fn poll_round(
        &mut self,
        from: &mut impl Connection<'a>,
        to: &mut impl Connection<'a>,
        shared: &'a SharedBuffers,
        copied: &mut u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        ready!(self.poll_left(to, context))?;
        ready!(self.poll_pipe(context))?;
        let sockets = self.sockets.filter(|_| self.bulk >= BULK);
        if let Some((from, _)) = sockets {
            if from.poll_read_ready(context).map_err(Failed::Reading)?.is_pending() {
                self.pause();
                return Poll::Pending;
            }
            if let Some(pipe) = shared.pipes.lend()
                && self.fill(pipe, from, copied)?
            {
                return self.poll_pipe(context);
            }
        }
        self.poll_copy(from, to, shared, copied, context)
    }

    /// Fills a pipe. `false`: it has to be copied.
    fn fill(
        &mut self,
        mut pipe: LentPipe<'a>,
        from: &TcpStream,
        copied: &mut u64,
    ) -> Result<bool, Failed> {
        match pipe.fill(from) {
            Ok(0) => self.phase = Phase::Ending,
            Ok(moved) => {
                self.count(moved, copied);
                self.pipe = Some(pipe);
            }
            // nothing is there: as good as a pause, and found to be one in the next round
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) if pipe.is_refused() => return Ok(false),
            Err(error) => return Err(Failed::Reading(error)),
        }
        Ok(true)
    }

    /// Empties the pipe and gives it back.
    fn poll_pipe(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        while let (Some(pipe), Some((_, to))) = (&mut self.pipe, self.sockets) {
            ready!(to.poll_write_ready(context)).map_err(Failed::Writing)?;
            match pipe.drain(to) {
                Ok(()) if pipe.is_empty() => self.pipe = None,
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Failed::Writing(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn count(&mut self, moved: usize, copied: &mut u64) {
        *copied = copied.saturating_add(moved as u64);
        self.burst = self.burst.saturating_add(moved);
        self.bulk = self.bulk.saturating_add(moved);
    }

    /// The reader has nothing for now. What comes in small bursts is no bulk, however much it is.
    fn pause(&mut self) {
        // without any it was the other direction that woke the task
        if (1..SMALL_BURST).contains(&self.burst) {
            self.bulk = 0;
        }
        self.burst = 0;
    }

    /// Writes what is left from before.
    fn poll_left(
        &mut self,
        to: &mut impl Connection<'a>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        while !self.left.is_empty() {
            let written = ready!(poll_write(to, context, &self.left))?;
            self.left.drain(..written);
        }
        // an empty Vec would keep its memory, and most sessions are idle most of the time
        self.left = Vec::new();
        Poll::Ready(Ok(()))
    }

    /// Reads once into the shared buffer and writes as much of it as the peer takes.
    fn poll_copy(
        &mut self,
        from: &mut impl Connection<'a>,
        to: &mut impl Connection<'a>,
        shared: &SharedBuffers,
        copied: &mut u64,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failed>> {
        let mut buffer = shared.bytes.borrow_mut();
        let mut read = ReadBuf::new(&mut buffer);
        let polled = Pin::new(from).poll_read(context, &mut read);
        if polled.map_err(Failed::Reading)?.is_pending() {
            self.pause();
            // TLS may hold bytes back until it is flushed; nothing waits for the end of it
            let _ = Pin::new(to).poll_flush(context).map_err(Failed::Writing)?;
            return Poll::Pending;
        }
        let mut bytes = read.filled();
        if bytes.is_empty() {
            self.phase = Phase::Ending;
            return Poll::Ready(Ok(()));
        }
        self.count(bytes.len(), copied);
        while !bytes.is_empty() {
            match poll_write(to, context, bytes) {
                Poll::Ready(written) => bytes = bytes.get(written?..).unwrap_or_default(),
                Poll::Pending => {
                    self.left = bytes.to_vec();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes at least one byte.
fn poll_write<'a>(
    to: &mut impl Connection<'a>,
    context: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<Result<usize, Failed>> {
    match ready!(Pin::new(to).poll_write(context, bytes)).map_err(Failed::Writing)? {
        0 => Poll::Ready(Err(Failed::Writing(io::ErrorKind::WriteZero.into()))),
        written => Poll::Ready(Ok(written)),
    }
}

/// Reads of one direction before the others of the worker have a turn.
const ROUNDS: usize = 16;

/// So much without a small burst is bulk: a pipe is worth it.
const BULK: usize = 128 * 1024;

/// Between two pauses of the reader.
const SMALL_BURST: usize = 16 * 1024;
