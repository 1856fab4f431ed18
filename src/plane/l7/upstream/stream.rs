//! The bytes of HTTP/1 to and from an endpoint.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::h2::Translated;

/// A connection's bytes.
#[derive(Debug)]
pub(crate) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Within TLS; boxed, it is large.
    Tls(Box<TlsStream<TcpStream>>),
    /// Of one exchange, on a stream of HTTP/2.
    Http2(Box<Translated>),
}

impl Stream {
    /// Whether the endpoint has neither closed the connection nor said anything unasked.
    ///
    /// `certain` asks the kernel (one system call); otherwise only what the runtime has been told
    /// is looked at, which misses a close that has just arrived.
    pub(super) fn is_quiet(&mut self, certain: bool) -> bool {
        match self {
            Self::Plain(stream) => is_quiet(stream, certain),
            Self::Tls(stream) => {
                // an end that came with the last response was decrypted already
                let mut cx = Context::from_waker(Waker::noop());
                let mut byte = [0];
                let read = Pin::new(&mut *stream).poll_read(&mut cx, &mut ReadBuf::new(&mut byte));
                read.is_pending() && (!certain || is_quiet(stream.get_ref().0, true))
            }
            // it has carried its exchange
            Self::Http2(_) => false,
        }
    }

    /// Whether bytes that it took wait for the endpoint to make room.
    pub(crate) fn holds_back(&self) -> bool {
        match self {
            Self::Plain(_) | Self::Tls(_) => false,
            Self::Http2(stream) => stream.holds_back(),
        }
    }
}

fn is_quiet(stream: &TcpStream, certain: bool) -> bool {
    let told = if certain {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        SockRef::from(stream).peek(&mut byte)
    } else {
        stream.try_read(&mut [0])
    };
    told.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Http2(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Http2(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Http2(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Http2(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
