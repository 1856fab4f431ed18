//! UDP flows: the socket shell around the [flow table](super::flows).

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::flows::FlowTable;
use super::way::Way;
use crate::balance::InFlight;
use crate::life::spawn_local;
use crate::observe::ConnectionRecord;
use crate::plane::Local;
use crate::snapshot::{Backend, EndpointId, Frontend, Reason, Serve, SocketKey};

/// Carries the flows of one socket until it is dropped.
///
/// Answers leave by the socket that the client sent to, so that they come from the address it
/// used; for a node port on the wildcard address, from the one that the route to it has.
///
/// Without a usable endpoint the socket is closed (see `listeners`), so that the kernel refuses what
/// comes; what was queued before is dropped and counted, as is what policies do not let in.
pub async fn serve(local: Rc<Local>, socket: std::net::UdpSocket, key: SocketKey) {
    let socket = match UdpSocket::from_std(socket) {
        Ok(socket) => Rc::new(socket),
        Err(error) => return tracing::error!(%key, %error, "cannot receive"),
    };
    let flows = Rc::new(RefCell::new(FlowTable::new(MAX_FLOWS, IDLE)));
    let listener = Listener { local, socket, key, flows };
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut due = None;
    loop {
        let readable = tokio::select! {
            readable = listener.socket.readable() => readable,
            () = until(due) => Ok(()),
        };
        if readable.is_ok() {
            listener.receive(&mut buffer);
        }
        due = listener.flows.borrow_mut().expire(Instant::now());
    }
}

/// Whether flows stay at an endpoint, as kube-proxy keeps those of conntrack: while it serves. That
/// others are preferred by now, by readiness or a policy, concerns new flows only.
fn serves(backend: &Backend, endpoint: EndpointId) -> bool {
    let found = backend.endpoints.binary_search_by_key(&endpoint, |it| it.id).ok();
    let found = found.and_then(|place| backend.endpoints.get(place));
    found.is_some_and(|it| it.ready || it.serving)
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

type Flows = Rc<RefCell<FlowTable<Rc<Flow>>>>;

/// One socket of clients.
struct Listener {
    local: Rc<Local>,
    socket: Rc<UdpSocket>,
    key: SocketKey,
    flows: Flows,
}

/// The way of one client: a connected socket of its own, so that answers find back.
struct Flow {
    upstream: Rc<UdpSocket>,
    record: RefCell<ConnectionRecord>,
    /// Whether the endpoint refused the last datagram (ICMP port unreachable).
    refused: Cell<bool>,
    _in_flight: InFlight,
}

impl Listener {
    /// Takes in what is there, up to a batch, with one snapshot.
    fn receive(&self, buffer: &mut [u8]) {
        let snapshot = self.local.snapshot.load();
        let Some(Serve::Frontend(frontend)) = snapshot.listeners.get(&self.key).map(|it| &it.serve)
        else {
            return;
        };
        for _ in 0..BATCH {
            let Ok((length, client)) = self.socket.try_recv_from(buffer) else { return };
            self.forward(frontend, client, buffer.get(..length).unwrap_or_default());
        }
    }

    fn forward(&self, frontend: &Arc<Frontend>, client: SocketAddr, datagram: &[u8]) {
        let now = Instant::now();
        let backends = || frontend.shares.iter().filter_map(|share| share.backend());
        let is_usable = |id| backends().any(|backend| serves(backend, id));
        let known = self.flows.borrow_mut().send(client, now, is_usable).cloned();
        let flow = known.filter(|flow| !flow.refused.get());
        let Some(flow) = flow.or_else(|| self.begin(frontend, client, now)) else { return };
        // not through tokio, which knows nothing of a fresh socket's readiness yet; a full queue
        // drops datagrams, here as anywhere
        if let Ok(length) = SockRef::from(&*flow.upstream).send(datagram) {
            flow.record.borrow_mut().received_bytes += length as u64;
        }
    }

    fn begin(
        &self,
        frontend: &Arc<Frontend>,
        client: SocketAddr,
        now: Instant,
    ) -> Option<Rc<Flow>> {
        let mut record = self.record(frontend, client, now);
        let endpoint = match self.pick(frontend, &mut record, now) {
            Ok(endpoint) => endpoint,
            Err(reason) => {
                record.reason = Some(reason);
                return None;
            }
        };
        record.endpoint = Some(endpoint);
        let upstream = match connect(endpoint.addr()) {
            Ok(upstream) => upstream,
            Err(error) => {
                tracing::debug!(%endpoint, %error, "cannot reach the endpoint");
                record.reason = Some(Reason::ConnectRefused);
                return None;
            }
        };
        let flow = Rc::new(Flow {
            upstream: Rc::new(upstream),
            record: RefCell::new(record),
            refused: Cell::new(false),
            _in_flight: self.local.loads.begin(endpoint),
        });
        self.flows.borrow_mut().begin(client, endpoint, flow.clone(), now);
        let (socket, flows) = (Rc::downgrade(&self.socket), Rc::downgrade(&self.flows));
        spawn_local("udp flow", answers(Rc::downgrade(&flow), socket, flows, client));
        Some(flow)
    }

    /// An endpoint of one of the frontend's backends, by weight.
    fn pick(
        &self,
        frontend: &Frontend,
        record: &mut ConnectionRecord,
        now: Instant,
    ) -> Result<EndpointId, Reason> {
        let way = Way::choose(&self.local, frontend, record.client.ip(), self.key.addr.ip())?;
        record.backend = Some(way.target.backend.clone());
        let picked = way.pick(&self.local, &[], now);
        picked.map(|endpoint| endpoint.id).ok_or_else(|| way.refusal())
    }

    fn record(
        &self,
        frontend: &Arc<Frontend>,
        client: SocketAddr,
        started: Instant,
    ) -> ConnectionRecord {
        ConnectionRecord {
            observer: self.local.observer.clone(),
            started,
            transport: self.key.transport,
            client,
            frontend: self.key.addr,
            exposure: frontend.exposure,
            backend: None,
            endpoint: None,
            reason: None,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }
}

/// Passes answers back as long as the flow is in the table: the table alone keeps it alive, and
/// ends with the task that receives from clients.
async fn answers(
    flow: Weak<Flow>,
    socket: Weak<UdpSocket>,
    flows: Weak<RefCell<FlowTable<Rc<Flow>>>>,
    client: SocketAddr,
) {
    let mut buffer = Vec::new();
    loop {
        // a flow without answers must still be let go, so only its socket is held across the wait
        let Some(upstream) = flow.upgrade().map(|flow| flow.upstream.clone()) else { return };
        let waited = tokio::time::timeout(LOOK, upstream.readable()).await;
        let (Some(flow), Some(socket), Some(flows)) =
            (flow.upgrade(), socket.upgrade(), flows.upgrade())
        else {
            return;
        };
        if waited.is_err() {
            continue;
        }
        buffer.resize(MAX_DATAGRAM, 0);
        match upstream.try_recv(&mut buffer) {
            Ok(length) => {
                let answer = buffer.get(..length).unwrap_or_default();
                if let Ok(sent) = socket.try_send_to(answer, client) {
                    flow.record.borrow_mut().sent_bytes += sent as u64;
                }
                flows.borrow_mut().answer(client, Instant::now());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                flow.record.borrow_mut().reason = Some(Reason::ConnectRefused);
                flow.refused.set(true);
                return;
            }
        }
        // an idle flow keeps no buffer
        buffer = Vec::new();
    }
}

/// A socket for one flow: connected, so that it receives from this endpoint only and learns of
/// refusals.
fn connect(endpoint: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match endpoint {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(endpoint)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// How long a flow lives without a datagram either way.
const IDLE: Duration = Duration::from_secs(60);
/// Flows of one socket; each takes a descriptor.
const MAX_FLOWS: usize = 4096;
/// Datagrams taken in before others of the worker have a turn.
const BATCH: usize = 64;
/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;
/// How often a silent flow is looked at, to see whether the table still has it.
const LOOK: Duration = Duration::from_secs(5);
