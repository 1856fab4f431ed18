//! The plane over real sockets: raw bytes in, raw bytes seen by an endpoint.

mod any_bytes;
mod authority;
mod balancing;
mod body;
mod compress;
mod ejection;
mod external_auth;
mod external_auth_grpc;
mod filters;
mod fuzz;
mod grpc;
mod h2;
mod h2_abuse;
mod h2_interim;
mod h2_origin;
mod h2_uploads;
#[cfg(feature = "http3")]
mod h3;
mod http1;
mod lifecycle;
mod limits;
mod overload;
mod panic;
mod proxy_protocol;
mod refusal;
mod retry;
mod rule_retry;
mod session;
mod slow;
mod streaming;
mod tls;
mod upstream_h2;
mod upstream_h2_failures;
mod upstream_tls;
pub(in crate::plane::l7) mod world;
