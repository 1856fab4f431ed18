//! What the tests of several planes use.

pub(in crate::plane) mod tls;

use std::cell::RefCell;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::LocalSet;

use super::{Limits, Local};
use crate::balance::{Loads, Rng};
use crate::config::AccessLog;
use crate::life::{self, DrainSignal};
use crate::manifest::{Kind, ObjectKey, ObjectRef, Origin};
use crate::observe::{Gauges, Metrics};
use crate::snapshot::cell::{self, Publisher};
use crate::snapshot::{
    AppProtocol, Backend, BackendId, Endpoint, EndpointId, Exposure, Failure, Frontend,
    ListenerSpec, Network, Reason, Serve, Snapshot, SocketKey, Target, Transport, WeightedBackend,
};

/// Runs a test with its tasks on one thread.
pub(in crate::plane) fn run<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime must start");
    let limit = std::time::Duration::from_secs(20);
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(limit, test).await.expect("the test must end in time");
    });
}

/// What a worker owns, and the other ends of it.
pub(in crate::plane) struct Core {
    pub(in crate::plane) publisher: Publisher,
    pub(in crate::plane) local: Rc<Local>,
    /// Of the snapshots that are published.
    pub(in crate::plane) network: Arc<Network>,
    metrics: Metrics,
    _drain: DrainSignal,
}

impl Core {
    pub(in crate::plane) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(in crate::plane) fn with(limits: Limits) -> Self {
        let (publisher, reader) = cell::new();
        let (signal, drain) = life::drain();
        let metrics = Metrics::default();
        let mut shards = metrics.shards(1, &AccessLog::Off).expect("no log to fail");
        let local = Rc::new(Local {
            worker: 0,
            snapshot: reader.cached(),
            loads: Loads::default(),
            affinity: Default::default(),
            gates: Default::default(),
            health: Default::default(),
            rng: RefCell::new(Rng::new(1)),
            tcp: Default::default(),
            limits,
            tls: Default::default(),
            admissions: Default::default(),
            challenges: Default::default(),
            clients: Default::default(),
            overload: Default::default(),
            level: Default::default(),
            observer: Rc::new(shards.remove(0).observer()),
            drain,
        });
        Self { publisher, local, network: Arc::default(), metrics, _drain: signal }
    }

    /// Publishes what one socket serves.
    pub(in crate::plane) fn publish(&mut self, key: SocketKey, serve: Serve) {
        let mut snapshot = Snapshot { network: self.network.clone(), ..Snapshot::default() };
        for frontend in serve.frontends() {
            for backend in frontend.shares.iter().filter_map(WeightedBackend::backend) {
                snapshot.backends.insert(backend.id.clone(), backend.clone());
            }
        }
        snapshot.listeners.insert(key, Arc::new(ListenerSpec { key, serve, rank: 0 }));
        self.publisher.publish(snapshot);
    }

    /// How many sessions or flows ended for `reason`, or none, at a Service.
    pub(in crate::plane) fn ended(&self, service: &str, reason: Option<Reason>) -> u64 {
        let text = self.metrics.encode(&self.local.snapshot.load(), &Gauges::default());
        let (service, reason) =
            (format!("{{service=\"{service}\","), reason.map_or("", |it| it.as_str()));
        let labels = format!(",reason=\"{reason}\"}} ");
        let lines = text.lines().filter(|it| it.starts_with("rutter_connections_total"));
        let counts = lines.filter(|it| it.contains(&service)).filter_map(|line| {
            let (_, count) = line.split_once(&labels)?;
            count.parse::<u64>().ok()
        });
        counts.sum()
    }

    /// Waits until so many sessions have ended: their tasks run when they do.
    pub(in crate::plane) async fn until_ended(
        &self,
        count: u64,
        service: &str,
        reason: Option<Reason>,
    ) {
        while self.ended(service, reason) < count {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.ended(service, reason), count);
    }
}

/// A Service whose endpoints are all usable.
pub(in crate::plane) fn backend(
    name: &str,
    transport: Transport,
    endpoints: &[SocketAddr],
) -> Arc<Backend> {
    let endpoint = |addr: &SocketAddr| {
        Arc::new(Endpoint {
            id: EndpointId(*addr),
            ready: true,
            serving: true,
            terminating: false,
            pod: None,
            node: None,
            zone: None,
            origin: Origin::default(),
        })
    };
    let mut endpoints: Vec<_> = endpoints.iter().map(endpoint).collect();
    endpoints.sort_by_key(|endpoint| endpoint.id);
    Arc::new(Backend {
        id: BackendId { service: ObjectKey::new("default", name), port: "80".into(), transport },
        port: 80,
        app_protocol: AppProtocol::Http,
        proxy_protocol: None,
        balancing: Default::default(),
        compress: Default::default(),
        usable: endpoints.clone(),
        local: Vec::new(),
        topology: Default::default(),
        endpoints,
        origin: Origin::default(),
        field: "".into(),
    })
}

/// A share of a backend.
pub(in crate::plane) fn share(weight: u32, backend: Arc<Backend>) -> WeightedBackend {
    WeightedBackend { target: Ok(Target::plain(backend)), weight, filters: Vec::new() }
}

/// A share that cannot be served.
pub(in crate::plane) fn failed_share(weight: u32, reason: Reason) -> WeightedBackend {
    WeightedBackend {
        target: Err(Failure { reason, detail: "".into() }),
        weight,
        filters: Vec::new(),
    }
}

/// The way of a TCPRoute, TLSRoute or UDPRoute.
pub(in crate::plane) fn frontend(shares: Vec<WeightedBackend>) -> Arc<Frontend> {
    Arc::new(Frontend {
        owner: ObjectRef::new(Kind::Gateway, ObjectKey::new("default", "gateway")),
        exposure: Exposure::Gateway,
        origin: Origin::default(),
        shares,
        policy: Arc::default(),
    })
}

/// An endpoint that tells its name, then sends back what it is sent.
pub(in crate::plane) async fn named_echo(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = listener.local_addr().expect("a bound socket must have an address");
    life::spawn_local("echo", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            life::spawn_local("echo", async move {
                let (mut read, mut write) = stream.split();
                if write.write_all(name.as_bytes()).await.is_ok() {
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                }
                let _ = write.shutdown().await;
            });
        }
    });
    addr
}

/// An address where nobody listens, and nobody will by chance: a socket keeps it until the process ends.
pub(in crate::plane) async fn closed_port() -> SocketAddr {
    let socket = TcpSocket::new_v4().expect("a socket");
    // a test may come to listen there itself
    socket.set_reuseaddr(true).expect("an option");
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).expect("port 0 must be free");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    std::mem::forget(socket);
    addr
}

/// A client that sends what it is told.
pub(in crate::plane) struct Client {
    pub(in crate::plane) stream: TcpStream,
    pub(in crate::plane) read: Vec<u8>,
}

impl Client {
    pub(in crate::plane) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server must accept");
        stream.set_nodelay(true).expect("a socket must take options");
        Self { stream, read: Vec::new() }
    }

    pub(in crate::plane) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the server must read");
    }

    /// Reads up to and with `end`.
    pub(in crate::plane) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self.read.windows(end.len()).position(|it| it == end.as_bytes());
            if let Some(place) = found {
                let rest = self.read.split_off(place + end.len());
                let head = std::mem::replace(&mut self.read, rest);
                return String::from_utf8_lossy(&head).into_owned();
            }
            let length = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
            let read = String::from_utf8_lossy(&self.read);
            assert!(length > 0, "closed before {end:?}: {read:?}");
        }
    }

    pub(in crate::plane) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads until the connection ends; a reset counts as an end.
    pub(in crate::plane) async fn rest(&mut self) -> String {
        while self.stream.read_buf(&mut self.read).await.is_ok_and(|length| length > 0) {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Sends a GET and reads a response whose body is `body`.
    pub(in crate::plane) async fn get(&mut self, path: &str, body: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        self.until(&format!("\r\n\r\n{body}")).await
    }
}

/// An endpoint: accepts connections and hands them to the test, one by one.
pub(in crate::plane) struct Manual {
    pub(in crate::plane) addr: SocketAddr,
    listener: TcpListener,
}

impl Manual {
    pub(in crate::plane) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = listener.local_addr().expect("a bound socket must have an address");
        Self { addr, listener }
    }

    pub(in crate::plane) async fn accept(&self) -> Client {
        let (stream, _) = self.listener.accept().await.expect("accept must work");
        Client { stream, read: Vec::new() }
    }

    /// Whether nobody has connected.
    pub(in crate::plane) fn is_untouched(&self) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        self.listener.poll_accept(&mut cx).is_pending()
    }
}
