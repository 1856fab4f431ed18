//! The plane over real sockets: raw bytes in, raw bytes seen by an endpoint.

mod body;
mod external_auth;
mod filters;
mod h2;
mod http1;
mod lifecycle;
mod refusal;
mod retry;
mod rule_retry;
mod session;
mod tls;
pub(in crate::plane::l7) mod world;
