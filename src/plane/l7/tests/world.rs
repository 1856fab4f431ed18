//! A server, its snapshot, and endpoints that record what they are sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(super) use crate::plane::tests::{Client, Manual, closed_port, run};

use crate::balance::{Loads, Rng};
use crate::life::{self, DrainSignal};
use crate::manifest::{Kind, ObjectKey, ObjectRef, Origin};
use crate::observe::Observer;
use crate::plane::Limits;
use crate::plane::l7::{Server, http_listener};
use crate::plane::{Accepted, Local};
use crate::snapshot::cell::{self, Publisher};
use crate::snapshot::{
    Action, AppProtocol, Backend, BackendId, Balancing, Endpoint, EndpointId, Failure, HostMatch,
    HttpListener, ListenerSpec, MatchPath, Reason, RouteTable, Rule, Serve, Snapshot, SocketKey,
    Target, TlsTable, Transport, WeightedBackend,
};

/// A running server with one listener.
pub(in crate::plane::l7) struct World {
    pub(in crate::plane::l7) addr: SocketAddr,
    pub(in crate::plane::l7) publisher: Publisher,
    pub(in crate::plane::l7) drain: Option<DrainSignal>,
    pub(in crate::plane::l7) local: Rc<Local>,
    pub(in crate::plane::l7) server: Rc<Server>,
    pub(in crate::plane::l7) key: SocketKey,
}

impl World {
    pub(in crate::plane::l7) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(in crate::plane::l7) async fn with(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
        let addr = listener.local_addr().expect("a bound socket must have an address");
        let key = SocketKey { transport: Transport::Tcp, addr };
        let (publisher, reader) = cell::new();
        let (signal, drain) = life::drain();
        let local = Rc::new(Local {
            worker: 0,
            snapshot: reader.cached(),
            affinity: Default::default(),
            gates: Default::default(),
            health: Default::default(),
            loads: Loads::default(),
            rng: RefCell::new(Rng::new(1)),
            tcp: Default::default(),
            limits,
            tls: Default::default(),
            admissions: Default::default(),
            challenges: Default::default(),
            clients: Default::default(),
            overload: Default::default(),
            level: Default::default(),
            observer: Rc::new(Observer::default()),
            drain,
        });
        let server = Server::new(local.clone());
        let accepting = server.clone();
        life::spawn_local("accept", async move {
            while let Ok((stream, client)) = listener.accept().await {
                let listener = http_listener(&accepting.local.snapshot.load(), key).cloned();
                let Some(listener) = listener else { continue };
                let server = accepting.clone();
                life::spawn_local("connection", async move {
                    server.serve(Accepted { stream, client, key }, listener).await;
                });
            }
        });
        Self { addr, publisher, drain: Some(signal), local, server, key }
    }

    /// Everything goes to these endpoints.
    pub(in crate::plane::l7) async fn to(endpoints: &[SocketAddr]) -> Self {
        Self::to_within(Limits::default(), endpoints).await
    }

    /// The same with these limits.
    pub(super) async fn to_within(limits: Limits, endpoints: &[SocketAddr]) -> Self {
        let mut world = Self::with(limits).await;
        world.publish(all(forward("web", endpoints)), None);
        world
    }

    pub(super) fn publish(&mut self, rules: Vec<Arc<Rule>>, tls: Option<Arc<TlsTable>>) {
        let mut snapshot = Snapshot::default();
        for rule in &rules {
            for backend in rule.backends() {
                snapshot.backends.insert(backend.id.clone(), backend.clone());
            }
        }
        let routes = Arc::new(RouteTable::new(rules));
        let http = HttpListener::single("http".into(), tls, routes);
        let serve = Serve::Http(Arc::new(http));
        let spec = ListenerSpec { key: self.key, serve, rank: 0 };
        snapshot.listeners.insert(self.key, Arc::new(spec));
        self.publisher.publish(snapshot);
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.addr).await
    }

    /// What is in flight at an endpoint.
    pub(super) fn in_flight(&self, endpoint: SocketAddr) -> u32 {
        self.local.loads.of(EndpointId(endpoint))
    }

    /// Sends a request on a connection of its own and reads until the end.
    pub(super) async fn ask(&self, request: &str) -> String {
        let mut client = self.client().await;
        client.send(request).await;
        client.rest().await
    }
}

/// A rule for a host and a path prefix.
pub(in crate::plane::l7) fn rule(host: HostMatch, prefix: &str, action: Action) -> Arc<Rule> {
    Arc::new(Rule {
        route: ObjectRef::new(Kind::Ingress, ObjectKey::new("default", "r")),
        label: "default/r".into(),
        host,
        path: MatchPath::Prefix(prefix.into()),
        predicates: Default::default(),
        filters: Vec::new(),
        timeouts: Default::default(),
        retry: None,
        session: None,
        action,
        origin: Origin::default(),
        field: "".into(),
    })
}

/// The same rule, changed.
pub(super) fn changed(rule: Arc<Rule>, change: impl FnOnce(&mut Rule)) -> Arc<Rule> {
    let mut rule = Arc::unwrap_or_clone(rule);
    change(&mut rule);
    Arc::new(rule)
}

pub(super) fn fail(reason: Reason) -> Action {
    Action::Fail(Failure { reason, detail: "".into() })
}

pub(in crate::plane::l7) fn forward(name: &str, endpoints: &[SocketAddr]) -> Action {
    forward_to(target(name, endpoints))
}

pub(super) fn forward_to(target: Target) -> Action {
    Action::Forward(vec![WeightedBackend { target: Ok(target), weight: 1, filters: Vec::new() }])
}

/// A backend that is spoken to in HTTP/1 and in the clear.
pub(super) fn target(name: &str, endpoints: &[SocketAddr]) -> Target {
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
    let backend = Backend {
        id: BackendId {
            service: ObjectKey::new("default", name),
            port: "80".into(),
            transport: Transport::Tcp,
        },
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
    };
    Target::plain(Arc::new(backend))
}

/// The same, whose Service says this about its endpoints.
pub(super) fn balanced(mut target: Target, balancing: Balancing) -> Target {
    Arc::make_mut(&mut target.backend).balancing = Arc::new(balancing);
    target
}

/// The only rule.
pub(super) fn all(action: Action) -> Vec<Arc<Rule>> {
    vec![rule(HostMatch::Any, "", action)]
}

/// What a [`Canned`] endpoint was sent.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) heads: Vec<String>,
}

/// An endpoint that answers each request head with the next canned response, or 200 `ok`.
pub(super) struct Canned {
    pub(super) addr: SocketAddr,
    pub(super) seen: Rc<RefCell<Seen>>,
}

impl Canned {
    pub(super) async fn ok() -> Self {
        Self::with(&[]).await
    }

    pub(super) async fn with(responses: &[&str]) -> Self {
        let origin = Manual::new().await;
        let addr = origin.addr;
        let seen = Rc::new(RefCell::new(Seen::default()));
        let responses: VecDeque<String> = responses.iter().map(|it| (*it).to_owned()).collect();
        let responses = Rc::new(RefCell::new(responses));
        let all = seen.clone();
        life::spawn_local("origin", async move {
            loop {
                let connection = origin.accept().await;
                all.borrow_mut().connections += 1;
                life::spawn_local("origin", serve(connection, all.clone(), responses.clone()));
            }
        });
        Self { addr, seen }
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.borrow().connections
    }

    pub(super) fn heads(&self) -> Vec<String> {
        self.seen.borrow().heads.clone()
    }
}

async fn serve(
    mut connection: Client,
    seen: Rc<RefCell<Seen>>,
    responses: Rc<RefCell<VecDeque<String>>>,
) {
    while let Some(head) = read_until(&mut connection, "\r\n\r\n").await {
        seen.borrow_mut().heads.push(head);
        let next = responses.borrow_mut().pop_front();
        let response = next.unwrap_or_else(|| OK.to_owned());
        if response == RESET {
            return crate::net::reset_on_drop(&connection.stream);
        }
        if response == SILENCE {
            connection.rest().await;
            return;
        }
        if connection.stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads up to and with `end`; `None` if the connection ends before.
pub(super) async fn read_until(connection: &mut Client, end: &str) -> Option<String> {
    loop {
        let found = connection.read.windows(end.len()).position(|it| it == end.as_bytes());
        if let Some(place) = found {
            let rest = connection.read.split_off(place + end.len());
            let head = std::mem::replace(&mut connection.read, rest);
            return Some(String::from_utf8_lossy(&head).into_owned());
        }
        if connection.stream.read_buf(&mut connection.read).await.ok()? == 0 {
            return None;
        }
    }
}

/// Reads so many bytes; `None` if the connection ends before.
pub(super) async fn read_length(connection: &mut Client, length: usize) -> Option<String> {
    while connection.read.len() < length {
        if connection.stream.read_buf(&mut connection.read).await.ok()? == 0 {
            return None;
        }
    }
    let rest = connection.read.split_off(length);
    let bytes = std::mem::replace(&mut connection.read, rest);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Not a response: the endpoint resets the connection.
pub(super) const RESET: &str = "reset";
/// Not a response: the endpoint says nothing until the connection ends.
pub(super) const SILENCE: &str = "silence";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
