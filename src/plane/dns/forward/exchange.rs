//! One query to one upstream: UDP, and a connection for what does not fit, or from the beginning.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;

use tokio::net::UdpSocket;

use super::query::{Asked, Query};
use super::reply::{Rejected, Reply};
use super::upstream::Upstream;
use crate::observe::UpstreamFailure;
use crate::snapshot::UpstreamTransport;

/// Why an upstream gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// Of this machine: the upstream is not to blame.
    #[error("no socket to ask it by: {0}")]
    NoSocket(Rc<io::Error>),
    /// It cannot be reached, or its certificate is not good.
    #[error("{0}")]
    Connection(Rc<io::Error>),
    /// It closed a connection before it answered.
    #[error("it closed the connection")]
    Closed,
    /// What came is no answer to the question.
    #[error("what it says is no answer to the question")]
    Invalid,
    /// Nothing came in time.
    #[error("no answer in time")]
    Timeout,
}

impl ExchangeError {
    /// As metrics tell it.
    pub(super) fn failure(&self) -> UpstreamFailure {
        match self {
            Self::NoSocket(_) => UpstreamFailure::Local,
            Self::Connection(_) | Self::Closed => UpstreamFailure::Connection,
            Self::Invalid => UpstreamFailure::Invalid,
            Self::Timeout => UpstreamFailure::Timeout,
        }
    }
}

impl From<io::Error> for ExchangeError {
    fn from(error: io::Error) -> Self {
        Self::Connection(Rc::new(error))
    }
}

/// Asks. Waits for ever for an answer that does not come.
pub(super) async fn exchange(upstream: &Upstream, asked: &Asked) -> Result<Reply, ExchangeError> {
    match upstream.at.transport {
        UpstreamTransport::Tcp | UpstreamTransport::Tls { .. } => {
            upstream.connections.ask(asked).await
        }
        UpstreamTransport::Udp => match by_datagram(upstream.at.addr, &Query::new(asked)).await? {
            Ok(reply) => Ok(reply),
            Err(Rejected::Truncated) => upstream.connections.ask(asked).await,
            Err(Rejected::Lying | Rejected::NotOurs) => Err(ExchangeError::Invalid),
        },
    }
}

/// Asks from a socket of its own: the system draws the port (D7). Whatever is not the answer to
/// this query is passed over.
async fn by_datagram(
    upstream: SocketAddr,
    query: &Query,
) -> Result<Result<Reply, Rejected>, ExchangeError> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await;
    let socket = socket.map_err(|error| ExchangeError::NoSocket(Rc::new(error)))?;
    // only its datagrams are received, and that nobody listens there is an error at once
    socket.connect(upstream).await?;
    socket.send(&query.bytes).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let read = Reply::read(buffer.get(..length).unwrap_or_default(), query, false);
        if read != Err(Rejected::NotOurs) {
            return Ok(read);
        }
    }
}

/// Bytes; some upstreams send more than the 1232 that they are told.
const LARGEST_DATAGRAM: usize = 4096;
