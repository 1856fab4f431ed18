//! Connections to endpoints.
//!
//! In: an endpoint and the bytes of a request. Out: the response, read by the task of the
//! exchange itself: no task, no channel, no lock between them. Called by `exchange`.
//!
//! Invariant: a connection is used again only after a complete request and a complete response
//! of exact length with nothing behind it; whatever else happens, it is closed.
//! Invariant: only requests to the same [`Peer`] share connections: the same endpoint, protocol
//! and policy for TLS.
//! Deliberately absent: which endpoint (that is `balance`), retries (`exchange`), what certificates
//! must say (`plane/tls`).

mod connect;
mod h1;
mod peer;
mod pool;
mod stream;

pub(super) use connect::connect;
pub(super) use h1::Connection;
pub(super) use peer::Peer;
pub(super) use pool::Pool;
use stream::Stream;

use crate::plane::l7::h1::ProtocolError;
use crate::snapshot::Reason;

/// Why an attempt at an endpoint failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// It refused the connection, or there is no way to it.
    #[error("connect")]
    Connect(#[source] std::io::Error),
    /// It did not take the connection in time.
    #[error("connect time-out")]
    ConnectTimeout,
    /// The TLS handshake failed, on its side or on ours.
    #[error("TLS handshake")]
    Tls(#[source] std::io::Error),
    /// It ended the connection before the first byte of a response.
    #[error("closed before a response")]
    NoResponse(#[source] Option<std::io::Error>),
    /// It ended the connection within a response.
    #[error("closed within a response")]
    Broken(#[source] Option<std::io::Error>),
    /// What it sent is not HTTP/1.
    #[error("bad response")]
    Protocol(#[from] ProtocolError),
    /// It was silent for too long.
    #[error("response time-out")]
    Silent,
}

impl UpstreamError {
    /// The connection ended before the first byte of a response. In TLS 1.3 an endpoint's verdict
    /// on our certificate comes as late as that.
    fn unanswered(error: Option<std::io::Error>) -> Self {
        match error {
            Some(error) if error.get_ref().is_some_and(|it| it.is::<rustls::Error>()) => {
                Self::Tls(error)
            }
            error => Self::NoResponse(error),
        }
    }

    /// As log, metric and body name it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Connect(_) => Reason::ConnectRefused,
            Self::ConnectTimeout => Reason::ConnectTimeout,
            Self::Tls(_) => Reason::UpstreamTls,
            Self::NoResponse(_) | Self::Broken(_) => Reason::UpstreamReset,
            Self::Protocol(error) => error.response_reason(),
            Self::Silent => Reason::ResponseTimeout,
        }
    }
}
