//! Sockets towards endpoints, shared by flows: the source of an answer tells whose it is, as long as
//! the flows of a socket go to different endpoints. So 100,000 flows to 100 endpoints take 1,000
//! sockets. A flow that keeps the address of its client has a socket of its own.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Flow;
use crate::net::{
    Inbox, ReusePort, bind_udp, bind_udp_as, tell_details, tell_unreachable, unreachable,
};
use crate::snapshot::EndpointId;

/// The sockets of one worker.
#[derive(Debug)]
pub(super) struct Upstreams {
    pool: RefCell<Pool>,
    /// How many sockets are open.
    open: Cell<usize>,
    /// How many there may be.
    budget: usize,
}

/// Invariant: the flows of a slot go to different endpoints.
#[derive(Debug, Default)]
struct Pool {
    /// By slot, of IPv4 and IPv6. A socket without a flow is closed.
    sockets: [Vec<Weak<Upstream>>; 2],
    /// Which slots the flows of an endpoint have.
    endpoints: HashMap<EndpointId, Slots, RandomState>,
}

#[derive(Debug, Default)]
struct Slots {
    /// How many have a flow.
    held: usize,
    /// Those from here on never had one.
    next: usize,
    /// Those whose flow has ended, and when.
    ended: VecDeque<(Instant, usize)>,
}

impl Upstreams {
    /// At most `budget` sockets.
    pub(super) fn new(budget: usize) -> Self {
        Self { pool: RefCell::default(), open: Cell::new(0), budget: budget.max(1) }
    }

    /// A socket by which no other flow goes to this endpoint. `receive` is called for a fresh one, and
    /// gives the task that takes in its answers. `None`: there can be no more of them.
    pub(super) fn lease(
        self: &Rc<Self>,
        endpoint: EndpointId,
        source: Option<SocketAddr>,
        now: Instant,
        receive: impl FnOnce(&Rc<Upstream>) -> AbortHandle,
    ) -> Option<Lease> {
        match source {
            Some(client) => self.lease_as(client, endpoint, receive),
            None => self.lease_shared(endpoint, now, receive),
        }
    }

    fn lease_as(
        self: &Rc<Self>,
        client: SocketAddr,
        endpoint: EndpointId,
        receive: impl FnOnce(&Rc<Upstream>) -> AbortHandle,
    ) -> Option<Lease> {
        let opened = self.open(|| bind_udp_as(client));
        let upstream = opened.inspect_err(|error| {
            tracing::debug!(%endpoint, %client, %error, "no socket from the client's address");
        });
        let upstream = upstream.ok()?;
        let task = receive(&upstream);
        upstream.task.replace(Some(task));
        Some(Lease { upstream, endpoint, slot: None })
    }

    fn lease_shared(
        self: &Rc<Self>,
        endpoint: EndpointId,
        now: Instant,
        receive: impl FnOnce(&Rc<Upstream>) -> AbortHandle,
    ) -> Option<Lease> {
        let slot = self.pool.borrow_mut().take(endpoint, now, self.budget)?;
        let known = self.pool.borrow().socket(endpoint, slot);
        let any: SocketAddr = match endpoint.addr().is_ipv4() {
            true => (Ipv4Addr::UNSPECIFIED, 0).into(),
            false => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let open = || self.open(|| bind_udp(any, ReusePort::No));
        let upstream = match known.map_or_else(open, Ok) {
            Ok(upstream) => upstream,
            Err(error) => {
                tracing::debug!(%endpoint, %error, "no socket towards the endpoint");
                self.pool.borrow_mut().give_back(endpoint, slot, now);
                return None;
            }
        };
        if upstream.task.borrow().is_none() {
            let task = receive(&upstream);
            upstream.task.replace(Some(task));
            self.pool.borrow_mut().keep(endpoint, slot, &upstream);
        }
        Some(Lease { upstream, endpoint, slot: Some(slot) })
    }

    /// Forgets endpoints that have had no flow for a while.
    pub(super) fn forget(&self, now: Instant) {
        let mut pool = self.pool.borrow_mut();
        pool.endpoints.retain(|_, slots| {
            let last = slots.ended.back();
            slots.held > 0 || last.is_some_and(|(ended, _)| !is_rested(*ended, now))
        });
    }

    fn open(
        self: &Rc<Self>,
        bind: impl FnOnce() -> io::Result<std::net::UdpSocket>,
    ) -> io::Result<Rc<Upstream>> {
        if self.open.get() >= self.budget {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let socket = bind()?;
        let is_ipv4 = socket.local_addr()?.is_ipv4();
        tell_details(&socket, is_ipv4)?;
        tell_unreachable(&socket, is_ipv4)?;
        let socket = Rc::new(UdpSocket::from_std(socket)?);
        self.open.set(self.open.get() + 1);
        let (flows, task) = Default::default();
        Ok(Rc::new(Upstream { upstreams: self.clone(), socket, flows, task }))
    }
}

impl Pool {
    fn take(&mut self, endpoint: EndpointId, now: Instant, budget: usize) -> Option<usize> {
        let slots = self.endpoints.entry(endpoint).or_default();
        let is_free = slots.ended.front().is_some_and(|(ended, _)| is_rested(*ended, now));
        let slot = if !is_free && slots.next < budget {
            slots.next += 1;
            slots.next - 1
        } else {
            slots.ended.pop_front()?.1
        };
        slots.held += 1;
        Some(slot)
    }

    fn give_back(&mut self, endpoint: EndpointId, slot: usize, now: Instant) {
        if let Some(slots) = self.endpoints.get_mut(&endpoint) {
            slots.held = slots.held.saturating_sub(1);
            slots.ended.push_back((now, slot));
        }
    }

    fn socket(&self, endpoint: EndpointId, slot: usize) -> Option<Rc<Upstream>> {
        let [v4, v6] = &self.sockets;
        let sockets = if endpoint.addr().is_ipv4() { v4 } else { v6 };
        sockets.get(slot)?.upgrade()
    }

    fn keep(&mut self, endpoint: EndpointId, slot: usize, upstream: &Rc<Upstream>) {
        let [v4, v6] = &mut self.sockets;
        let sockets = if endpoint.addr().is_ipv4() { v4 } else { v6 };
        sockets.resize_with(sockets.len().max(slot + 1), Weak::new);
        if let Some(place) = sockets.get_mut(slot) {
            *place = Rc::downgrade(upstream);
        }
    }
}

/// Whether answers for the flow that has ended are not to be expected any more.
fn is_rested(ended: Instant, now: Instant) -> bool {
    now.saturating_duration_since(ended) >= REST
}

/// One socket.
#[derive(Debug)]
pub(super) struct Upstream {
    upstreams: Rc<Upstreams>,
    pub(super) socket: Rc<UdpSocket>,
    flows: RefCell<HashMap<EndpointId, Weak<Flow>, RandomState>>,
    task: RefCell<Option<AbortHandle>>,
}

impl Upstream {
    /// The flow that goes to this address.
    pub(super) fn flow(&self, endpoint: SocketAddr) -> Option<Rc<Flow>> {
        // without the scope that a received address may have
        let endpoint = EndpointId((endpoint.ip(), endpoint.port()).into());
        self.flows.borrow().get(&endpoint)?.upgrade()
    }

    /// Takes in answers, and tells flows whose endpoint is not there.
    pub(super) fn receive(&self, inbox: &mut Inbox) {
        // what these give is for tokio, which clears readiness where all is taken in
        let _ = self.socket.try_io(Interest::ERROR, || -> io::Result<()> {
            while let Some(endpoint) = unreachable(&*self.socket) {
                if let Some(flow) = self.flow(endpoint) {
                    flow.refuse();
                }
            }
            Err(io::ErrorKind::WouldBlock.into())
        });
        let _ = self.socket.try_io(Interest::READABLE, || match inbox.receive(&*self.socket) {
            Ok(true) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        });
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.upstreams.open.set(self.upstreams.open.get().saturating_sub(1));
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// The use of a socket for one endpoint, by one flow.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) upstream: Rc<Upstream>,
    pub(super) endpoint: EndpointId,
    /// `None`: the socket is the flow's own.
    slot: Option<usize>,
}

impl Lease {
    /// Whose answers these are.
    pub(super) fn bind(&self, flow: &Rc<Flow>) {
        self.upstream.flows.borrow_mut().insert(self.endpoint, Rc::downgrade(flow));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.upstream.flows.borrow_mut().remove(&self.endpoint);
        if let Some(slot) = self.slot {
            let mut pool = self.upstream.upstreams.pool.borrow_mut();
            pool.give_back(self.endpoint, slot, Instant::now());
        }
    }
}

/// How long a socket is not used for the endpoint of a flow that has ended, so that an answer on its
/// way reaches no other client.
const REST: Duration = Duration::from_secs(5);
