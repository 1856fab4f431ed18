//! One worker, one socket: what becomes of its connections.

mod caps;
mod client_auth;
mod dispatch;
mod drain;
mod overload;
mod tls;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::accept::{self, Accepting};
use super::sessions::{Caps, Sessions};
use super::thread::{Work, Worker};
use crate::net::{ReusePort, listen_tcp};
use crate::plane::tests::{Client, Core, backend, frontend, share};
use crate::plane::{Limits, l7};
use crate::snapshot::{
    Frontend, HostMatch, HttpListener, Serve, SocketKey, TlsHost, TlsListener, TlsRoutes, TlsServe,
    TlsTable, Transport, VirtualHost,
};

struct Site {
    core: Core,
    key: SocketKey,
    worker: Rc<Worker>,
    _mailbox: mpsc::UnboundedReceiver<Work>,
    _accepting: Accepting,
}

impl Site {
    fn new() -> Self {
        Self::with(Duration::from_secs(5))
    }

    fn with(handshake_time: Duration) -> Self {
        Self::at([127, 0, 0, 1], handshake_time)
    }

    fn capped(all: usize, per_client: usize) -> Self {
        Self::build([127, 0, 0, 1], Duration::from_secs(5), Caps { all, per_client })
    }

    fn at(ip: [u8; 4], handshake_time: Duration) -> Self {
        Self::build(ip, handshake_time, Caps::default())
    }

    fn build(ip: [u8; 4], handshake_time: Duration, caps: Caps) -> Self {
        let listener = listen_tcp((ip, 0).into(), ReusePort::No).expect("a port");
        let addr = listener.local_addr().expect("a bound socket must have an address");
        let key = SocketKey { transport: Transport::Tcp, addr };
        let core = Core::with(Limits { handshake_time, ..Limits::default() });
        let (mailbox, inbox) = mpsc::unbounded_channel();
        let worker = Rc::new(Worker {
            number: 0,
            sessions: Sessions::new(vec![mailbox], caps),
            http: l7::Server::new(core.local.clone()),
            buffer: Rc::default(),
            warned: Default::default(),
            local: core.local.clone(),
        });
        let accepting = accept::spawn(worker.clone(), key, listener).expect("accepting must begin");
        Self { core, key, worker, _mailbox: inbox, _accepting: accepting }
    }

    fn publish(&mut self, serve: Serve) {
        self.core.publish(self.key, serve);
    }

    async fn client(&self) -> Client {
        Client::connect(self.key.addr).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.key.addr).await.expect("the worker must accept")
    }
}

fn exact(host: &str) -> HostMatch {
    HostMatch::Exact(host.into())
}

/// A way to one endpoint.
fn way(name: &str, endpoint: SocketAddr) -> Arc<Frontend> {
    frontend(vec![share(1, backend(name, Transport::Tcp, &[endpoint]))])
}

fn routes(routes: &[(&str, Arc<Frontend>)]) -> Arc<TlsRoutes> {
    let routes = routes.iter().map(|(host, way)| (exact(host), way.clone()));
    Arc::new(TlsRoutes::new(routes.collect()))
}

/// A socket of TLS listeners, told apart by server name.
fn tls_socket(http: Option<Arc<HttpListener>>, hosts: Vec<(HostMatch, TlsServe)>) -> Serve {
    let hosts = hosts.into_iter().map(|(host, serve)| TlsHost { name: "tls".into(), host, serve });
    Serve::Tls(Arc::new(TlsListener::new("tls".into(), http, hosts.collect())))
}

/// An HTTP listener without rules for these hosts.
fn http(tls: Option<Arc<TlsTable>>, hosts: &[HostMatch]) -> Arc<HttpListener> {
    let host = |host: &HostMatch| {
        let (name, host) = ("http".into(), host.clone());
        Arc::new(VirtualHost { name, host, routes: Default::default() })
    };
    Arc::new(HttpListener::new("http".into(), tls, hosts.iter().map(host).collect()))
}
