//! TLS as the planes speak it.
//!
//! In: what the snapshot says about certificates and names. Out: rustls configurations, built once
//! an identity and forgotten with it. Called by the planes; imports none of them.
//!
//! Invariant: every certificate of an endpoint is verified; there is no switch for it.

pub(crate) mod client;
mod verify;
