//! TLS, as the planes share it.
//!
//! In: connections, and what the snapshot says about certificates and names. Out: streams. Called
//! by `worker`, which reads the first words of clients whose way depends on them ([`Hello`]), and
//! by the planes.
//!
//! Invariant: no session is resumed under other terms than its own: certificate, listener, what is
//! asked of clients, what is spoken within.
//! Invariant: every certificate of an endpoint is verified; there is no switch for it.
//! Deliberately absent: which way a connection goes.

mod client;
mod client_auth;
mod hello;
mod server;
mod stream;
mod verify;

#[cfg(test)]
mod tests;

pub use client::{Client, Clients};
pub use hello::Hello;
pub use server::{Content, ServerConfigs, Session, accept};
pub use stream::Stream;
