//! HTTP/1.1 and HTTP/2 with prior knowledge on one port; over TLS the version is agreed on.
//!
//! A connection without TLS begins on the [`plain`] path, which knows one request (a bare `GET /`)
//! and answers it with rendered bytes. The first request that is anything else moves the
//! connection, with the bytes read so far, to hyper and [`answer`], where it stays.

mod answer;
mod body;
mod grpc;
mod plain;
mod retry;
mod seen;
mod stream;
mod wishes;

use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use self::stream::{Reset, Stream};
use super::tls::Session;
use super::{Identity, Journal};
use crate::life::{Drain, spawn_local};

pub(super) use body::{Body, text};

/// What the connections of one thread share.
#[derive(Debug)]
pub(super) struct Pod {
    identity: Identity,
    plain: plain::Plain,
    json: bool,
    journal: Arc<Journal>,
}

impl Pod {
    pub(super) fn new(identity: &Identity, json: bool, journal: Arc<Journal>) -> Self {
        let plain = plain::Plain::new(&identity.pod);
        Self { identity: identity.clone(), plain, json, journal }
    }
}

/// Who is at the other end, for [`answer`].
#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    /// The port that it came in on.
    port: u16,
    tls: Option<Session>,
    pod: Rc<Pod>,
    reset: Reset,
    drain: Drain,
}

/// Serves one connection.
pub(super) async fn serve(mut stream: TcpStream, client: SocketAddr, pod: Rc<Pod>, drain: Drain) {
    // an error here is a client that went away
    let Ok(Some(read)) = plain::serve(&mut stream, &pod, &drain).await else { return };
    let is_http2 = read.starts_with(PREFACE);
    let port = port(&stream);
    let stream = Stream::plain(stream, read);
    let reset = stream.reset();
    let connection = Rc::new(Connection { client, port, tls: None, pod, reset, drain });
    Box::pin(serve_with_hyper(stream, is_http2, connection)).await;
}

/// Serves one connection over TLS, with what was agreed on by ALPN.
pub(super) async fn serve_tls(
    stream: Box<TlsStream<TcpStream>>,
    client: SocketAddr,
    pod: Rc<Pod>,
    drain: Drain,
) {
    let (tcp, session) = stream.get_ref();
    let is_http2 = session.alpn_protocol() == Some(HTTP2);
    let (port, tls) = (port(tcp), Some(Session::of(session)));
    let stream = Stream::tls(stream);
    let reset = stream.reset();
    let connection = Rc::new(Connection { client, port, tls, pod, reset, drain });
    Box::pin(serve_with_hyper(stream, is_http2, connection)).await;
}

/// What a pod speaks over TLS, by preference.
pub(super) const PROTOCOLS: [&[u8]; 2] = [HTTP2, b"http/1.1"];
const HTTP2: &[u8] = b"h2";

/// The start of the HTTP/2 connection preface (RFC 9113 §3.4); no HTTP/1.1 request begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

fn port(stream: &TcpStream) -> u16 {
    stream.local_addr().map_or(0, |addr| addr.port())
}

async fn serve_with_hyper(stream: Stream, is_http2: bool, connection: Rc<Connection>) {
    if is_http2 {
        serve_http2(stream, connection).await;
    } else {
        serve_http1(stream, connection).await;
    }
}

async fn serve_http1(stream: Stream, connection: Rc<Connection>) {
    let drain = connection.drain.clone();
    let service = service_fn(move |request| answer::answer(request, connection.clone()));
    let mut served = pin!(
        http1::Builder::new()
            .half_close(true)
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    tokio::select! {
        biased;
        _ = served.as_mut() => return,
        () = drain.started() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

async fn serve_http2(stream: Stream, connection: Rc<Connection>) {
    let drain = connection.drain.clone();
    let service = service_fn(move |request| answer::answer(request, connection.clone()));
    let mut served =
        pin!(http2::Builder::new(OnThisThread).serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        _ = served.as_mut() => return,
        () = drain.started() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Runs hyper's HTTP/2 streams on the connection's own thread.
#[derive(Clone, Copy, Debug)]
struct OnThisThread;

impl<F> hyper::rt::Executor<F> for OnThisThread
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        spawn_local("echo stream", future);
    }
}
