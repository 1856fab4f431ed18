//! Connections to endpoints.
//!
//! In: an endpoint and the bytes of a request. Out: the response, read by the task of the
//! exchange itself: no task, no channel, no lock between them. Called by `exchange`. Endpoints that
//! speak HTTP/2 are the exception: their connections are shared, and `h2` translates.
//!
//! Invariant: a connection of HTTP/1 is used again only after a complete request and a complete
//! response of exact length with nothing behind it; whatever else happens, it is closed.
//! Invariant: only requests to the same [`Peer`] share connections: the same endpoint, protocol
//! and policy for TLS, and the same client where the endpoint is told of it by the PROXY protocol.
//! Deliberately absent: which endpoint (that is `balance`), retries (`exchange`), what certificates
//! must say (`plane/tls`).

mod connect;
mod h1;
mod h2;
mod peer;
mod pool;
mod stream;

pub(super) use connect::connect;
pub(super) use h1::Connection;
pub(super) use peer::Peer;
pub(super) use pool::Pool;
use stream::Stream;

use std::io;

use crate::plane::l7::h1::ProtocolError;
use crate::snapshot::Reason;

/// Why an attempt at an endpoint failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// It refused the connection, or there is no way to it.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// It did not take the connection in time.
    #[error("connect time-out")]
    ConnectTimeout,
    /// The TLS handshake failed, on its side or on ours.
    #[error("TLS handshake")]
    Tls(#[source] io::Error),
    /// It ended the connection before the first byte of a response.
    #[error("closed before a response")]
    NoResponse(#[source] Option<io::Error>),
    /// It said that it has done nothing about the request (RFC 9113 section 8.7).
    #[error("refused")]
    Refused(#[source] io::Error),
    /// It reset the stream before the first byte of a response.
    #[error("reset before a response")]
    Reset(#[source] io::Error),
    /// It ended the connection within a response.
    #[error("closed within a response")]
    Broken(#[source] Option<io::Error>),
    /// What it sent is not HTTP/1.
    #[error("bad response")]
    Protocol(#[from] ProtocolError),
    /// What it sent is not HTTP/2.
    #[error("bad response")]
    Http2(#[source] io::Error),
    /// It was silent for too long.
    #[error("response time-out")]
    Silent,
}

impl UpstreamError {
    /// There is no response. In TLS 1.3 an endpoint's verdict on our certificate comes as late as
    /// this.
    fn unanswered(error: Option<io::Error>) -> Self {
        let Some(error) = error else { return Self::NoResponse(None) };
        if error.get_ref().is_some_and(|it| it.is::<rustls::Error>()) {
            return Self::Tls(error);
        }
        let Some(http2) = error.get_ref().and_then(|it| it.downcast_ref::<::h2::Error>()) else {
            return Self::NoResponse(Some(error));
        };
        // a stream knows of GOAWAY only if it is one of those that were not begun
        let is_refused = http2.reason() == Some(::h2::Reason::REFUSED_STREAM);
        if http2.is_remote() && (http2.is_go_away() || is_refused) {
            Self::Refused(error)
        } else if http2.is_library() {
            Self::Http2(error)
        } else if http2.is_reset() {
            Self::Reset(error)
        } else {
            Self::NoResponse(Some(error))
        }
    }

    /// Whether there is no byte of a response.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            Self::NoResponse(_) | Self::Tls(_) | Self::Refused(_) | Self::Reset(_) => true,
            Self::Connect(_)
            | Self::ConnectTimeout
            | Self::Broken(_)
            | Self::Protocol(_)
            | Self::Http2(_)
            | Self::Silent => false,
        }
    }

    /// As log, metric and body name it.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Connect(_) => Reason::ConnectRefused,
            Self::ConnectTimeout => Reason::ConnectTimeout,
            Self::Tls(_) => Reason::UpstreamTls,
            Self::NoResponse(_) | Self::Refused(_) | Self::Reset(_) | Self::Broken(_) => {
                Reason::UpstreamReset
            }
            Self::Http2(_) => Reason::UpstreamProtocol,
            Self::Protocol(error) => error.response_reason(),
            Self::Silent => Reason::ResponseTimeout,
        }
    }
}
