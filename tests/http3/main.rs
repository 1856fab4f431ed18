//! HTTP/3 through the whole program, by quinn and h3 as a client and by aioquic (Python). In builds
//! with the feature `http3`; `tests/run.sh` tests both builds.

#![cfg(feature = "http3")]
#![allow(missing_docs, unreachable_pub, reason = "tests are no library")]
#![allow(
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "the client's own tasks are not of rutter's threads, and there is one client at a time"
)]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod exchanges;
mod front;
mod life;
mod python;
