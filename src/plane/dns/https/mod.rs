//! DNS over HTTPS (RFC 8484), by HTTP/2 and HTTP/1.1.
//!
//! In: a connection after its handshake. Out: requests as queries, answers as responses. hyper
//! speaks HTTP; what is an answer is [`Server::respond`]'s. Called by `accept`.
//!
//! Invariant: nothing of a request but the query reaches the rest of the plane, and every limit of
//! hyper is set here.
//! Deliberately absent: HTTP without TLS, templates other than `/dns-query`, JSON.

mod request;
mod response;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::connections::Connection;
use super::limits::Limits;
use super::padding;
use super::server::Server;
use crate::life::spawn_local;
use crate::plane::tls::Session;

/// Serves a connection to its end.
pub(super) async fn serve(server: Rc<Server>, session: Session, connection: Rc<Connection>) {
    let _guard = server.local.drain.guard();
    let (limits, is_http2) = (server.limits.clone(), session.is_http2);
    let exchanges = Rc::new(Exchanges::new(server, connection));
    let io = TokioIo::new(session.stream);
    let service = hyper::service::service_fn(|request| {
        let exchanges = exchanges.clone();
        async move { Ok::<_, Infallible>(exchanges.answer(request).await) }
    });
    if is_http2 {
        let connection = pin!(http2(&limits).serve_connection(io, service));
        exchanges.watch(connection, |connection| connection.graceful_shutdown()).await;
    } else {
        let connection = pin!(http1(&limits).serve_connection(io, service));
        exchanges.watch(connection, |connection| connection.graceful_shutdown()).await;
    }
}

fn http1(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_headers(MAX_FIELDS)
        .max_buf_size(MAX_HEAD)
        .half_close(false)
        .keep_alive(true);
    builder
}

fn http2(limits: &Limits) -> http2::Builder<Tasks> {
    let mut builder = http2::Builder::new(Tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(u32::try_from(limits.queries.min(MAX_STREAMS)).unwrap_or(1))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEAD as u32)
        .header_table_size(4096)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(100)
        .keep_alive_interval(None);
    builder
}

/// The requests of one connection.
struct Exchanges {
    server: Rc<Server>,
    connection: Rc<Connection>,
    /// How many are being answered.
    open: Cell<usize>,
    /// How many may still come.
    left: Cell<usize>,
    is_used_up: Notify,
    /// When one came or was answered last.
    last: Cell<Instant>,
}

impl Exchanges {
    fn new(server: Rc<Server>, connection: Rc<Connection>) -> Self {
        Self {
            left: Cell::new(server.limits.queries),
            server,
            connection,
            open: Cell::new(0),
            is_used_up: Notify::new(),
            last: Cell::new(Instant::now()),
        }
    }

    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let _open = Exchange::begin(self.clone());
        let (is_head, version) = (request.method() == Method::HEAD, request.version());
        let query = match request::query(request, self.server.limits.idle).await {
            Ok(query) => query,
            Err(refusal) => return response::refuse(refusal, version),
        };
        let mut answer = Vec::new();
        if !self.server.respond(&query, &self.connection, &mut answer).await {
            return response::refuse(request::Refusal::NoQuery, version);
        }
        let max_age = response::max_age(&answer);
        if padding::is_asked(&query) {
            padding::pad(&mut answer);
        }
        response::answer(answer, max_age, is_head)
    }

    /// Drives a connection until it ends, is idle, has had its share, or the drain starts. It is
    /// asked to end first (GOAWAY); one that does not is cut.
    async fn watch<C: Future>(&self, mut connection: Pin<&mut C>, end: impl Fn(Pin<&mut C>)) {
        let limits = &self.server.limits;
        let mut drained = pin!(self.server.local.drain.started());
        let mut timer = pin!(sleep(limits.idle));
        let mut asked_to_end = None;
        loop {
            let is_open = asked_to_end.is_none();
            let must_end = tokio::select! {
                biased;
                _ = &mut connection => return,
                () = &mut drained, if is_open => true,
                () = self.is_used_up.notified(), if is_open => true,
                () = &mut timer => false,
            };
            let now = Instant::now();
            let allowed = if is_open { limits.idle } else { GRACE };
            let is_idle = self.open.get() == 0 && now - self.last.get() >= allowed;
            if asked_to_end.is_some_and(|since| is_idle || now - since >= LAST_EXCHANGES) {
                return;
            }
            if is_open && (must_end || is_idle) {
                asked_to_end = Some(now);
                end(connection.as_mut());
                // the client has its time from now on
                self.last.set(now);
            }
            let allowed = if asked_to_end.is_some() { GRACE } else { limits.idle };
            timer.as_mut().reset((self.last.get() + allowed).max(now + CHECKED_EVERY));
        }
    }
}

/// One request while it is answered.
struct Exchange(Rc<Exchanges>);

impl Exchange {
    fn begin(all: Rc<Exchanges>) -> Self {
        all.open.set(all.open.get() + 1);
        all.left.set(all.left.get().saturating_sub(1));
        if all.left.get() == 0 {
            all.is_used_up.notify_one();
        }
        all.last.set(Instant::now());
        all.connection.wait_for_client();
        Self(all)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.last.set(Instant::now());
    }
}

/// Runs hyper's tasks on this thread.
#[derive(Clone, Copy, Debug)]
struct Tasks;

impl<F: Future<Output = ()> + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        spawn_local("dns over https stream", future);
    }
}

/// How long an idle client has to end a connection when it is asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long a client may go on that does not notice.
const LAST_EXCHANGES: Duration = Duration::from_secs(10);
/// Where a request waits for upstreams, which have limits of their own.
const CHECKED_EVERY: Duration = Duration::from_millis(100);
/// Bytes of a head; the longest query in a path has 5,462.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;
const MAX_STREAMS: usize = 100;
/// Bytes: a query and some more.
const STREAM_WINDOW: u32 = 16 * 1024;
const CONNECTION_WINDOW: u32 = 64 * 1024;
const MAX_FRAME: u32 = 16 * 1024;
/// Bytes that wait to be sent on a stream.
const SEND_BUFFER: usize = 16 * 1024;
