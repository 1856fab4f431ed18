//! The client's side: one file a protocol.
//!
//! In: a [`Stream`](crate::plane::tls::Stream) that speaks it. Out: requests for `exchange`,
//! responses for the client. Called by `connection`.

pub(super) mod h1;
pub(super) mod h2;
#[cfg(feature = "http3")]
mod h3;
#[cfg(not(feature = "http3"))]
mod no_h3;
