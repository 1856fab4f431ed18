//! The plane over real sockets: raw bytes in, raw bytes seen by an endpoint.

mod any_bytes;
mod authority;
mod body;
mod external_auth;
mod external_auth_grpc;
mod filters;
mod grpc;
mod h2;
mod h2_origin;
mod http1;
mod lifecycle;
mod refusal;
mod retry;
mod rule_retry;
mod session;
mod tls;
mod upstream_h2;
mod upstream_h2_failures;
mod upstream_tls;
pub(in crate::plane::l7) mod world;
