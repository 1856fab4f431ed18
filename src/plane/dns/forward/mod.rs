//! Names of others: asked of upstreams, remembered for a while.
//!
//! In: a question of a client that is not ours to answer ([`Asked`]) and the
//! [`Forward`](crate::snapshot::Forward) of the snapshot. Out: an [`Answer`], or why there is none.
//! Called by `server`, in a task of its own for each question that the cache does not answer.
//!
//! The messages of upstreams stay bytes: `reply` checks one and finds what changes in it from
//! client to client; the rest, of whatever type, goes on as it came.
//!
//! Invariant: what waits is bounded, and nobody's share of it keeps others out ([`shares`]).
//! Invariant: an answer of an upstream is taken only if it repeats the question letter by letter,
//! comes to the port and with the id that were drawn for it, and speaks of no other name (D7).
//! Deliberately absent: recursion, DNSSEC validation, names of the cluster.

mod cache;
mod exchange;
mod forwarder;
mod identity;
mod query;
mod reader;
mod render;
mod reply;
mod shares;
mod upstream;

#[cfg(test)]
mod tests;

pub(super) use forwarder::{Answer, Failure, Forwarder};
pub use identity::Identity;
pub(super) use query::Asked;
pub(super) use render::{ClientSide, render};
