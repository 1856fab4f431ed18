//! A client that speaks HTTP/2, by hyper.
//!
//! hyper reads frames and keeps the flow control; every request of it takes the same way as one
//! of HTTP/1. hyper runs a task a stream; dropping it (a reset, a connection that ends) drops the
//! exchange and with it the upstream connection.

mod grpc;
mod io;
mod request;
mod response;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::Response;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use self::io::{LocalTasks, Rewound};
use self::request::{Http2Client, begin};
use self::response::{Answer, Kind, answer_itself, respond};
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::{Identity, Limits, Server, http_listener};
use crate::plane::tls::Stream;
use crate::snapshot::Reason;

/// Serves a connection to its end. `read` is what was read of it already.
pub(crate) async fn serve(server: &Rc<Server>, stream: Stream, read: Vec<u8>, identity: Identity) {
    let io = TokioIo::new(Rewound { read, stream });
    let shared = Rc::new(Shared { server: server.clone(), identity, activity: Activity::new() });
    let connection = builder(server).serve_connection(
        io,
        hyper::service::service_fn(|request| {
            let shared = shared.clone();
            async move { Ok::<_, std::convert::Infallible>(answer(shared, request).await) }
        }),
    );
    let mut connection = pin!(connection);
    let mut drained = pin!(server.drained.notified());
    let mut closing = false;
    let mut watch = Deadline::after(server.limits.client_idle);
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let mut close = server.draining.get() || (!closing && drained.as_mut().poll(cx).is_ready());
        while watch.poll_passed(cx).is_ready() {
            let left = shared.activity.time_left(&server.limits);
            if left.is_zero() && (closing || shared.activity.streams.get() > 0) {
                return Poll::Ready(());
            }
            close |= left.is_zero();
            watch.set(Instant::now(), left.max(GRACE));
        }
        if close && !closing {
            closing = true;
            connection.as_mut().graceful_shutdown();
            return connection.as_mut().poll(cx).map(|_| ());
        }
        Poll::Pending
    })
    .await;
}

fn builder(server: &Server) -> hyper::server::conn::http2::Builder<LocalTasks> {
    let limits = &server.limits;
    let mut builder = hyper::server::conn::http2::Builder::new(LocalTasks);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(true)
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .adaptive_window(false)
        .max_frame_size(16 * 1024)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .header_table_size(4096)
        .max_send_buf_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_time);
    builder
}

/// What the streams of a connection share.
struct Shared {
    server: Rc<Server>,
    identity: Identity,
    activity: Activity,
}

/// How many streams there are, and when something happened last.
struct Activity {
    streams: Cell<usize>,
    last: Cell<Instant>,
}

impl Activity {
    fn new() -> Self {
        Self { streams: Cell::new(0), last: Cell::new(Instant::now()) }
    }

    /// How long the connection may go on like this: without streams it is idle; with streams none
    /// of which moves, the client does not open its windows, and hyper has no time-out for that.
    fn time_left(&self, limits: &Limits) -> Duration {
        let allowed = match self.streams.get() {
            0 => limits.client_idle,
            _ => limits.upstream_stall.saturating_add(limits.client_stall),
        };
        allowed.saturating_sub(self.last.get().elapsed())
    }

    fn note(&self) {
        self.last.set(Instant::now());
    }
}

/// Counts a stream as long as it lives.
struct Active(Rc<Shared>);

impl Active {
    fn begin(shared: Rc<Shared>) -> Self {
        shared.activity.note();
        let streams = &shared.activity.streams;
        streams.set(streams.get().saturating_add(1));
        Self(shared)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Activity { streams, .. } = &self.0.activity;
        streams.set(streams.get().saturating_sub(1));
        self.0.activity.note();
    }
}

/// One request and its response.
async fn answer(shared: Rc<Shared>, request: http::Request<Incoming>) -> Response<Answer> {
    let server = shared.server.clone();
    let snapshot = server.local.snapshot.load();
    let listener = http_listener(&snapshot, shared.identity.key).cloned();
    drop(snapshot);
    let name = listener.as_ref().map(|listener| listener.name.clone()).unwrap_or_default();
    let mut record = server.record(&shared.identity, name, "HTTP/2");
    let kind = Kind::of(&request);
    let Some(listener) = listener else { return answer_itself(Reason::Draining, record, kind) };
    let (parts, body) = request.into_parts();
    let begun = begin(&shared, &listener, &parts, &body, &mut record);
    drop(parts);
    let (mut exchange, trailers) = match begun {
        Ok(begun) => begun,
        Err(answer) => return answer_itself(answer, record, kind),
    };
    let mut client = Http2Client {
        deadline: Deadline::after(server.limits.upstream_stall),
        body,
        trailers,
        bytes: 0,
        active: Active::begin(shared),
    };
    if exchange.awaits_authorization()
        && let Err(answer) = Box::pin(exchange.authorize(&mut client, &record)).await
    {
        record.request_bytes = client.bytes;
        return answer_itself(answer, record, kind);
    }
    loop {
        match exchange.answer(&mut client, &mut record).await {
            // hyper has no way to send interim responses but 100, which it sends by itself
            Ok(response) if response.is_interim() => {
                exchange.consume(response.len);
            }
            Ok(response) => return respond(exchange, response, client, record, kind),
            Err(reason) => {
                record.request_bytes = client.bytes;
                return answer_itself(reason, record, kind);
            }
        }
    }
}

/// How long an idle client has to answer GOAWAY.
const GRACE: Duration = Duration::from_secs(1);
