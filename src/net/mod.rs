//! Sockets and bytes, no policy: bind, copy, connect.
//!
//! In: addresses and options. Out: sockets in the state that the planes need them in. Called by
//! `plane`, `echo` and `app`. Deliberately absent: what is served, and to whom.

mod bind;

pub use bind::{ReusePort, bind_udp, listen_tcp};
