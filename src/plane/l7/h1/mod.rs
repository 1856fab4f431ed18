//! HTTP/1 as bytes: heads, body lengths, chunks. Sans-IO and strict.
//!
//! In: bytes, however they were split on the way. Out: heads as offsets into those bytes
//! ([`RequestHead`], [`ResponseHead`]), the length of a body ([`BodyLength`]), body data
//! ([`Decoder`]) and framed output ([`Outgoing`]). Called by `downstream` and `upstream`.
//!
//! Invariant: what two HTTP implementations could read in two ways is refused, never repaired:
//! a line ends with CRLF and with nothing else, there is one way to say how long a body is, and
//! chunk extensions are dropped because bodies are framed anew (RFC 9112, the cases of
//! `limits-and-threats`, S1 to S6).
//! Invariant: any split of the input gives the same result, and no input panics.
//! Deliberately absent: sockets, clocks, limits in time, routing, and what headers mean.

mod body;
mod chunked;
mod framing;
mod head;
mod name;
mod outgoing;

#[cfg(test)]
mod tests;

pub(super) use body::{Decoder, trailer_fields};
pub(super) use chunked::is_token;
pub(super) use framing::{BodyLength, parse_length, request_length, response_length};
pub(super) use head::{Field, HeadEnd, RequestHead, ResponseHead, Verb};
pub(super) use name::Name;
pub(super) use outgoing::{Encoder, Outgoing};

use crate::snapshot::Reason;

/// Why bytes are not HTTP/1 as it is spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProtocolError {
    /// Not the grammar of a head.
    #[error("malformed head")]
    Head,
    /// Larger, or with more fields, than the limits allow.
    #[error("head too large")]
    HeadTooLarge,
    /// The method is longer than its limit.
    #[error("method too long")]
    MethodTooLong,
    /// The request target is longer than its limit.
    #[error("request target too long")]
    TargetTooLong,
    /// The length of the body is not said, or said in two ways.
    #[error("ambiguous body length")]
    Framing,
    /// Not the grammar of a chunked body.
    #[error("malformed chunk")]
    Chunk,
    /// The connection ended within a body.
    #[error("body ended early")]
    Truncated,
}

impl ProtocolError {
    /// The reason when a client sent it.
    pub(super) fn request_reason(self) -> Reason {
        match self {
            Self::Head | Self::Framing | Self::Chunk => Reason::BadRequest,
            Self::HeadTooLarge => Reason::HeadersTooLarge,
            Self::MethodTooLong => Reason::MethodTooLong,
            Self::TargetTooLong => Reason::UriTooLong,
            Self::Truncated => Reason::ClientClosed,
        }
    }

    /// The reason when an endpoint sent it.
    pub(super) fn response_reason(self) -> Reason {
        match self {
            Self::Head
            | Self::HeadTooLarge
            | Self::MethodTooLong
            | Self::TargetTooLong
            | Self::Framing
            | Self::Chunk => Reason::UpstreamProtocol,
            Self::Truncated => Reason::UpstreamReset,
        }
    }
}
