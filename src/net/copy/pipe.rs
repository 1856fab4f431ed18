//! Pipes for bulk: bytes go from socket to socket without being copied (splice(2)).
//!
//! Pipes are pooled, since making one costs as much as a few reads, and few: a session has one only
//! while bytes are in it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The pipes of one worker.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    lent: Cell<usize>,
    /// The kernel does not splice these sockets.
    is_refused: Cell<bool>,
}

#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipes {
    /// An empty pipe. `None`: too many are lent, or there are none here.
    pub(super) fn lend(&self) -> Option<LentPipe<'_>> {
        if self.is_refused.get() || self.lent.get() >= MAX_LENT {
            return None;
        }
        let idle = self.idle.borrow_mut().pop();
        let pipe = idle.or_else(|| Pipe::new().ok())?;
        self.lent.set(self.lent.get() + 1);
        Some(LentPipe { pipes: self, pipe: Some(pipe), held: 0 })
    }

    /// As where the kernel does not splice.
    #[cfg(test)]
    pub(super) fn refuse(&self) {
        self.is_refused.set(true);
    }

    /// How many are lent, and how many wait.
    #[cfg(test)]
    pub(super) fn count(&self) -> (usize, usize) {
        (self.lent.get(), self.idle.borrow().len())
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // beyond what one user may have, it stays at 64 KiB
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write })
    }
}

/// A pipe with the bytes of one direction. It goes back when it is dropped, if it is empty: what is
/// left in it is for nobody else.
#[derive(Debug)]
pub(super) struct LentPipe<'a> {
    pipes: &'a Pipes,
    pipe: Option<Pipe>,
    held: usize,
}

impl LentPipe<'_> {
    /// Takes what a socket has; to be called while the pipe is empty, since EAGAIN would not tell
    /// whether it is the socket that has nothing. 0: the peer has ended.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Err(io::ErrorKind::NotConnected.into()) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let filled = from.try_io(Interest::READABLE, || {
            Ok(splice(from, None, &pipe.write, None, PIPE_BYTES, flags)?)
        });
        if let Err(error) = &filled {
            let refusals = [io::ErrorKind::InvalidInput, io::ErrorKind::Unsupported];
            self.pipes.is_refused.set(refusals.contains(&error.kind()));
        }
        self.held = *filled.as_ref().unwrap_or(&0);
        filled
    }

    /// Whether the kernel has said that it does not splice.
    pub(super) fn is_refused(&self) -> bool {
        self.pipes.is_refused.get()
    }

    /// Gives bytes to a socket.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<()> {
        let Some(pipe) = &self.pipe else { return Err(io::ErrorKind::NotConnected.into()) };
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let drained = to.try_io(Interest::WRITABLE, || {
            Ok(splice(&pipe.read, None, to, None, self.held, flags)?)
        })?;
        if drained == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.held = self.held.saturating_sub(drained);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }
}

impl Drop for LentPipe<'_> {
    fn drop(&mut self) {
        self.pipes.lent.set(self.pipes.lent.get().saturating_sub(1));
        let mut idle = self.pipes.idle.borrow_mut();
        if self.held == 0 && idle.len() < MAX_IDLE {
            idle.extend(self.pipe.take());
        }
    }
}

/// As much as passes at once between fast peers.
const PIPE_BYTES: usize = 256 * 1024;

/// Two descriptors each: what is beyond is copied.
const MAX_LENT: usize = 64;

/// Kept for the next one.
const MAX_IDLE: usize = 16;
