//! Connections that wait for their next request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{Connection, Peer};
use crate::plane::l7::limits::Limits;
use crate::snapshot::{BackendId, EndpointId, Snapshot};

/// One worker's unused connections, by peer.
#[derive(Debug)]
pub(crate) struct Pool {
    peers: RefCell<HashMap<Peer, Waiting, RandomState>>,
    idle_time: Duration,
    max_idle: usize,
}

/// The unused connections to a peer, the one used last at the end.
#[derive(Debug)]
struct Waiting {
    /// The backend that used it last: where to look whether the endpoint still exists.
    backend: BackendId,
    connections: Vec<(Instant, Connection)>,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            peers: RefCell::default(),
            idle_time: limits.upstream_idle,
            max_idle: limits.upstream_idle_connections,
        }
    }

    /// The connection to `peer` that was used last. `certain`: make sure that it is open, as for a
    /// request that cannot be sent twice.
    pub(crate) fn take(&self, peer: &Peer, certain: bool) -> Option<Connection> {
        let mut peers = self.peers.borrow_mut();
        let waiting = &mut peers.get_mut(peer)?.connections;
        while let Some((_, mut connection)) = waiting.pop() {
            if connection.stream.is_quiet(certain) {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete.
    pub(crate) fn put(&self, backend: &BackendId, connection: Connection, now: Instant) {
        let mut peers = self.peers.borrow_mut();
        let waiting = peers
            .entry(connection.peer.clone())
            .or_insert_with(|| Waiting { backend: backend.clone(), connections: Vec::new() });
        if waiting.connections.len() < self.max_idle {
            waiting.connections.push((now, connection));
        }
    }

    /// Closes all connections to a peer: one of them turned out to be dead.
    pub(crate) fn forget(&self, peer: &Peer) {
        self.peers.borrow_mut().remove(peer);
    }

    /// Closes what has waited too long or has died, and what leads to endpoints, or is spoken
    /// under policies, that are gone from the snapshot.
    pub(crate) fn purge(&self, snapshot: &Snapshot, now: Instant) {
        self.peers.borrow_mut().retain(|peer, waiting| {
            waiting.connections.retain_mut(|(since, connection)| {
                now.duration_since(*since) < self.idle_time && connection.stream.is_quiet(false)
            });
            let is_retired = peer.tls.as_ref().is_some_and(|client| client.is_retired());
            !waiting.connections.is_empty()
                && !is_retired
                && exists(snapshot, &waiting.backend, peer.endpoint)
        });
    }
}

fn exists(snapshot: &Snapshot, backend: &BackendId, endpoint: EndpointId) -> bool {
    snapshot
        .backends
        .get(backend)
        .is_some_and(|backend| backend.endpoints.iter().any(|known| known.id == endpoint))
}
