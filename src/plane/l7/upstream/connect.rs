//! New connections to endpoints. Cold: called boxed.

use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{Connection, Peer, Stream, UpstreamError};
use crate::plane::l7::buffer::Buffers;
use crate::plane::l7::limits::Limits;

/// Connects to an endpoint within [`Limits::connect_time`], and shakes hands within
/// [`Limits::handshake_time`] if it is spoken to within TLS.
pub(crate) async fn connect(
    peer: Peer,
    limits: &Limits,
    buffers: &Rc<Buffers>,
) -> Result<Connection, UpstreamError> {
    let stream = open(&peer, limits).await?;
    Ok(Connection::new(peer, stream, buffers.clone()))
}

async fn open(peer: &Peer, limits: &Limits) -> Result<Stream, UpstreamError> {
    let connecting = TcpStream::connect(peer.endpoint.addr());
    let stream = tokio::time::timeout(limits.connect_time, connecting)
        .await
        .map_err(|_| UpstreamError::ConnectTimeout)?
        .map_err(UpstreamError::Connect)?;
    tune(&stream, limits.unacknowledged_time).map_err(UpstreamError::Connect)?;
    let Some(client) = &peer.tls else { return Ok(Stream::Plain(stream)) };
    let shaken = tokio::time::timeout(limits.handshake_time, client.connect(stream)).await;
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
