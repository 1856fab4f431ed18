//! Names of others: asked of upstreams, remembered for a while.
//!
//! In: a question of a client that is not ours to answer ([`Asked`]) and the
//! [`Forward`](crate::snapshot::Forward) of the snapshot. Out: an [`Answer`], or why there is none.
//! Called by `server`, in a task of its own for each question that the cache does not answer.
//!
//! The messages of upstreams stay bytes: `reply` checks one and finds what changes in it from
//! client to client; the rest, of whatever type, goes on as it came.
//!
//! An upstream is asked over UDP from a socket of its own, or on a connection that is kept
//! ([`connections`]), within TLS or not. One that does not answer is asked by [`health`] only, until
//! it does.
//!
//! Invariant: what waits is bounded, for a client, a domain and an upstream, and nobody's share of it
//! keeps others out ([`shares`]).
//! Invariant: TLS without a verified certificate is no TLS; there is no switch for it.
//! Invariant: an answer of an upstream is taken only if it repeats the question letter by letter,
//! comes to the port and with the id that were drawn for it, and speaks of no other name (D7).
//! Deliberately absent: recursion, DNSSEC validation, names of the cluster.

mod answer;
mod cache;
mod connection;
mod connections;
mod exchange;
mod forwarder;
mod health;
mod identity;
mod query;
mod reader;
mod render;
mod reply;
mod shares;
mod upstream;

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod tests;

pub(super) use answer::{Answer, Failure};
pub(super) use forwarder::Forwarder;
pub use identity::Identity;
pub(super) use query::Asked;
pub(super) use render::{ClientSide, render};
