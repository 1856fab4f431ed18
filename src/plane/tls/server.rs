//! TLS towards clients: one handshake.
//!
//! The certificate is chosen from the snapshot of then, so that a new one is served from the next
//! connection on, and no connection is cut for it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::server::StartHandshake;

use super::Stream;
use super::admission::Admission;
use super::configs::Content;
use crate::plane::challenges::TLS_PROTOCOL;
use crate::plane::{Limits, Local};
use crate::snapshot::{Exposure, Reason, SocketKey, TlsTable};

/// Shakes hands with the certificate that `table` has for the server name. `Err`: it failed, or
/// there is no certificate; the client has been told what can be told. `None`: it was an ACME server,
/// which has learned what it wants to know.
pub async fn accept(
    local: &Local,
    key: SocketKey,
    table: &TlsTable,
    content: Content,
    start: StartHandshake<TcpStream>,
) -> Result<Option<Session>, Failed> {
    let mut challenge = None;
    let (config, client_auth) = {
        let hello = start.client_hello();
        if hello.alpn().is_some_and(|mut offered| offered.any(|it| it == TLS_PROTOCOL)) {
            challenge = local.challenges.tls(hello.server_name());
        }
        let name = hello.server_name();
        let asked = table.select(name).and_then(|entry| entry.client_auth.clone());
        (local.tls.select(key, table, content, name), asked)
    };
    if let Some(challenge) = challenge {
        return Ok(answer(start, challenge).await.map(|()| None)?);
    }
    let config = config.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    let shaken = start.into_stream(config).into_fallible().await;
    let mut stream =
        shaken.map_err(|(error, stream)| Failed { error, stream: Some(Box::new(stream)) })?;
    let (_, connection) = stream.get_mut();
    connection.set_buffer_limit(Some(local.limits.tls_send_buffer as usize));
    let server_name: Option<Arc<str>> =
        connection.server_name().map(|name| name.to_ascii_lowercase().into());
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    let shown = client_auth.zip(connection.peer_certificates());
    let admission = shown.map(|(client_auth, chain)| {
        local.admissions.admit(key, server_name.clone(), &client_auth, chain)
    });
    let stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
    Ok(Some(Session { stream, server_name, is_http2, admission }))
}

/// Answers an ACME server, which has learned what it wants to know once it has shaken hands
/// (RFC 8737 section 3). There is no session in any case.
async fn answer(start: StartHandshake<TcpStream>, config: Arc<ServerConfig>) -> io::Result<()> {
    let mut stream = start.into_stream(config).await?;
    // it may have gone away by now
    let _ = stream.shutdown().await;
    Ok(())
}

/// Shakes hands within [`Limits::handshake_time`]. `None`: there is nothing to serve, and if that is
/// a failure it has been counted.
pub async fn in_time(
    local: &Local,
    client: SocketAddr,
    key: SocketKey,
    handshake: impl Future<Output = Result<Option<Session>, Failed>>,
) -> Option<Session> {
    let refuse = |reason| local.note_refused(client, key, Exposure::Gateway, reason);
    match tokio::time::timeout(local.limits.handshake_time, handshake).await {
        Ok(Ok(session)) => return session,
        Ok(Err(failed)) => {
            tracing::debug!(%client, error = %failed.error, "no TLS");
            refuse(failed.reason());
            failed.linger(&local.limits).await;
        }
        Err(_) => refuse(Reason::RequestTimeout),
    }
    None
}

/// A handshake that failed.
#[derive(Debug)]
pub struct Failed {
    /// How.
    pub error: io::Error,
    /// The connection, if the client is still to be told of it.
    stream: Option<Box<TcpStream>>,
}

impl Failed {
    /// Waits until the client has seen why: closing a socket with something unread resets the
    /// connection, and the alert would be lost. A client of TLS 1.3 has often sent its first request
    /// by then.
    pub async fn linger(self, limits: &Limits) {
        let Some(mut stream) = self.stream else { return };
        let until_it_ends = async {
            let _ = stream.shutdown().await;
            let mut dropped = tokio::io::sink();
            let most = limits.linger_bytes as u64;
            let _ = tokio::io::copy(&mut stream.take(most), &mut dropped).await;
        };
        let _ = tokio::time::timeout(limits.linger_time, until_it_ends).await;
    }

    /// Whether that is for what the client said, or because it left.
    fn reason(&self) -> Reason {
        // of rustls, or no certificate
        let is_told =
            matches!(self.error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::NotFound);
        if is_told { Reason::TlsHandshake } else { Reason::ClientClosed }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self { error, stream: None }
    }
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Session {
    /// Within TLS.
    pub stream: Stream,
    /// Which name the client asked for, in lower case.
    pub server_name: Option<Arc<str>>,
    /// Whether HTTP/2 was agreed.
    pub is_http2: bool,
    /// By a certificate that it has shown; the connection is to be served within it.
    pub admission: Option<Admission>,
}
