//! The Gateway API's conformance tests (v1.6.1, and those that came to main after it), re-expressed
//! as tables against the whole program and the built-in echo backend: one file a kind.
//!
//! The objects are upstream's own manifests, out of the Go module that `tests/run.sh` downloads.
//! What upstream's tests do through an API server is done here by writing the file again and
//! waiting for the applied generation, so that nothing is tried twice.
//!
//! Left out, because an API server or a cluster is what they are about: the 22 tests of the mesh
//! profiles (a client within a pod), and the objects that GatewayInfrastructure looks for.

#![allow(missing_docs, unreachable_pub, reason = "tests are no library")]

#[path = "../common/mod.rs"]
mod common;
mod suite;

mod backend_tls_policy;
mod gateway;
mod gateway_certificates;
mod grpc_route;
mod http_cors;
mod http_filters;
mod http_hosts;
mod http_mirror;
mod http_redirect;
mod http_route;
mod http_status;
mod http_time;
mod listener_set;
mod manifests;
mod revocation;
mod tcp_route;
mod tls_route;
mod udp_route;
