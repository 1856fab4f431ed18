//! A client that speaks HTTP/2, by the `h2` crate.
//!
//! In: a connection. Out: exchanges, each in a task of its own, so that a panic or an early end of one
//! leaves its siblings alone; every request of it takes the same way as one of HTTP/1. Called by
//! `connection` and, for what HTTP/3 has in common with it ([`Shared`], [`Ongoing`], [`Answer`]), by
//! `h3`.
//!
//! `connection` keeps the connection, `stream` carries a request and its response, `tunnel` a WebSocket
//! (RFC 8441), `calm` counts what a client makes rutter do for nothing, `turns` who is served meanwhile. hyper on top of the crate was
//! rejected: it has no way to send interim responses, nor to say why a connection is closed, and no
//! time-out for a client that does not take its response.

mod calm;
mod connection;
mod grpc;
mod io;
mod ongoing;
mod request;
mod response;
mod stream;
mod tunnel;
mod turns;

#[cfg(test)]
mod fuzz_tests;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

pub(crate) use self::connection::serve;
pub(super) use self::ongoing::Ongoing;
pub(super) use self::response::Answer;
use self::turns::Turns;
use crate::life;
use crate::plane::Limits;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::{Identity, Server};
use crate::snapshot::{Exposure, Reason};

/// The body of a request, however it comes.
pub(super) trait Upload: http_body::Body<Data = Bytes> + Unpin {}

impl<B: http_body::Body<Data = Bytes> + Unpin> Upload for B {}

/// What the streams of a connection share.
pub(super) struct Shared {
    pub(super) server: Rc<Server>,
    pub(super) identity: Identity,
    pub(super) activity: Activity,
    turns: Rc<Turns>,
    is_refused: Cell<bool>,
}

impl Shared {
    pub(super) fn new(server: &Rc<Server>, identity: Identity) -> Self {
        let (server, turns) = (server.clone(), Rc::default());
        Self { server, identity, activity: Activity::new(), turns, is_refused: Cell::default() }
    }

    /// Counts the connection as refused, once.
    fn note_refused(&self, reason: Reason) {
        if !self.is_refused.replace(true) {
            let Identity { client, key, .. } = self.identity;
            self.server.local.note_refused(client, key, Exposure::Gateway, reason);
        }
    }
}

/// How many streams there are, and when something happened last.
pub(super) struct Activity {
    pub(super) streams: Cell<usize>,
    /// Whether there was a stream.
    has_begun: Cell<bool>,
    last: Cell<Instant>,
}

impl Activity {
    fn new() -> Self {
        Self { streams: Cell::new(0), has_begun: Cell::new(false), last: Cell::new(life::now()) }
    }

    /// How long nothing has happened.
    pub(super) fn silence(&self) -> Duration {
        self.last.get().elapsed()
    }

    /// How long a connection without streams may go on like this. Streams have time-outs of their own.
    pub(super) fn idle_left(&self, limits: &Limits) -> Duration {
        limits.client_idle.saturating_sub(self.silence())
    }

    /// Something happens.
    pub(super) fn note(&self, now: Instant) {
        self.last.set(now);
    }

    /// A request has come.
    fn begin(&self, now: Instant) {
        self.note(now);
        self.has_begun.set(true);
    }
}

/// A stream as long as it lives: counted, with the timer of its waits.
pub(super) struct Active {
    shared: Rc<Shared>,
    deadline: Option<Deadline>,
}

impl Active {
    fn begin(shared: Rc<Shared>, now: Instant) -> Self {
        shared.activity.begin(now);
        let streams = &shared.activity.streams;
        streams.set(streams.get().saturating_add(1));
        Self { shared, deadline: None }
    }

    /// The timer; most streams begin to wait at once.
    fn deadline(&mut self) -> &mut Deadline {
        let Server { deadlines, local, .. } = &*self.shared.server;
        self.deadline
            .get_or_insert_with(|| deadlines.take(life::now(), local.limits.upstream_stall))
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Shared { server, activity, .. } = &*self.shared;
        activity.streams.set(activity.streams.get().saturating_sub(1));
        activity.note(life::now());
        if let Some(deadline) = self.deadline.take() {
            server.deadlines.give_back(deadline);
        }
    }
}
