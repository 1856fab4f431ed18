//! Connections that wait for their next request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::Connection;
use crate::plane::l7::limits::Limits;
use crate::snapshot::{BackendId, EndpointId, Snapshot};

/// One worker's unused connections, by endpoint.
#[derive(Debug)]
pub(crate) struct Pool {
    endpoints: RefCell<HashMap<EndpointId, Waiting, RandomState>>,
    idle_time: Duration,
    max_idle: usize,
}

/// The unused connections to an endpoint, the one used last at the end.
#[derive(Debug)]
struct Waiting {
    /// The backend that used it last: where to look whether the endpoint still exists.
    backend: BackendId,
    connections: Vec<(Instant, Connection)>,
}

impl Pool {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            endpoints: RefCell::default(),
            idle_time: limits.upstream_idle,
            max_idle: limits.upstream_idle_connections,
        }
    }

    /// The connection to `endpoint` that was used last. `certain`: make sure that it is open, as
    /// for a request that cannot be sent twice.
    pub(crate) fn take(&self, endpoint: EndpointId, certain: bool) -> Option<Connection> {
        let mut endpoints = self.endpoints.borrow_mut();
        let waiting = &mut endpoints.get_mut(&endpoint)?.connections;
        while let Some((_, mut connection)) = waiting.pop() {
            if connection.is_quiet(certain) {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose exchange is complete.
    pub(crate) fn put(&self, backend: &BackendId, connection: Connection, now: Instant) {
        let mut endpoints = self.endpoints.borrow_mut();
        let waiting = endpoints
            .entry(connection.endpoint)
            .or_insert_with(|| Waiting { backend: backend.clone(), connections: Vec::new() });
        if waiting.connections.len() < self.max_idle {
            waiting.connections.push((now, connection));
        }
    }

    /// Closes all connections to an endpoint: one of them turned out to be dead.
    pub(crate) fn forget(&self, endpoint: EndpointId) {
        self.endpoints.borrow_mut().remove(&endpoint);
    }

    /// Closes what has waited too long or has died, and what leads to endpoints that are gone
    /// from the snapshot.
    pub(crate) fn purge(&self, snapshot: &Snapshot, now: Instant) {
        self.endpoints.borrow_mut().retain(|endpoint, waiting| {
            waiting.connections.retain(|(since, connection)| {
                now.duration_since(*since) < self.idle_time && connection.is_quiet(false)
            });
            !waiting.connections.is_empty() && exists(snapshot, &waiting.backend, *endpoint)
        });
    }
}

fn exists(snapshot: &Snapshot, backend: &BackendId, endpoint: EndpointId) -> bool {
    snapshot
        .backends
        .get(backend)
        .is_some_and(|backend| backend.endpoints.iter().any(|known| known.id == endpoint))
}
