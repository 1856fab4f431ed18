//! How traffic is carried.
//!
//! In: connections and datagrams, and the snapshot. Out: traffic at endpoints, answers, records.
//! `worker` owns the threads and calls `l4`, `l7` and `dns`; `listeners` keeps the sockets as the
//! snapshot wants them; `announce` tells the network where addresses are; `challenges` answers ACME
//! servers; `checks` asks endpoints whether they are well; `limits`, `proxy_protocol` and `tls` are what they
//! share.
//!
//! Invariant: planes import `snapshot`, `balance`, `net`, `observe` and `life`, never `manifest`
//! beyond names, `store`, `compile` or `source`; `l4`, `l7`, `dns` and `announce` never import each
//! other.
//! Invariant: network input never panics.

pub mod announce;
pub mod challenges;
pub mod checks;
pub mod dns;
pub mod health;
pub mod l4;
pub mod l7;
mod limits;
pub mod listeners;
pub mod proxy_protocol;
pub mod tls;
pub mod worker;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::balance::{Affinity, Gates, Health, Loads, Rng};
use crate::life::{Drain, Level, Overload};
use crate::net::TcpOptions;
use crate::observe::{ConnectionRecord, Observer};
use crate::snapshot::cell::{CachedReader, Reader};
use crate::snapshot::{Exposure, Generation, Reason, Snapshot, SocketKey};
use challenges::Challenges;
pub use limits::{Cap, Limits, MOST_FIELDS};

/// What one worker thread owns and its planes share. Nothing in it is shared with other threads
/// on the hot path, but for the affinity and the gates of the Services that ask for them.
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
    /// How many requests there are at Services with limits, of every worker.
    pub gates: Arc<Gates>,
    /// Which endpoints fail their checks.
    pub health: Health,
    /// Randomness for picks.
    pub rng: RefCell<Rng>,
    /// Options of carried connections.
    pub tcp: TcpOptions,
    /// How much of everything there may be.
    pub limits: Limits,
    /// What TLS towards clients needs, by certificate: the same of all workers.
    pub tls: Arc<tls::ServerConfigs>,
    /// Whose clients have shown a certificate.
    pub admissions: Rc<tls::Admissions>,
    /// What ACME servers are answered, the same by all workers.
    pub challenges: Arc<Challenges>,
    /// What TLS towards endpoints needs, by policy.
    pub clients: tls::Clients,
    /// Where records go.
    pub observer: Rc<Observer>,
    /// How near memory is to its end, for all workers.
    pub overload: Arc<Overload>,
    /// Its level, as this worker was told last.
    pub level: Cell<Level>,
    /// Tells when to stop taking new work.
    pub drain: Drain,
}

impl Local {
    /// Counts a connection that is not carried, or no longer, and why: what becomes of those that are
    /// is told by the records of their sessions and requests.
    pub fn note_refused(
        &self,
        client: SocketAddr,
        key: SocketKey,
        exposure: Exposure,
        reason: Reason,
    ) {
        tracing::debug!(%client, %key, %reason, "a connection is not served");
        let observer = self.observer.clone();
        let mut record = ConnectionRecord::begin(observer, client, key, exposure);
        record.reason = Some(reason);
    }
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

/// The addresses that have a socket, once every worker has applied a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Which one.
    pub generation: Generation,
    /// At some port at least.
    pub addresses: Arc<BTreeSet<IpAddr>>,
}

/// Between what listens and what announces: an address is announced only once it is served, and
/// served until it is announced no more.
#[derive(Debug)]
pub struct AnnounceGate {
    /// Up to which generation what is not wanted is announced no more. Closed, nothing is.
    pub withdrawn: watch::Receiver<Generation>,
    /// What is served.
    pub served: watch::Sender<Served>,
}

impl AnnounceGate {
    /// Waits until nothing is announced that the newest snapshot does not want, and returns that.
    pub async fn withdrawn(&mut self, snapshots: &Reader) -> Arc<Snapshot> {
        loop {
            let snapshot = snapshots.load();
            let wanted = snapshot.generation;
            match self.withdrawn.wait_for(|withdrawn| *withdrawn >= wanted).await {
                // it may have gone on to a newer one, in which an address is back
                Ok(withdrawn) if *withdrawn > wanted => {}
                Ok(_) | Err(_) => return snapshot,
            }
        }
    }
}
