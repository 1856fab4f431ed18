//! Connections that wait for their next request.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::h2::{Lease, Session, Translated};
use super::{Connection, Peer};
use crate::life;
use crate::plane::Limits;
use crate::plane::l7::buffer::Buffers;
use crate::snapshot::{BackendId, EndpointId, Protocol, Snapshot};

/// One worker's connections that wait for their next request, or take one more, by peer.
#[derive(Debug)]
pub(crate) struct Pool {
    peers: RefCell<HashMap<Peer, Waiting, RandomState>>,
    buffers: Rc<Buffers>,
    idle_time: Duration,
    max_idle: usize,
    max_streams: u32,
}

/// The connections to a peer.
#[derive(Debug)]
struct Waiting {
    /// The backend that used it first: where to look whether the endpoint still exists.
    backend: BackendId,
    /// Those of HTTP/1 that are unused, the one used last at the end.
    connections: Vec<(Instant, Connection)>,
    /// Those of HTTP/2, which take several requests at once.
    sessions: Vec<Rc<Session>>,
}

impl Waiting {
    fn new(backend: &BackendId) -> Self {
        Self { backend: backend.clone(), connections: Vec::new(), sessions: Vec::new() }
    }
}

impl Pool {
    pub(crate) fn new(limits: &Limits, buffers: Rc<Buffers>) -> Self {
        Self {
            peers: RefCell::default(),
            buffers,
            idle_time: limits.upstream_idle,
            max_idle: limits.upstream_idle_connections,
            max_streams: limits.upstream_streams,
        }
    }

    /// The connection to `peer` that was used last. `certain`: make sure that it is open, as for a
    /// request that cannot be sent twice.
    pub(crate) fn take(&self, peer: &Peer, certain: bool) -> Option<Connection> {
        let mut peers = self.peers.borrow_mut();
        let waiting = peers.get_mut(peer)?;
        if peer.protocol == Protocol::Http2 {
            let mut ready = waiting.sessions.iter().filter(|session| session.is_ready());
            let lease = ready.find_map(Session::lease)?;
            let sender = lease.sender()?;
            let stream = Translated::new(lease, sender, peer);
            return Some(Connection::translated(peer.clone(), stream, self.buffers.clone()));
        }
        while let Some((_, mut connection)) = waiting.connections.pop() {
            if connection.stream.is_quiet(certain) {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// A place on a connection of HTTP/2 that is there or in the making, or else on one that the
    /// caller is to make.
    pub(super) fn lease(&self, peer: &Peer, backend: &BackendId) -> Lease {
        let mut peers = self.peers.borrow_mut();
        let waiting = peers.entry(peer.clone()).or_insert_with(|| Waiting::new(backend));
        let now = life::now();
        waiting.sessions.retain(|session| session.is_kept(now, self.idle_time));
        if let Some(lease) = waiting.sessions.iter().find_map(Session::lease) {
            return lease;
        }
        let (session, lease) = Session::begin(now, self.max_streams);
        waiting.sessions.push(session);
        lease
    }

    /// Keeps a connection whose exchange is complete. One of HTTP/2 is kept as it is.
    pub(crate) fn put(&self, backend: &BackendId, connection: Connection, now: Instant) {
        if connection.peer.protocol == Protocol::Http2 {
            return;
        }
        let mut peers = self.peers.borrow_mut();
        let waiting = peers.entry(connection.peer.clone()).or_insert_with(|| Waiting::new(backend));
        if waiting.connections.len() < self.max_idle {
            waiting.connections.push((now, connection));
        }
    }

    /// Closes all unused connections to a peer: one of them turned out to be dead. Those of HTTP/2
    /// know it themselves.
    pub(crate) fn forget(&self, peer: &Peer) {
        if let Some(waiting) = self.peers.borrow_mut().get_mut(peer) {
            waiting.connections.clear();
        }
    }

    /// Closes all unused connections, of whatever peer; how many.
    pub(crate) fn clear(&self, now: Instant) -> usize {
        let mut peers = self.peers.borrow_mut();
        let clear = |waiting: &mut Waiting| {
            let before = waiting.connections.len() + waiting.sessions.len();
            waiting.connections.clear();
            waiting.sessions.retain(|session| session.is_kept(now, Duration::ZERO));
            before - waiting.sessions.len()
        };
        peers.values_mut().map(clear).sum()
    }

    /// Closes what has waited too long or has died, and what leads to endpoints, or is spoken
    /// under policies, that are gone from the snapshot.
    pub(crate) fn purge(&self, snapshot: &Snapshot, now: Instant) {
        self.peers.borrow_mut().retain(|peer, waiting| {
            waiting.connections.retain_mut(|(since, connection)| {
                now.duration_since(*since) < self.idle_time && connection.stream.is_quiet(false)
            });
            waiting.sessions.retain(|session| session.is_kept(now, self.idle_time));
            let is_empty = waiting.connections.is_empty() && waiting.sessions.is_empty();
            let is_retired = peer.tls.as_ref().is_some_and(|client| client.is_retired());
            !is_empty && !is_retired && exists(snapshot, &waiting.backend, peer.endpoint)
        });
    }
}

fn exists(snapshot: &Snapshot, backend: &BackendId, endpoint: EndpointId) -> bool {
    snapshot
        .backends
        .get(backend)
        .is_some_and(|backend| backend.endpoints.iter().any(|known| known.id == endpoint))
}
