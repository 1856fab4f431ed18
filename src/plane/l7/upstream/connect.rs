//! New connections to endpoints. Cold: called boxed.

use std::rc::Rc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use super::{Connection, UpstreamError};
use crate::plane::l7::buffer::Buffers;
use crate::plane::l7::limits::Limits;
use crate::snapshot::EndpointId;

/// Connects to an endpoint within [`Limits::connect_time`].
pub(crate) async fn connect(
    endpoint: EndpointId,
    limits: &Limits,
    buffers: &Rc<Buffers>,
) -> Result<Connection, UpstreamError> {
    let connecting = TcpStream::connect(endpoint.addr());
    let stream = tokio::time::timeout(limits.connect_time, connecting)
        .await
        .map_err(|_| UpstreamError::ConnectTimeout)?
        .map_err(UpstreamError::Connect)?;
    tune(&stream, limits.unacknowledged_time).map_err(UpstreamError::Connect)?;
    Ok(Connection::new(endpoint, stream, buffers.clone()))
}

/// Heads go out at once, and a host that died in silence is noticed.
fn tune(stream: &TcpStream, unacknowledged: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_user_timeout(Some(unacknowledged))
}
