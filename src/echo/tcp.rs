//! TCP: an optional greeting, then every byte comes back; or [`lines`].

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::tls::Session;
use super::{Identity, lines};
use crate::life::DrainGuard;

/// What is said, and by whom.
#[derive(Clone, Debug)]
pub(super) struct Speech {
    pub(super) identity: Identity,
    /// The language of [`lines`].
    pub(super) lines: bool,
}

/// Serves one connection until its client closes its half.
pub(super) async fn serve(mut stream: TcpStream, speech: Speech, held: DrainGuard) {
    let port = stream.local_addr().map_or(0, |addr| addr.port());
    if speech.lines {
        return lines::serve(stream, None, port, speech.identity, held).await;
    }
    let (receive, send) = stream.split();
    // how a client leaves is its own affair
    let _ = echo(receive, send, speech.identity.greeting).await;
}

/// Serves one connection over TLS.
pub(super) async fn serve_tls(stream: Box<TlsStream<TcpStream>>, speech: Speech, held: DrainGuard) {
    if speech.lines {
        let (tcp, session) = stream.get_ref();
        let port = tcp.local_addr().map_or(0, |addr| addr.port());
        let session = Session::of(session);
        return lines::serve(stream, Some(session), port, speech.identity, held).await;
    }
    let (receive, send) = split(stream);
    let _ = echo(receive, send, speech.identity.greeting).await;
}

async fn echo<R, W>(mut receive: R, mut send: W, greeting: Option<Arc<str>>) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    if let Some(greeting) = greeting {
        send.write_all(format!("{greeting}\n").as_bytes()).await?;
    }
    copy(&mut receive, &mut send).await?;
    send.shutdown().await
}
