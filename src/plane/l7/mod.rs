//! HTTP: the L7 plane of one worker.
//!
//! In: accepted connections ([`Accepted`]) and the snapshot. Out: exchanges with endpoints, and
//! one record each. `worker` makes one [`Server`] and calls [`Server::serve`] for every connection
//! of an HTTP listener.
//!
//! The way of a request: `connection` (TLS, which protocol) → `downstream` (the codec of the
//! client's side) → `route` (host and path in canonical form) → `exchange` (rule, backend, session,
//! authorization, endpoint, retries) → `upstream` (pool, connection) → `respond`. `h1` is the
//! codec.
//!
//! Invariant: one task a client connection does all of an exchange: no channel and no spawn a
//! request. An idle connection holds no buffer.
//! Invariant: the snapshot is loaded once an exchange.
//! Invariant: what goes upstream was read strictly and is written anew; nothing is passed on as
//! it came but the values of fields and the bytes of bodies.
//! Deliberately absent: a cache, bodies in memory but for what an authorization server is to see.

mod buffer;
mod connection;
mod deadline;
mod decide;
mod downstream;
mod exchange;
mod filter;
mod forwarded;
mod h1;
mod limits;
mod respond;
mod route;
mod session;
mod upgrade;
mod upstream;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::buffer::Buffers;
pub use self::limits::Limits;
use self::respond::Clock;
use self::upstream::Pool;
use super::tls::Hello;
use super::{Accepted, Local};
use crate::balance::Budgets;
use crate::life;
use crate::observe::RequestRecord;
use crate::snapshot::{Generation, HttpListener, Snapshot, SocketKey};

/// The HTTP plane of one worker: what its connections share.
#[derive(Debug)]
pub struct Server {
    local: Rc<Local>,
    limits: Limits,
    buffers: Rc<Buffers>,
    pool: Pool,
    budgets: Budgets,
    clock: Clock,
    /// Held by every copy on its way to a mirror, and by this.
    mirrors: Rc<()>,
    /// Bytes on their way through, within one poll.
    scratch: RefCell<Vec<u8>>,
    /// Set once, by the task of [`Server::watch_drain`]: reading a flag of this thread costs
    /// nothing, asking [`life::Drain`] once a request is a write to memory shared by all.
    draining: Cell<bool>,
    drained: Notify,
}

impl Server {
    /// The plane of the worker that owns `local`. Must be called within its LocalSet.
    pub fn new(local: Rc<Local>, limits: Limits) -> Rc<Self> {
        let buffers = Rc::<Buffers>::default();
        let server = Rc::new(Self {
            pool: Pool::new(&limits, buffers.clone()),
            budgets: Budgets::default(),
            local,
            limits,
            buffers,
            clock: Clock::default(),
            mirrors: Rc::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            draining: Cell::new(false),
            drained: Notify::new(),
        });
        life::spawn_local("l7-drain", Self::watch_drain(Rc::downgrade(&server)));
        life::spawn_local("l7-tidy", Self::tidy(Rc::downgrade(&server)));
        server
    }

    /// Serves a connection to its end. `listener` is what its socket serves now.
    pub async fn serve(self: &Rc<Self>, accepted: Accepted, listener: Arc<HttpListener>) {
        connection::serve(self, accepted, listener).await;
    }

    /// Serves a connection whose client has begun with TLS already.
    pub async fn serve_tls(
        self: &Rc<Self>,
        accepted: Accepted<Hello>,
        listener: Arc<HttpListener>,
    ) {
        connection::serve_tls(self, accepted, listener).await;
    }

    async fn watch_drain(server: Weak<Self>) {
        let Some(local) = server.upgrade().map(|server| server.local.clone()) else { return };
        local.drain.started().await;
        if let Some(server) = server.upgrade() {
            server.draining.set(true);
            server.drained.notify_waiters();
        }
    }

    /// Closes what is not needed any more: unused connections, certificates.
    async fn tidy(server: Weak<Self>) {
        let mut seen = Generation::default();
        loop {
            tokio::time::sleep(TIDY_INTERVAL).await;
            let Some(server) = server.upgrade() else { return };
            let snapshot = server.local.snapshot.load();
            let now = Instant::now();
            server.budgets.purge(now);
            if std::mem::replace(&mut seen, snapshot.generation) != snapshot.generation {
                server.local.tls.purge(&snapshot);
                server.local.clients.purge(&snapshot);
            }
            server.pool.purge(&snapshot, now);
        }
    }

    /// A record of an exchange that begins now.
    fn record(
        &self,
        identity: &Identity,
        listener: Arc<str>,
        protocol: &'static str,
    ) -> RequestRecord {
        RequestRecord {
            observer: self.local.observer.clone(),
            started: Instant::now(),
            listener,
            client: identity.client,
            protocol,
            method: String::new(),
            host: String::new(),
            target: String::new(),
            request_id: String::new(),
            rule: None,
            backend: None,
            endpoint: None,
            status: 0,
            reason: None,
            retries: 0,
            request_bytes: 0,
            response_bytes: 0,
        }
    }
}

/// Who is at the other end of a connection, and which listener it came by.
#[derive(Debug)]
struct Identity {
    key: SocketKey,
    client: SocketAddr,
    /// Whether it came by TLS, and for which name.
    is_tls: bool,
    server_name: Option<Arc<str>>,
    /// The lines that tell endpoints about the client.
    client_lines: Vec<u8>,
}

/// The HTTP listener that a snapshot has for a socket.
fn http_listener(snapshot: &Snapshot, key: SocketKey) -> Option<&Arc<HttpListener>> {
    snapshot.listeners.get(&key)?.serve.http()
}

/// One read of a large body; measured: 16 KiB costs 1.3 times as much a byte.
const SCRATCH_BYTES: usize = 64 * 1024;
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
