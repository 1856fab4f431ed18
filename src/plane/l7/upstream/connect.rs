//! New connections to endpoints. Cold: called boxed.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::h2::Translated;
use super::{Connection, Peer, Stream, UpstreamError};
use crate::plane::Limits;
use crate::plane::l7::Server;
use crate::snapshot::{BackendId, Protocol, Reason};

/// Connects to an endpoint within [`Limits::connect_time`], and shakes hands within
/// [`Limits::handshake_time`] if it is spoken to within TLS. A connection of HTTP/2 is made once
/// for all that wait for it.
pub(crate) async fn connect(
    server: &Server,
    backend: &BackendId,
    peer: Peer,
) -> Result<Connection, Reason> {
    let Server { local, pool, buffers, .. } = server;
    let limits = &local.limits;
    let opening = open(&peer, limits);
    match peer.protocol {
        Protocol::Http1 => {
            let stream = opening.await.map_err(|error| error.reason())?;
            Ok(Connection::new(peer, stream, buffers.clone()))
        }
        Protocol::Http2 => {
            let lease = pool.lease(&peer, backend);
            let sender = lease.connected(limits, opening).await?;
            let stream = Translated::new(lease, sender, &peer);
            Ok(Connection::translated(peer, stream, buffers.clone()))
        }
    }
}

async fn open(peer: &Peer, limits: &Limits) -> Result<Stream, UpstreamError> {
    let connecting = TcpStream::connect(peer.endpoint.addr());
    let mut stream = tokio::time::timeout(limits.connect_time, connecting)
        .await
        .map_err(|_| UpstreamError::ConnectTimeout)?
        .map_err(UpstreamError::Connect)?;
    tune(&stream, limits.unacknowledged_time).map_err(UpstreamError::Connect)?;
    if let Some(header) = &peer.header {
        // it fits into the buffer of a fresh socket
        stream.write_all(header).await.map_err(UpstreamError::Connect)?;
    }
    let Some(client) = &peer.tls else { return Ok(Stream::Plain(stream)) };
    let shaking = client.connect(stream, limits.tls_send_buffer);
    let shaken = tokio::time::timeout(limits.handshake_time, shaking).await;
    match shaken.map_err(|_| UpstreamError::ConnectTimeout)? {
        Ok(stream) => Ok(Stream::Tls(stream)),
        Err(error) => {
            tracing::debug!(endpoint = %peer.endpoint, %error, "handshake with an endpoint");
            Err(UpstreamError::Tls(error))
        }
    }
}

/// Heads go out at once, and a host that died in silence is noticed.
fn tune(stream: &TcpStream, unacknowledged: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(unacknowledged))
}
