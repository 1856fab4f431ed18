//! Names: DNS over UDP and TCP, from the zone of the snapshot, and from upstreams for the rest.
//!
//! In: the DNS sockets of a worker, datagrams and connections at them. Out: answers, and one
//! record each. Called by `worker`. [`answer()`] turns bytes into bytes and knows no socket;
//! `server`, `datagrams` and `connection` move bytes and know no DNS; what a name means is
//! `snapshot::zone`'s. What most clients ask is `plain`: rendered without hickory. What is not in the
//! zone is [`Pending`], and `forward` asks for it in tasks of its own. `search` goes through search
//! lists of Pods for them.
//!
//! Invariant: what waits to be answered is bounded: datagrams wait in the socket's buffer and in one
//! inbox, from which clients have equal shares when there are too many (`shed`); connections and
//! forwarded questions are counted. (The reason against `hickory-server`: a task a datagram.)
//! Invariant: a response is never answered (RUSTSEC-2023-0041), or two servers talk for ever.
//! Invariant: hickory's types do not leave this folder.
//! Invariant: names of the cluster wait for nothing: no task, no cache (the snapshot is one).
//! Deliberately absent: recursion (without upstreams other names are REFUSED, so that a resolver
//! asks its next server), zone transfer, DNSSEC validation.

mod answer;
mod connection;
mod datagrams;
mod draft;
mod encode;
mod forward;
mod limits;
mod pending;
mod plain;
mod search;
mod server;
mod shed;
mod wire;

#[cfg(test)]
mod tests;

pub use answer::{Answered, Said, answer};
pub use forward::Identity;
pub use limits::Limits;
pub use pending::Pending;
pub use server::Server;
