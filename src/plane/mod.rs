//! How traffic is carried.
//!
//! In: connections and datagrams, and the snapshot. Out: traffic at endpoints, answers, records.
//! `worker` owns the threads and calls `l4`, `l7` and `dns`; `listeners` keeps the sockets as the
//! snapshot wants them; `tls` is what they share.
//!
//! Invariant: planes import `snapshot`, `balance`, `net`, `observe` and `life`, never `manifest`
//! beyond names, `store`, `compile` or `source`; `l4`, `l7` and `dns` never import each other.
//! Invariant: network input never panics.

pub mod dns;
pub mod health;
pub mod l4;
pub mod l7;
pub mod listeners;
pub mod tls;
pub mod worker;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::balance::{Affinity, Loads, Rng};
use crate::life::Drain;
use crate::observe::Observer;
use crate::snapshot::SocketKey;
use crate::snapshot::cell::CachedReader;

/// What one worker thread owns and its planes share. Nothing in it is shared with other threads
/// on the hot path, but for the affinity of the Services that ask for it.
#[derive(Debug)]
pub struct Local {
    /// Number of the worker, from 0.
    pub worker: usize,
    /// The current snapshot; load it once per unit of work.
    pub snapshot: CachedReader,
    /// What this worker has in flight, by endpoint.
    pub loads: Loads,
    /// Which endpoints clients had last, by whichever worker.
    pub affinity: Arc<Affinity>,
    /// Randomness for picks.
    pub rng: RefCell<Rng>,
    /// What TLS towards clients needs, by certificate.
    pub tls: tls::ServerConfigs,
    /// What TLS towards endpoints needs, by policy.
    pub clients: tls::Clients,
    /// Where records go.
    pub observer: Rc<Observer>,
    /// Tells when to stop taking new work.
    pub drain: Drain,
}

/// A fresh TCP connection, or what has become of it, and the listener it came in by.
#[derive(Debug)]
pub struct Accepted<S = TcpStream> {
    /// The connection.
    pub stream: S,
    /// Who connected.
    pub client: SocketAddr,
    /// The listener in the snapshot.
    pub key: SocketKey,
}
