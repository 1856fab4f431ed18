//! The built-in backend: load-test target, the demo's pods, the other end of tests.
//!
//! In: addresses and an [`Identity`]. Out: HTTP/1.1 and HTTP/2 (prior knowledge) that tell the
//! request as it was seen, TCP and UDP that give back what they get. Called by `cli/echo`,
//! `cli/demo` and tests.
//!
//! Invariant: [`Echo::bind`] opens every socket before anything is served, so that a port that is
//! taken is known at once and port 0 has become a number.
//! Invariant: everything runs on the thread that calls [`Bound::run`]; several threads each bind
//! their own sockets (SO_REUSEPORT) and share nothing.
//! Deliberately absent: TLS, routing, limits against hostile clients. It is no server for the
//! open network.

mod http;
mod tcp;
mod udp;
mod websocket;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::life::{Drain, spawn_local};
use crate::net::{ReusePort, bind_udp, listen_tcp};

/// Where to listen, and as whom to answer.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    /// HTTP/1.1 and HTTP/2 with prior knowledge, on the same port.
    pub http: Vec<SocketAddr>,
    /// Bytes come back as they are.
    pub tcp: Vec<SocketAddr>,
    /// Datagrams come back as they are.
    pub udp: Vec<SocketAddr>,
    /// As whom.
    pub identity: Identity,
    /// JSON for a bare `GET /` too, which is otherwise the cheap plain text.
    pub json: bool,
}

/// Who answers: told in the JSON of HTTP answers; empty where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Name of the pod; also the text of the plain answer to `GET /`.
    pub pod: Arc<str>,
    /// Namespace of the pod.
    pub namespace: Arc<str>,
    /// The Service in front.
    pub service: Arc<str>,
    /// The Ingress in front.
    pub ingress: Arc<str>,
    /// One line sent first on each TCP connection and before the bytes of each UDP answer.
    pub greeting: Option<Arc<str>>,
}

/// A socket that could not be opened.
#[derive(Debug, Error)]
#[error("cannot listen on {protocol} {addr}")]
pub struct EchoError {
    protocol: &'static str,
    addr: SocketAddr,
    source: io::Error,
}

impl Echo {
    /// Opens every socket, for one thread.
    pub fn bind(&self, reuse_port: ReusePort) -> Result<Bound, EchoError> {
        let tcp = |addr: &SocketAddr| {
            listen_tcp(*addr, reuse_port).map_err(|source| EchoError::new("tcp", *addr, source))
        };
        let udp = |addr: &SocketAddr| {
            bind_udp(*addr, reuse_port).map_err(|source| EchoError::new("udp", *addr, source))
        };
        Ok(Bound {
            http: self.http.iter().map(tcp).collect::<Result<_, _>>()?,
            tcp: self.tcp.iter().map(tcp).collect::<Result<_, _>>()?,
            udp: self.udp.iter().map(udp).collect::<Result<_, _>>()?,
            identity: self.identity.clone(),
            json: self.json,
        })
    }

    /// Opens every socket once a thread; the kernel spreads connections and datagrams.
    pub fn bind_threads(&self, threads: usize) -> Result<Vec<Bound>, EchoError> {
        // a first try alone: with SO_REUSEPORT a second process would silently take its share
        let alone = self.bind(ReusePort::No)?;
        let exact = Self {
            http: alone.http_addrs(),
            tcp: alone.tcp_addrs(),
            udp: alone.udp_addrs(),
            ..self.clone()
        };
        drop(alone);
        (0..threads).map(|_| exact.bind(ReusePort::Yes)).collect()
    }
}

impl EchoError {
    fn new(protocol: &'static str, addr: SocketAddr, source: io::Error) -> Self {
        Self { protocol, addr, source }
    }
}

/// The open sockets of one thread.
#[derive(Debug)]
pub struct Bound {
    http: Vec<TcpListener>,
    tcp: Vec<TcpListener>,
    udp: Vec<UdpSocket>,
    identity: Identity,
    json: bool,
}

impl Bound {
    /// Where HTTP listens, in the order of [`Echo::http`].
    pub fn http_addrs(&self) -> Vec<SocketAddr> {
        self.http.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Where TCP listens, in the order of [`Echo::tcp`].
    pub fn tcp_addrs(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Where UDP listens, in the order of [`Echo::udp`].
    pub fn udp_addrs(&self) -> Vec<SocketAddr> {
        self.udp.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Serves until the drain starts; the sockets are closed when it returns. What is under way
    /// keeps its own hold of `drain`.
    ///
    /// Runs in a `LocalSet`. Fails only when the runtime cannot watch the sockets.
    pub async fn run(self, drain: Drain) -> io::Result<()> {
        let pod = Rc::new(http::Pod::new(&self.identity, self.json));
        let mut tasks = Vec::new();
        for listener in self.http {
            let (pod, held) = (pod.clone(), drain.clone());
            let serve =
                move |stream, client| http::serve(stream, client, pod.clone(), held.clone());
            tasks.push(spawn_accept("echo http", listener, &drain, serve)?);
        }
        let greeting = self.identity.greeting;
        for listener in self.tcp {
            let (greeting, held) = (greeting.clone(), drain.clone());
            let serve = move |stream, _| tcp::serve(stream, greeting.clone(), held.guard());
            tasks.push(spawn_accept("echo tcp", listener, &drain, serve)?);
        }
        for socket in self.udp {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            let serve = udp::serve(socket, greeting.clone(), drain.clone());
            tasks.push(spawn_local("echo udp", serve));
        }
        drain.started().await;
        for task in tasks {
            // one that panicked has closed its socket too
            let _ = task.await;
        }
        Ok(())
    }
}

fn spawn_accept<S, F>(
    name: &'static str,
    listener: TcpListener,
    drain: &Drain,
    serve: S,
) -> io::Result<JoinHandle<()>>
where
    S: FnMut(TcpStream, SocketAddr) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener)?;
    Ok(spawn_local(name, accept(name, listener, drain.clone(), serve)))
}

async fn accept<S, F>(
    name: &'static str,
    listener: tokio::net::TcpListener,
    drain: Drain,
    mut serve: S,
) where
    S: FnMut(TcpStream, SocketAddr) -> F,
    F: Future<Output = ()> + 'static,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = drain.started() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                // refused only on a connection that is gone already
                let _ = stream.set_nodelay(true);
                spawn_local(name, serve(stream, client));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                // out of descriptors: only others can help, and trying at once would spin
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
