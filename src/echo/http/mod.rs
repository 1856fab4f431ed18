//! HTTP/1.1 and HTTP/2 with prior knowledge on one port.
//!
//! A connection begins on the [`plain`] path, which knows one request (a bare `GET /`) and
//! answers it with rendered bytes. The first request that is anything else moves the connection,
//! with the bytes read so far, to hyper and [`answer`], where it stays.

mod answer;
mod body;
mod plain;
mod seen;
mod wishes;

use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join};
use tokio::net::TcpStream;

use super::Identity;
use crate::life::{Drain, spawn_local};

pub(super) use body::{Body, text};

/// What the connections of one thread share.
#[derive(Debug)]
pub(super) struct Pod {
    identity: Identity,
    plain: plain::Plain,
    json: bool,
}

impl Pod {
    pub(super) fn new(identity: &Identity, json: bool) -> Self {
        Self { identity: identity.clone(), plain: plain::Plain::new(&identity.pod), json }
    }
}

/// Who is at the other end, for [`answer`].
#[derive(Debug)]
struct Connection {
    client: SocketAddr,
    pod: Rc<Pod>,
    drain: Drain,
}

/// Serves one connection.
pub(super) async fn serve(mut stream: TcpStream, client: SocketAddr, pod: Rc<Pod>, drain: Drain) {
    // an error here is a client that went away
    let Ok(Some(read)) = plain::serve(&mut stream, &pod, &drain).await else { return };
    let connection = Rc::new(Connection { client, pod, drain });
    Box::pin(serve_with_hyper(stream, read, connection)).await;
}

/// The start of the HTTP/2 connection preface (RFC 9113 §3.4); no HTTP/1.1 request begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

async fn serve_with_hyper(stream: TcpStream, read: Vec<u8>, connection: Rc<Connection>) {
    let is_http2 = read.starts_with(PREFACE);
    let (receive, send) = stream.into_split();
    let stream = join(Cursor::new(read).chain(receive), send);
    if is_http2 {
        serve_http2(stream, connection).await;
    } else {
        serve_http1(stream, connection).await;
    }
}

async fn serve_http1<S>(stream: S, connection: Rc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
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

async fn serve_http2<S>(stream: S, connection: Rc<Connection>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
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
