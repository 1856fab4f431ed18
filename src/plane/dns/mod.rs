//! Names: DNS over UDP, TCP, TLS and HTTPS, from the zone of the snapshot, and from upstreams for
//! the rest.
//!
//! In: the DNS sockets of a worker, datagrams and connections at them. Out: answers, and one
//! record each. Called by `worker`. [`answer()`] turns bytes into bytes and knows no socket;
//! `server`, `datagrams` and `connection` move bytes and know no DNS; what a name means is
//! `snapshot::zone`'s. What most clients ask is `plain`: rendered without hickory. What is not in the
//! zone is [`Pending`], and `forward` asks for it in tasks of its own. `search` goes through search
//! lists of Pods for them. `connections` says who may connect, `connection` serves a stream, `https`
//! the requests of one; [`RateLimit`] says who gets answers over UDP.
//!
//! Invariant: what waits to be answered is bounded: datagrams wait in the socket's buffer and in one
//! inbox, from which clients have equal shares when there are too many (`shed`), and of the few who ask
//! for most of it the kernel drops most (`heavy`); connections and forwarded questions are counted. (The reason against `hickory-server`: a task a datagram.)
//! Invariant: a response is never answered (RUSTSEC-2023-0041), or two servers talk for ever.
//! Invariant: an idle connection has no buffers, and makes room for others when there is none.
//! Invariant: hickory's types do not leave this folder.
//! Invariant: names of the cluster wait for nothing: no task, no cache (the snapshot is one).
//! Deliberately absent: recursion (without upstreams other names are REFUSED, so that a resolver
//! asks its next server), zone transfer, DNSSEC validation.

mod accept;
mod answer;
mod connection;
mod connections;
mod datagrams;
mod draft;
mod encode;
mod forward;
mod heavy;
mod https;
mod limits;
mod padding;
mod pending;
mod plain;
mod rate_limit;
mod records;
mod restore;
mod search;
mod server;
mod shed;
mod tls;
mod wire;

#[cfg(test)]
mod tests;

pub use answer::{Answered, Said, answer};
pub use forward::Identity;
pub use limits::{Limits, RateLimits};
pub use pending::Pending;
pub use rate_limit::{RateLimit, Verdict};
pub use server::{Server, Sockets};
