//! TLS, as the planes share it.
//!
//! In: connections, and what the snapshot says about certificates and names. Out: streams. Called
//! by `worker`, which reads the first words of clients whose way depends on them ([`Hello`]), and
//! by the planes.
//!
//! Invariant: no session is resumed under other terms than its own: certificate, listener, what is
//! asked of clients, what is spoken within.
//! Invariant: every certificate of an endpoint that gets traffic is verified; there is no switch for it.
//! Deliberately absent: which way a connection goes.

mod admission;
mod client;
mod client_auth;
mod configs;
mod hello;
mod profile;
#[cfg(feature = "http3")]
mod quic;
mod server;
mod stream;
mod verify;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;

pub use admission::{Admission, Admissions};
pub use client::{Client, Clients, client_config, unverified};
pub use configs::{Content, ServerConfigs};
pub use hello::Hello;
pub use profile::Profile;
#[cfg(feature = "http3")]
pub use quic::quic_config;
pub use server::{Failed, Session, accept, in_time};
pub use stream::Stream;
