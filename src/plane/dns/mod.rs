//! Names: DNS over UDP and TCP, from the zone of the snapshot.
//!
//! In: the DNS sockets of a worker, datagrams and connections at them. Out: answers, and one
//! record each. Called by `worker`. [`answer()`] turns bytes into bytes and knows no socket;
//! `server` moves bytes and knows no DNS; what a name means is `snapshot::zone`'s.
//!
//! Invariant: what waits to be answered is bounded: datagrams wait in the socket's buffer only,
//! and connections are counted. (The reason against `hickory-server`: a task a datagram.)
//! Invariant: a response is never answered (RUSTSEC-2023-0041), or two servers talk for ever.
//! Invariant: hickory's types do not leave this folder.
//! Deliberately absent: recursion and forwarding (other names are REFUSED, so that a resolver asks
//! its next server), zone transfer, a cache (the snapshot is one), DNSSEC.

mod answer;
mod connection;
mod encode;
mod limits;
mod server;
mod wire;

#[cfg(test)]
mod tests;

pub use answer::{Answered, answer};
pub use limits::Limits;
pub use server::Server;
