//! HTTP: the L7 plane of one worker.
//!
//! In: accepted connections ([`Accepted`]), sockets of HTTP/3, and the snapshot. Out: exchanges with
//! endpoints, and one record each. `worker` makes one [`Server`] and calls [`Server::serve`] for
//! every connection of an HTTP listener.
//!
//! The way of a request: `connection` (TLS, which protocol) → `downstream` (the codec of the
//! client's side) → `route` (host and path in canonical form) → `exchange` (rule, backend, session,
//! authorization, endpoint, retries) → `upstream` (pool, connection) → `respond`, through
//! `compress` where that is wanted. `h1` is the codec.
//!
//! Invariant: one task a client connection does all of an exchange: no channel and no spawn a
//! request. An idle connection holds no buffer.
//! Invariant: the snapshot is loaded once an exchange.
//! Invariant: what goes upstream was read strictly and is written anew; nothing is passed on as
//! it came but the values of fields and the bytes of bodies.
//! Deliberately absent: a cache, bodies in memory but for what an authorization server is to see.

mod account;
mod buffer;
mod compress;
mod connection;
mod deadline;
mod decide;
mod downstream;
mod exchange;
mod filter;
mod forwarded;
mod h1;
mod hash;
mod pace;
mod proxied;
mod respond;
mod route;
mod session;
mod upgrade;
mod upstream;
mod window;

#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::account::Accounts;
use self::buffer::Buffers;
use self::deadline::Deadlines;
use self::forwarded::client_lines;
use self::respond::Clock;
use self::upstream::Pool;
use super::tls::Hello;
use super::{Accepted, Local};
use crate::balance::{Balancer, Budgets};
use crate::life::{self, Level, Shed};
use crate::observe::RequestRecord;
use crate::snapshot::{Generation, HttpListener, Network, Snapshot, SocketKey};

/// The HTTP plane of one worker: what its connections share.
#[derive(Debug)]
pub struct Server {
    local: Rc<Local>,
    started: Instant,
    buffers: Rc<Buffers>,
    /// Of streams of HTTP/2 and HTTP/3.
    deadlines: Deadlines,
    accounts: Accounts,
    pool: Pool,
    balancer: Balancer,
    budgets: Budgets,
    clock: Clock,
    /// Held by every copy on its way to a mirror, and by this.
    mirrors: Rc<()>,
    /// Held by every compressor, and by this.
    compressors: Rc<()>,
    /// Bytes on their way through, within one poll.
    scratch: RefCell<Vec<u8>>,
    /// Set once, by the task of [`Server::watch_drain`]: reading a flag of this thread costs
    /// nothing, asking [`life::Drain`] once a request is a write to memory shared by all.
    draining: Cell<bool>,
    /// Tells connections to look at `draining`, and at the level of the overload.
    drained: Notify,
}

impl Server {
    /// The plane of the worker that owns `local`. Must be called within its LocalSet.
    pub fn new(local: Rc<Local>) -> Rc<Self> {
        let buffers = Rc::<Buffers>::default();
        let server = Rc::new(Self {
            pool: Pool::new(&local.limits, buffers.clone()),
            balancer: Balancer::default(),
            budgets: Budgets::default(),
            local,
            started: life::now(),
            accounts: Accounts::default(),
            buffers,
            deadlines: Deadlines::default(),
            clock: Clock::default(),
            mirrors: Rc::default(),
            compressors: Rc::default(),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES]),
            draining: Cell::new(false),
            drained: Notify::new(),
        });
        life::spawn_local("l7-drain", Self::watch_drain(Rc::downgrade(&server)));
        life::spawn_local("l7-overload", Self::watch_overload(Rc::downgrade(&server)));
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

    /// Sheds load, look by look.
    async fn watch_overload(server: Weak<Self>) {
        let Some(overload) = server.upgrade().map(|it| it.local.overload.clone()) else { return };
        let mut loads = overload.subscribe();
        // there may have been a look before
        loads.mark_changed();
        while loads.changed().await.is_ok() {
            let load = *loads.borrow_and_update();
            let Some(server) = server.upgrade() else { return };
            let was = server.local.level.replace(load.level);
            if load.level > Level::None {
                overload.count(Shed::UpstreamConnection, server.pool.clear(life::now()));
            }
            if load.level > Level::None && was == Level::None {
                server.drained.notify_waiters();
            }
            if load.level == Level::Reset {
                overload.count(Shed::Reset, server.accounts.reset_biggest(load.excess));
            }
        }
    }

    /// Whether connections end with their next response.
    fn is_closing(&self) -> bool {
        self.draining.get() || self.local.level.get() > Level::None
    }

    /// Closes what is not needed any more: unused connections, certificates.
    async fn tidy(server: Weak<Self>) {
        let mut seen = Generation::default();
        loop {
            tokio::time::sleep(TIDY_INTERVAL).await;
            let Some(server) = server.upgrade() else { return };
            let snapshot = server.local.snapshot.load();
            let now = life::now();
            server.budgets.purge(now);
            server.local.loads.purge(now);
            server.balancer.tidy(now);
            if std::mem::replace(&mut seen, snapshot.generation) != snapshot.generation {
                server.local.tls.purge(&snapshot);
                server.local.clients.purge(&snapshot);
                server.balancer.purge(&snapshot);
                server.local.gates.purge(&snapshot);
            }
            server.pool.purge(&snapshot, now);
            server.accounts.purge();
        }
    }

    /// When a connection that begins now is old. Not all that began together end together.
    fn retirement(&self) -> Retirement {
        let Some(age) = self.local.limits.client_age else { return Retirement(u32::MAX) };
        let percent = 90 + self.local.rng.borrow_mut().below(21);
        let age = age / 100 * u32::try_from(percent).unwrap_or(100);
        let ticks = (self.started.elapsed() + age).as_millis() / AGE_TICK.as_millis();
        Retirement(u32::try_from(ticks).unwrap_or(u32::MAX))
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
            started: life::now(),
            listener,
            client: identity.client,
            protocol,
            method: "".into(),
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
    /// Whether the client speaks TLS, with whomever, and to which port.
    is_secure: bool,
    forwarded_port: u16,
    /// The lines that tell endpoints about the client, and whether its host is among them.
    client_lines: Vec<u8>,
    forwards_host: bool,
    /// From when on the connection takes no further request.
    retires: Retirement,
    /// Who is believed what it says about its clients, if this is one of them.
    proxies: Option<Arc<Network>>,
}

impl Identity {
    fn new(server: &Server, key: SocketKey, client: SocketAddr, is_tls: bool) -> Self {
        let network = server.local.snapshot.load().network.clone();
        let (ip, port) = (client.ip(), key.addr.port());
        Self {
            key,
            client,
            is_tls,
            server_name: None,
            is_secure: is_tls,
            forwarded_port: port,
            client_lines: client_lines("", ip, ip, is_tls, port),
            forwards_host: false,
            retires: server.retirement(),
            proxies: Some(network).filter(|network| network.is_trusted_proxy(ip)),
        }
    }
}

/// In ticks since the server began, so that an idle connection is no larger for it; the greatest
/// number is never.
#[derive(Clone, Copy, Debug)]
struct Retirement(u32);

impl Server {
    /// How long a connection may take requests yet, if there is an end to that.
    fn age_left(&self, of: &Identity, now: Instant) -> Option<Duration> {
        let Retirement(ticks) = of.retires;
        let is_never = ticks == u32::MAX;
        let at = (!is_never).then(|| self.started + AGE_TICK * ticks)?;
        Some(at.saturating_duration_since(now))
    }

    /// Whether it has become too old for another one.
    fn is_retired(&self, of: &Identity, now: Instant) -> bool {
        self.age_left(of, now).is_some_and(|left| left.is_zero())
    }
}

/// The HTTP listener that a snapshot has for a socket.
fn http_listener(snapshot: &Snapshot, key: SocketKey) -> Option<&Arc<HttpListener>> {
    snapshot.listeners.get(&key)?.serve.http()
}

/// One read of a large body; measured: 16 KiB costs 1.3 times as much a byte.
const SCRATCH_BYTES: usize = 64 * 1024;
/// How exactly the age of connections is known.
const AGE_TICK: Duration = Duration::from_millis(100);
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
