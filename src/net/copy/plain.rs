//! A connection without TLS, by reference: its bytes can be spliced, and its reset is noticed while
//! nothing is read of it.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;

/// A connection without TLS.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a TcpStream);

impl AsyncRead for Plain<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            let room = buffer.initialize_unfilled();
            let length = room.len();
            match self.0.try_read(room) {
                Ok(read) => {
                    if (1..length).contains(&read) {
                        not_ready(self.0, Interest::READABLE);
                    }
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Plain<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Ok(written) => {
                    if (1..bytes.len()).contains(&written) {
                        not_ready(self.0, Interest::WRITABLE);
                    }
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(self.0).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Poll::Ready(Err(error)),
            Ok(()) | Err(_) => Poll::Ready(Ok(())),
        }
    }
}

/// A short read has emptied the socket, a short write has filled it: what comes next is an edge that
/// epoll tells. Saves the system call that would say EAGAIN, as tokio's own `poll_read` does.
fn not_ready(socket: &TcpStream, interest: Interest) {
    let _ = socket.try_io(interest, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
}

/// Waits for the reset of a connection that nothing is read of.
#[derive(Default)]
pub(super) struct ResetWatch<'a> {
    ready: Option<Pin<Box<dyn Future<Output = io::Result<Ready>> + 'a>>>,
    /// Asking takes the error from the socket, so that it is kept here.
    told: Option<Reset>,
}

/// How a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// What it had left to say is lost. (Or it had said its end, but not before ours had been passed
    /// on to it: the system tells no difference then.)
    Amid(io::ErrorKind),
    /// It had said its end, and all of it can be read still.
    AfterEnd,
}

impl From<Reset> for io::Error {
    fn from(reset: Reset) -> Self {
        match reset {
            Reset::Amid(kind) => kind.into(),
            Reset::AfterEnd => io::ErrorKind::ConnectionReset.into(),
        }
    }
}

impl std::fmt::Debug for ResetWatch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ResetWatch").field(&self.ready.is_some()).field(&self.told).finish()
    }
}

impl<'a> ResetWatch<'a> {
    /// How the connection failed by now.
    pub(super) fn poll(
        &mut self,
        socket: &'a TcpStream,
        context: &mut Context<'_>,
    ) -> Option<Reset> {
        if self.told.is_some() {
            return self.told;
        }
        let ready = self.ready.get_or_insert_with(|| Box::pin(socket.ready(Interest::ERROR)));
        let Poll::Ready(told) = ready.as_mut().poll(context) else { return None };
        self.ready = None;
        let error = told.and_then(|_| socket.take_error()).unwrap_or_else(Some);
        let kind = error.map_or(io::ErrorKind::ConnectionReset, |error| error.kind());
        Some(self.learn(kind))
    }

    /// How the connection failed, by what reading, writing or asking told of it first.
    pub(super) fn learn(&mut self, kind: io::ErrorKind) -> Reset {
        // what Linux says of a reset in CLOSE_WAIT (`tcp_reset`)
        let is_after_end = kind == io::ErrorKind::BrokenPipe;
        *self.told.insert(if is_after_end { Reset::AfterEnd } else { Reset::Amid(kind) })
    }

    /// Gives its memory back.
    pub(super) fn end(&mut self) {
        self.ready = None;
    }
}
