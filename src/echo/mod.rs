//! The built-in backend: load-test target, the demo's pods, the other end of tests.
//!
//! In: addresses and an [`Identity`]. Out: HTTP/1.1, HTTP/2 (prior knowledge, or agreed on over
//! TLS) and gRPC that tell the request as it was seen, TCP and UDP that give back what they get.
//! Called by `cli/echo`, `cli/demo` and tests.
//!
//! Its HTTP and gRPC answers have all that the echo servers of the conformance suites of Ingress
//! and Gateway API say; with [`Echo::conformance`] it answers TCP and UDP as those do, too.
//!
//! Invariant: [`Echo::bind`] opens every socket before anything is served, so that a port that is
//! taken is known at once and port 0 has become a number.
//! Invariant: everything runs on the thread that calls [`Bound::run`]; several threads each bind
//! their own sockets (SO_REUSEPORT) and share nothing but the [`Journal`].
//! Deliberately absent: routing, limits against hostile clients. It is no server for the open
//! network.

mod http;
mod journal;
mod lines;
mod tcp;
mod tls;
mod udp;
mod websocket;

#[cfg(test)]
mod tests;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::life::{Drain, spawn_local};
use crate::net::{ReusePort, bind_udp, listen_tcp};

pub use journal::{Asked, Journal};
pub use tls::{Tls, TlsError};

/// Where to listen, and as whom to answer.
#[derive(Clone, Debug, Default)]
pub struct Echo {
    /// HTTP/1.1 and HTTP/2 with prior knowledge, on the same port.
    pub http: Vec<SocketAddr>,
    /// The same over TLS.
    pub https: Vec<SocketAddr>,
    /// Bytes come back as they are.
    pub tcp: Vec<SocketAddr>,
    /// The same over TLS.
    pub tcp_tls: Vec<SocketAddr>,
    /// Datagrams come back as they are.
    pub udp: Vec<SocketAddr>,
    /// As whom.
    pub identity: Identity,
    /// The certificate where there is TLS.
    pub tls: Option<Tls>,
    /// JSON for a bare `GET /` too, which is otherwise the cheap plain text.
    pub json: bool,
    /// As the echo server of Gateway API's conformance suite: JSON for a bare `GET /`, TCP that
    /// speaks first and answers lines, JSON for datagrams.
    pub conformance: bool,
    /// Where requests are written down.
    pub journal: Arc<Journal>,
}

/// Who answers: told in JSON; empty where it is not known.
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

/// Why a pod cannot start.
#[derive(Debug, Error)]
pub enum EchoError {
    /// A socket could not be opened.
    #[error("cannot listen on {protocol} {addr}")]
    Listen {
        /// `tcp` or `udp`.
        protocol: &'static str,
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// TLS is asked for, and there is no certificate.
    #[error("TLS needs a certificate")]
    NoCertificate,
    /// The certificate cannot be used.
    #[error("the certificate cannot be used")]
    Certificate(#[from] TlsError),
}

impl Echo {
    /// Opens every socket, for one thread.
    pub fn bind(&self, reuse_port: ReusePort) -> Result<Bound, EchoError> {
        let tcp = |addr: &SocketAddr| {
            listen_tcp(*addr, reuse_port).map_err(|source| EchoError::listen("tcp", *addr, source))
        };
        let udp = |addr: &SocketAddr| {
            bind_udp(*addr, reuse_port).map_err(|source| EchoError::listen("udp", *addr, source))
        };
        let bind_tcp = |addrs: &[SocketAddr]| addrs.iter().map(tcp).collect::<Result<Vec<_>, _>>();
        let bind_tls = |addrs: &[SocketAddr], protocols: &[&[u8]]| -> Result<_, EchoError> {
            if addrs.is_empty() {
                return Ok(None);
            }
            let tls = self.tls.as_ref().ok_or(EchoError::NoCertificate)?;
            Ok(Some((bind_tcp(addrs)?, tls.acceptor(protocols)?)))
        };
        Ok(Bound {
            http: bind_tcp(&self.http)?,
            https: bind_tls(&self.https, &http::PROTOCOLS)?,
            tcp: bind_tcp(&self.tcp)?,
            tcp_tls: bind_tls(&self.tcp_tls, &[])?,
            udp: self.udp.iter().map(udp).collect::<Result<_, _>>()?,
            identity: self.identity.clone(),
            json: self.json || self.conformance,
            conformance: self.conformance,
            journal: self.journal.clone(),
        })
    }

    /// Opens every socket once a thread; the kernel spreads connections and datagrams.
    pub fn bind_threads(&self, threads: usize) -> Result<Vec<Bound>, EchoError> {
        // a first try alone: with SO_REUSEPORT a second process would silently take its share
        let alone = self.bind(ReusePort::No)?;
        let exact = Self {
            http: alone.http_addrs(),
            https: alone.https_addrs(),
            tcp: alone.tcp_addrs(),
            tcp_tls: alone.tcp_tls_addrs(),
            udp: alone.udp_addrs(),
            ..self.clone()
        };
        drop(alone);
        (0..threads).map(|_| exact.bind(ReusePort::Yes)).collect()
    }
}

impl EchoError {
    fn listen(protocol: &'static str, addr: SocketAddr, source: io::Error) -> Self {
        Self::Listen { protocol, addr, source }
    }
}

/// The open sockets of one thread.
pub struct Bound {
    http: Vec<TcpListener>,
    https: Option<(Vec<TcpListener>, TlsAcceptor)>,
    tcp: Vec<TcpListener>,
    tcp_tls: Option<(Vec<TcpListener>, TlsAcceptor)>,
    udp: Vec<UdpSocket>,
    identity: Identity,
    json: bool,
    conformance: bool,
    journal: Arc<Journal>,
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound")
            .field("http", &self.http_addrs())
            .field("https", &self.https_addrs())
            .field("tcp", &self.tcp_addrs())
            .field("tcp_tls", &self.tcp_tls_addrs())
            .field("udp", &self.udp_addrs())
            .finish_non_exhaustive()
    }
}

impl Bound {
    /// Where HTTP listens, in the order of [`Echo::http`].
    pub fn http_addrs(&self) -> Vec<SocketAddr> {
        addrs(&self.http)
    }

    /// Where HTTPS listens, in the order of [`Echo::https`].
    pub fn https_addrs(&self) -> Vec<SocketAddr> {
        self.https.as_ref().map_or_else(Vec::new, |(sockets, _)| addrs(sockets))
    }

    /// Where TCP listens, in the order of [`Echo::tcp`].
    pub fn tcp_addrs(&self) -> Vec<SocketAddr> {
        addrs(&self.tcp)
    }

    /// Where TCP over TLS listens, in the order of [`Echo::tcp_tls`].
    pub fn tcp_tls_addrs(&self) -> Vec<SocketAddr> {
        self.tcp_tls.as_ref().map_or_else(Vec::new, |(sockets, _)| addrs(sockets))
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
        let mut tasks = Vec::new();
        let pod = Rc::new(http::Pod::new(&self.identity, self.json, self.journal));
        for listener in self.http {
            let (pod, held) = (pod.clone(), drain.clone());
            let serve =
                move |stream, client| http::serve(stream, client, pod.clone(), held.clone());
            tasks.push(spawn_accept("echo http", listener, &drain, serve)?);
        }
        for (listener, acceptor) in with_acceptor(self.https) {
            let (pod, held) = (pod.clone(), drain.clone());
            let serve = move |stream, client| {
                let (acceptor, pod, held) = (acceptor.clone(), pod.clone(), held.clone());
                async move {
                    let Some(stream) = tls::accept(&acceptor, stream, client).await else { return };
                    http::serve_tls(stream, client, pod, held).await;
                }
            };
            tasks.push(spawn_accept("echo https", listener, &drain, serve)?);
        }
        let speech = tcp::Speech { identity: self.identity.clone(), lines: self.conformance };
        for listener in self.tcp {
            let (speech, held) = (speech.clone(), drain.clone());
            let serve = move |stream, _| tcp::serve(stream, speech.clone(), held.guard());
            tasks.push(spawn_accept("echo tcp", listener, &drain, serve)?);
        }
        for (listener, acceptor) in with_acceptor(self.tcp_tls) {
            let (speech, held) = (speech.clone(), drain.clone());
            let serve = move |stream, client| {
                let (acceptor, speech, held) = (acceptor.clone(), speech.clone(), held.guard());
                async move {
                    let Some(stream) = tls::accept(&acceptor, stream, client).await else { return };
                    tcp::serve_tls(stream, speech, held).await;
                }
            };
            tasks.push(spawn_accept("echo tcp tls", listener, &drain, serve)?);
        }
        for socket in self.udp {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            let serve = udp::serve(socket, self.identity.clone(), self.conformance, drain.clone());
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

fn addrs(sockets: &[TcpListener]) -> Vec<SocketAddr> {
    sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
}

fn with_acceptor(
    tls: Option<(Vec<TcpListener>, TlsAcceptor)>,
) -> impl Iterator<Item = (TcpListener, TlsAcceptor)> {
    tls.into_iter().flat_map(|(sockets, acceptor)| {
        sockets.into_iter().map(move |socket| (socket, acceptor.clone()))
    })
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
