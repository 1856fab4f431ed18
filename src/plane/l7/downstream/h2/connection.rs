//! One connection, from its preface to its end.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::h2::server::{Builder, Connection};
use ::h2::{Ping, PingPong};
use bytes::Bytes;
use tokio::time::Instant;

use super::calm::Calm;
use super::io::{Under, Watched};
use super::{Shared, stream};
use crate::life;
use crate::plane::Limits;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::{Identity, Server};
use crate::plane::tls::Stream;
use crate::snapshot::Reason;

/// Serves a connection to its end. `read` is what was read of it already.
pub(crate) async fn serve(server: &Rc<Server>, stream: Stream, read: Vec<u8>, identity: Identity) {
    let calm = Rc::new(Calm::new(&server.local.limits));
    let under = Rc::new(Under::new(stream));
    let watched = Watched::new(read, under.clone(), calm.clone());
    let shared = Rc::new(Shared::new(server, identity));
    let Some(mut connection) = shake(&shared, watched).await else { return };
    let mut drained = pin!(server.drained.notified());
    let mut closing = Closing::No;
    let mut watch = first_look(server, &shared.identity);
    let mut keep_alive = KeepAlive::new(connection.ping_pong(), &server.local.limits);
    poll_fn(|cx| {
        if poll_streams(cx, &mut connection, &shared, &calm).is_ready() {
            return Poll::Ready(());
        }
        if calm.is_lost() && closing != Closing::Abruptly {
            closing = Closing::Abruptly;
            shared.note_refused(Reason::EnhanceYourCalm);
            connection.abrupt_shutdown(::h2::Reason::ENHANCE_YOUR_CALM);
            watch.set(Instant::now(), GRACE);
            return poll_streams(cx, &mut connection, &shared, &calm);
        }
        let is_busy = connection.has_streams();
        if keep_alive.poll_lost(cx, is_busy, &under).is_ready() {
            return Poll::Ready(());
        }
        if closing == Closing::No && drained.as_mut().poll(cx).is_ready() {
            // there is more than one reason to look
            drained.set(server.drained.notified());
            let _ = drained.as_mut().poll(cx);
        }
        // where memory is short, whoever has just come is served once
        let is_short = server.is_closing() && shared.activity.has_begun.get();
        let mut close = server.draining.get() || is_short;
        while watch.poll_passed(cx).is_ready() {
            let now = Instant::now();
            if is_busy || under.has_written.take() {
                shared.activity.note(now);
            }
            let is_silent = !is_busy && shared.activity.silence() >= GRACE;
            if closing.is_over(is_silent) {
                return Poll::Ready(());
            }
            let left = shared.activity.idle_left(&server.local.limits);
            let age = server.age_left(&shared.identity, now).filter(|_| closing == Closing::No);
            close |= left.is_zero() || age.is_some_and(|left| left.is_zero());
            let wait = left.min(age.unwrap_or(left)).max(GRACE);
            watch.set(now, if closing == Closing::No { wait } else { GRACE });
        }
        if close && closing == Closing::No {
            closing = Closing::Gracefully;
            connection.graceful_shutdown();
            watch.set(Instant::now(), GRACE);
            return poll_streams(cx, &mut connection, &shared, &calm);
        }
        Poll::Pending
    })
    .await;
    drop(connection);
    under.linger(&server.local.limits).await;
}

/// Waits for the client's preface.
async fn shake(shared: &Shared, watched: Watched) -> Option<Connection<Watched, Bytes>> {
    let limits = &shared.server.local.limits;
    match tokio::time::timeout(limits.head_time, builder(limits).handshake(watched)).await {
        Ok(Ok(connection)) => return Some(connection),
        Ok(Err(error)) => note_broken(shared, &error),
        Err(_) => shared.note_refused(Reason::RequestTimeout),
    }
    None
}

/// Counts the end of a connection by the crate h2, if it was for what the client did.
fn note_broken(shared: &Shared, error: &::h2::Error) {
    if error.is_go_away() && error.is_library() {
        shared.note_refused(match error.reason() {
            Some(::h2::Reason::ENHANCE_YOUR_CALM) => Reason::EnhanceYourCalm,
            _ => Reason::BadRequest,
        });
    }
}

/// When it is idle or old, if nothing happens.
fn first_look(server: &Server, identity: &Identity) -> Deadline {
    let (idle, now) = (server.local.limits.client_idle, Instant::now());
    let age = server.age_left(identity, now);
    Deadline::new(now, idle.min(age.unwrap_or(idle)))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    /// Streams that have begun are finished.
    Gracefully,
    /// Streams are reset.
    Abruptly,
}

impl Closing {
    /// Whether nothing is waited for any more.
    fn is_over(self, is_silent: bool) -> bool {
        self == Self::Abruptly || self == Self::Gracefully && is_silent
    }
}

/// Moves the connection, and begins the streams that the client opens. Ready when it has ended.
fn poll_streams(
    cx: &mut Context<'_>,
    connection: &mut Connection<Watched, Bytes>,
    shared: &Rc<Shared>,
    calm: &Rc<Calm>,
) -> Poll<()> {
    loop {
        let accepted = match connection.poll_accept(cx) {
            Poll::Ready(Some(Ok(accepted))) => accepted,
            Poll::Ready(Some(Err(error))) => {
                note_broken(shared, &error);
                return Poll::Ready(());
            }
            Poll::Ready(None) => return Poll::Ready(()),
            Poll::Pending => return Poll::Pending,
        };
        let (request, respond) = accepted;
        calm.note_work();
        let (shared, calm) = (shared.clone(), calm.clone());
        let (parts, body) = request.into_parts();
        // boxed, because a future has room for every place that something is moved to
        let parts = Box::new(parts);
        life::spawn_local("h2-stream", stream::run(shared, calm, parts, body, respond));
    }
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_window(limits.h2_streams))
        .max_frame_size(16 * 1024)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .header_table_size(4096)
        .max_send_buffer_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(Some(limits.h2_error_resets))
        .enable_connect_protocol();
    builder
}

/// Asks the client whether it is there while it has streams.
struct KeepAlive {
    pings: Option<PingPong>,
    interval: Duration,
    patience: Duration,
    deadline: Deadline,
    is_waiting: bool,
}

impl KeepAlive {
    fn new(pings: Option<PingPong>, limits: &Limits) -> Self {
        let (interval, patience) = (limits.h2_ping_interval, limits.h2_ping_time);
        Self { pings, interval, patience, deadline: Deadline::after(interval), is_waiting: false }
    }

    /// Ready once a ping was not answered in time.
    fn poll_lost(&mut self, cx: &mut Context<'_>, is_busy: bool, under: &Under) -> Poll<()> {
        let Some(pings) = &mut self.pings else { return Poll::Pending };
        if self.is_waiting && pings.poll_pong(cx).is_ready() {
            self.is_waiting = false;
            self.deadline.set(Instant::now(), self.interval);
        }
        while self.deadline.poll_passed(cx).is_ready() {
            // who says anything is there: the answer may wait behind what is still on its way
            let is_heard = under.has_read.take();
            if self.is_waiting {
                if !is_heard {
                    return Poll::Ready(());
                }
                self.deadline.set(Instant::now(), self.patience);
                continue;
            }
            self.is_waiting = is_busy && pings.send_ping(Ping::opaque()).is_ok();
            let wait = if self.is_waiting { self.patience } else { self.interval };
            self.deadline.set(Instant::now(), wait);
        }
        if self.is_waiting {
            // to be woken by the answer, and by nothing that came before the question
            let _ = pings.poll_pong(cx).map(|_| self.is_waiting = false);
        }
        Poll::Pending
    }
}

/// How long an idle client has to answer GOAWAY.
const GRACE: Duration = Duration::from_secs(1);
