//! HTTP/2 to endpoints, by the h2 crate: with prior knowledge in the clear, by ALPN within TLS.
//!
//! In: the bytes of HTTP/1 that an exchange writes. Out: the bytes of HTTP/1 that it reads. An
//! exchange has a stream of HTTP/2 ([`Translated`]) as it would have a connection of HTTP/1, so
//! that there is one way of a request, whatever is spoken to endpoints. The streams of a peer share
//! connections ([`Session`]), each of which is driven by a task of its own.
//!
//! Invariant: windows open only as far as what came was passed on, and nothing is taken from the
//! exchange while a window is closed: both ways a slow reader slows the writer.
//! Invariant: dropping an exchange resets its stream and nothing else.
//! Deliberately absent: server push, priorities, upgrades (RFC 8441), pings: a host that died in
//! silence shows in unacknowledged bytes.

mod request;
mod response;
mod session;
mod translated;

pub(super) use session::{Lease, Session};
pub(crate) use translated::Translated;
