//! The beginning of a connection: TLS or not, and which protocol.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::downstream::{h1, h2};
use super::forwarded::client_lines;
use super::{Accepted, Identity, Server, http_listener, tls};

/// A client's connection.
#[derive(Debug)]
pub(super) enum Stream {
    /// In the clear.
    Plain(TcpStream),
    /// Within TLS; boxed, it is large.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Serves a connection to its end.
pub(super) async fn serve(server: &Rc<Server>, accepted: Accepted) {
    let Accepted { stream, client, key } = accepted;
    let snapshot = server.local.snapshot.load();
    let Some(listener) = http_listener(&snapshot, key).cloned() else { return };
    drop(snapshot);
    // heads are small and must not wait; a socket that is gone shows at the first read
    let _ = stream.set_nodelay(true);
    let lines = client_lines(client, listener.tls.is_some(), key.addr.port());
    let is_tls = listener.tls.is_some();
    let mut identity = Identity { key, client, is_tls, server_name: None, client_lines: lines };
    let Some(table) = &listener.tls else {
        drop(listener);
        return h1::serve(server, Stream::Plain(stream), identity).await;
    };
    let accepting = tls::accept(server, key, table.clone(), stream);
    let Some((stream, protocol)) = Box::pin(accepting).await else { return };
    drop(listener);
    let (_, session) = stream.get_ref();
    identity.server_name = session.server_name().map(|name| name.to_ascii_lowercase().into());
    match protocol {
        tls::Protocol::Http1 => h1::serve(server, Stream::Tls(stream), identity).await,
        tls::Protocol::Http2 => {
            let stream = Stream::Tls(stream);
            Box::pin(h2::serve(server, stream, Vec::new(), identity)).await;
        }
    }
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
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
