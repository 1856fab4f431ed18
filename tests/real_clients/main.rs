//! HTTP as real clients speak it, through the whole program: curl, h2load (Debian package
//! nghttp2-client), gRPC in Go (its own interoperability tests) and in Python (python3-grpcio),
//! WebSockets in Python (python3-websockets), and a browser (chromium).
//!
//! `tests/run.sh` installs and builds them; a test that lacks one fails and says so.

#![allow(missing_docs, unreachable_pub, reason = "tests are no library")]

#[path = "../common/mod.rs"]
mod common;
mod front;
mod origin;

mod browser;
mod compressed;
mod curl;
mod grpc;
mod load;
mod trace;
mod websockets;
