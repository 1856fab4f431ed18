//! The plane over real sockets: raw bytes in, raw bytes seen by an endpoint.

mod any_bytes;
mod body;
mod h2;
mod http1;
mod lifecycle;
mod refusal;
mod retry;
mod tls;
mod world;
