//! UDP flows: the socket shell around the [flow table](super::flows).
//!
//! Datagrams are taken in many at a time, with one snapshot. A flow whose endpoint is gone, or has
//! refused, goes elsewhere with its next datagram; what a new snapshot means for it is looked at
//! once.

mod listener;
mod upstream;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::listener::Listener;
use self::upstream::{Lease, Upstream, Upstreams};
use super::flows::{FlowKey, FlowTable};
use super::way::Way;
use crate::balance::InFlight;
use crate::life::spawn_local;
use crate::net::{Arrival, Departure, Inbox, send_departures};
use crate::observe::ConnectionRecord;
use crate::plane::Local;
use crate::snapshot::{
    Backend, EndpointId, Exposure, Frontend, Generation, Reason, Serve, Snapshot, SocketKey,
};

/// Carries all UDP flows of one worker.
#[derive(Debug)]
pub struct Carrier {
    local: Rc<Local>,
    flows: RefCell<FlowTable<Rc<Flow>>>,
    upstreams: Rc<Upstreams>,
    /// What was just taken in, by whichever socket.
    inbox: RefCell<Inbox>,
    /// Told of new flows.
    begun: Rc<Notify>,
}

/// The way of one client.
#[derive(Debug)]
struct Flow {
    key: FlowKey,
    carrier: Weak<Carrier>,
    listener: Rc<Listener>,
    started: Instant,
    exposure: Exposure,
    backend: Arc<Backend>,
    lease: Lease,
    /// The snapshot that it was last looked at with.
    generation: Cell<Generation>,
    /// Whether the endpoint refused a datagram (ICMP port unreachable), or is unreachable.
    is_refused: Cell<bool>,
    received_bytes: Cell<u64>,
    sent_bytes: Cell<u64>,
    _in_flight: InFlight,
}

impl Carrier {
    /// Carries at most so many flows, by at most so many sockets towards endpoints.
    pub fn new(local: Rc<Local>, max_flows: usize, upstream_budget: usize) -> Rc<Self> {
        let begun = Rc::<Notify>::default();
        let carrier = Rc::new(Self {
            local,
            flows: RefCell::new(FlowTable::new(max_flows, Instant::now())),
            upstreams: Rc::new(Upstreams::new(upstream_budget)),
            inbox: RefCell::new(Inbox::with_details()),
            begun: begun.clone(),
        });
        spawn_local("udp ends", ends(Rc::downgrade(&carrier), begun));
        carrier
    }

    /// Carries the flows of one socket until it is dropped, and they end with it.
    ///
    /// Answers leave by the socket and from the address that the client sent to.
    ///
    /// Without a usable endpoint the socket is closed (see `listeners`), so that the kernel refuses
    /// what comes; what was queued before is dropped and counted, as is what policies do not let in.
    pub async fn serve(self: Rc<Self>, socket: std::net::UdpSocket, key: SocketKey) {
        let listener = match Listener::new(socket, key) {
            Ok(listener) => Rc::new(listener),
            Err(error) => return tracing::error!(%key, %error, "cannot receive"),
        };
        let open = Open { carrier: self, listener };
        loop {
            let _ = open.listener.socket.readable().await;
            open.carrier.receive(&open.listener);
            // others of the worker have their turn
            tokio::task::yield_now().await;
        }
    }

    /// Takes in what is there, up to a batch, and passes it on.
    fn receive(self: &Rc<Self>, listener: &Rc<Listener>) {
        let mut inbox = self.inbox.borrow_mut();
        listener.receive(&mut inbox);
        let snapshot = self.local.snapshot.load();
        let spec = snapshot.listeners.get(&listener.key);
        if let Some(Serve::Frontend(frontend)) = spec.map(|it| &it.serve) {
            let now = Instant::now();
            let flow = |arrival: &Arrival<'_>| {
                self.flow(listener, (&snapshot, frontend), listener.flow_key(arrival), now)
            };
            let arrivals = inbox.arrivals();
            forward(arrivals.filter_map(|arrival| Some((flow(&arrival)?, arrival))).collect());
        }
        inbox.clear();
    }

    /// The flow of a datagram, perhaps a new one.
    fn flow(
        self: &Rc<Self>,
        listener: &Rc<Listener>,
        (snapshot, frontend): (&Snapshot, &Frontend),
        key: FlowKey,
        now: Instant,
    ) -> Option<Rc<Flow>> {
        let mut refused = None;
        let stays = |flow: &Rc<Flow>| {
            refused = flow.is_refused.get().then_some(flow.lease.endpoint);
            Rc::ptr_eq(&flow.listener, listener) && flow.stays(snapshot, frontend)
        };
        let known = self.flows.borrow_mut().send(key, now, stays).cloned();
        if known.is_some() {
            return known;
        }
        let (exposure, begun) = match snapshot.is_astray(listener.key, key.ip()) {
            true => (Exposure::ClusterIp, Err((None, Reason::NoService))),
            false => (frontend.exposure, self.begin(listener, frontend, key, refused, now)),
        };
        match begun {
            Ok(flow) => {
                flow.generation.set(snapshot.generation);
                Some(flow)
            }
            Err((backend, reason)) => {
                let mut record = self.record(listener.key, key.client(), exposure, now);
                (record.backend, record.reason) = (backend, Some(reason));
                None
            }
        }
    }

    /// Begins a flow; one whose endpoint `refused` goes elsewhere, if there is another.
    fn begin(
        self: &Rc<Self>,
        listener: &Rc<Listener>,
        frontend: &Frontend,
        key: FlowKey,
        refused: Option<EndpointId>,
        now: Instant,
    ) -> Result<Rc<Flow>, (Option<Arc<Backend>>, Reason)> {
        let client = key.client().ip();
        let admitted = self.flows.borrow_mut().admit(client, now);
        admitted.map_err(|_| (None, Reason::Overloaded))?;
        let way = Way::choose(&self.local, frontend, client, key.ip()).map_err(|it| (None, it))?;
        let backend = way.target.backend.clone();
        let refused = refused.and_then(|it| backend.endpoint(it)).map(|it| it.id);
        let picked = way.pick(&self.local, refused.as_slice(), now);
        let Some(endpoint) = picked.or_else(|| way.pick(&self.local, &[], now)) else {
            return Err((Some(backend), way.refusal()));
        };
        let to = endpoint.id.by(listener.key.addr.port());
        let source = way.source(frontend, to).map(|ip| (ip, key.client().port()).into());
        let Some(lease) = self.lease(to, source, now) else {
            return Err((Some(backend), Reason::Overloaded));
        };
        listener.flows.set(listener.flows.get() + 1);
        let flow = Rc::new(Flow {
            key,
            carrier: Rc::downgrade(self),
            listener: listener.clone(),
            started: now,
            exposure: frontend.exposure,
            backend,
            lease,
            generation: Cell::default(),
            is_refused: Cell::default(),
            received_bytes: Cell::default(),
            sent_bytes: Cell::default(),
            _in_flight: self.local.loads.begin(endpoint.id),
        });
        flow.lease.bind(&flow);
        self.flows.borrow_mut().begin(key, flow.clone(), now);
        self.begun.notify_one();
        Ok(flow)
    }

    /// A socket towards an endpoint. Where there can be no more of them, other flows give way.
    fn lease(
        self: &Rc<Self>,
        endpoint: EndpointId,
        source: Option<SocketAddr>,
        now: Instant,
    ) -> Option<Lease> {
        let receive = |upstream: &Rc<Upstream>| {
            let (carrier, socket) = (Rc::downgrade(self), upstream.socket.clone());
            let answers = answers(carrier, Rc::downgrade(upstream), socket);
            spawn_local("udp answers", answers).abort_handle()
        };
        self.upstreams.lease(endpoint, source, now, receive).or_else(|| {
            (0..GIVE_WAY).for_each(|_| self.flows.borrow_mut().evict());
            self.upstreams.lease(endpoint, source, now, receive)
        })
    }

    /// Takes in answers, up to a batch, and passes them back.
    fn pass_back(&self, upstream: &Upstream) {
        let mut inbox = self.inbox.borrow_mut();
        upstream.receive(&mut inbox);
        let now = Instant::now();
        let flow = |arrival: &Arrival<'_>| {
            let flow = upstream.flow(arrival.from)?;
            self.flows.borrow_mut().answer(flow.key, now);
            Some(flow)
        };
        let arrivals = inbox.arrivals();
        pass_back(arrivals.filter_map(|arrival| Some((flow(&arrival)?, arrival))).collect());
        inbox.clear();
    }

    fn record(
        &self,
        listener: SocketKey,
        client: SocketAddr,
        exposure: Exposure,
        started: Instant,
    ) -> ConnectionRecord {
        let observer = self.local.observer.clone();
        let mut record = ConnectionRecord::begin(observer, client, listener, exposure);
        record.started = started;
        record
    }
}

/// Sends what came from clients to the endpoints of their flows, each socket's in one go.
fn forward(mut batch: Vec<(Rc<Flow>, Arrival<'_>)>) {
    // stable: the datagrams of a flow stay in their order
    batch.sort_by_key(|(flow, _)| Rc::as_ptr(&flow.lease.upstream));
    for alike in batch
        .chunk_by(|(one, _), (other, _)| Rc::ptr_eq(&one.lease.upstream, &other.lease.upstream))
    {
        if let Some((flow, _)) = alike.first() {
            let departures: Vec<_> = alike.iter().map(|(flow, it)| flow.forth(*it)).collect();
            send_departures(&*flow.lease.upstream.socket, &departures);
        }
    }
}

/// Sends answers to the clients of their flows, each socket's in one go.
fn pass_back(mut batch: Vec<(Rc<Flow>, Arrival<'_>)>) {
    batch.sort_by_key(|(flow, _)| Rc::as_ptr(&flow.listener));
    for alike in batch.chunk_by(|(one, _), (other, _)| Rc::ptr_eq(&one.listener, &other.listener)) {
        if let Some((flow, _)) = alike.first() {
            let departures: Vec<_> = alike.iter().map(|(flow, it)| flow.back(*it)).collect();
            send_departures(&flow.listener.socket, &departures);
        }
    }
}

impl Flow {
    /// Whether it goes on where it went before.
    fn stays(&self, snapshot: &Snapshot, frontend: &Frontend) -> bool {
        if self.is_refused.get() {
            return false;
        }
        if self.generation.replace(snapshot.generation) == snapshot.generation {
            return true;
        }
        let mut backends = frontend.shares.iter().filter_map(|share| share.backend());
        !snapshot.is_astray(self.listener.key, self.key.ip())
            && backends.any(|backend| serves(backend, self.lease.endpoint))
    }

    /// What came from the client, on its way to the endpoint.
    fn forth<'a>(&self, arrival: Arrival<'a>) -> Departure<'a> {
        self.received_bytes.set(self.received_bytes.get() + arrival.bytes.len() as u64);
        let to = self.lease.endpoint.addr();
        Departure { bytes: arrival.bytes, to, from: None, segment: arrival.segment }
    }

    /// What came from the endpoint, on its way to the client.
    fn back<'a>(&self, arrival: Arrival<'a>) -> Departure<'a> {
        self.sent_bytes.set(self.sent_bytes.get() + arrival.bytes.len() as u64);
        let from = self.listener.answers_from(self.key.ip());
        Departure { bytes: arrival.bytes, to: self.key.client(), from, segment: arrival.segment }
    }

    /// Its endpoint is not there.
    fn refuse(&self) {
        self.is_refused.set(true);
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.listener.flows.set(self.listener.flows.get().saturating_sub(1));
        // without a carrier the worker is gone, and with it who would count
        let Some(carrier) = self.carrier.upgrade() else { return };
        let client = self.key.client();
        let mut record = carrier.record(self.listener.key, client, self.exposure, self.started);
        record.backend = Some(self.backend.clone());
        record.endpoint = Some(self.lease.endpoint);
        record.reason = self.is_refused.get().then_some(Reason::ConnectRefused);
        record.received_bytes = self.received_bytes.get();
        record.sent_bytes = self.sent_bytes.get();
    }
}

/// Whether flows stay at an endpoint, as kube-proxy keeps those of conntrack: while it serves. That
/// others are preferred by now, by readiness or a policy, concerns new flows only.
fn serves(backend: &Backend, endpoint: EndpointId) -> bool {
    backend.endpoint(endpoint).is_some_and(|it| it.ready || it.serving)
}

/// A socket of clients, as long as it is served.
struct Open {
    carrier: Rc<Carrier>,
    listener: Rc<Listener>,
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.listener.flows.get() > 0 {
            let is_other = |flow: &Rc<Flow>| !Rc::ptr_eq(&flow.listener, &self.listener);
            self.carrier.flows.borrow_mut().retain(is_other);
        }
    }
}

/// Passes answers back as long as the socket has flows.
async fn answers(carrier: Weak<Carrier>, upstream: Weak<Upstream>, socket: Rc<UdpSocket>) {
    loop {
        let _ = socket.ready(Interest::READABLE | Interest::ERROR).await;
        let (Some(carrier), Some(upstream)) = (carrier.upgrade(), upstream.upgrade()) else {
            return;
        };
        carrier.pass_back(&upstream);
        drop((carrier, upstream));
        // others of the worker have their turn
        tokio::task::yield_now().await;
    }
}

/// Ends flows that are silent.
async fn ends(carrier: Weak<Carrier>, begun: Rc<Notify>) {
    loop {
        let now = Instant::now();
        let Some(due) = carrier.upgrade().map(|carrier| {
            carrier.upstreams.forget(now);
            carrier.flows.borrow_mut().expire(now)
        }) else {
            return;
        };
        match due {
            Some(due) => tokio::time::sleep_until(due.max(now + LOOK)).await,
            None => begun.notified().await,
        }
    }
}

/// How often silent flows are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Flows that end where a new one finds no socket.
const GIVE_WAY: usize = 16;
