//! One connection that many exchanges share.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::h2::client::{Builder, SendRequest};
use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::life;
use crate::plane::Limits;
use crate::plane::l7::upstream::{Stream, UpstreamError};
use crate::snapshot::Reason;

/// A connection, perhaps still in the making: whoever comes meanwhile waits for the same one.
#[derive(Debug)]
pub(crate) struct Session {
    sender: OnceCell<Result<SendRequest<Bytes>, Reason>>,
    streams: Cell<usize>,
    /// Whether it has carried a response: then its end may only mean that it was idle.
    pub(super) proven: Cell<bool>,
    idle_since: Cell<Instant>,
    closed: Rc<Cell<bool>>,
    /// Streams that it may have, whatever the endpoint says.
    most: usize,
}

impl Session {
    /// One that is still to be made, by whoever has the place on it; of so many streams at most.
    pub(crate) fn begin(now: Instant, most: u32) -> (Rc<Self>, Lease) {
        let session = Rc::new(Self {
            sender: OnceCell::new(),
            streams: Cell::new(1),
            proven: Cell::new(false),
            idle_since: Cell::new(now),
            closed: Rc::default(),
            most: usize::try_from(most).unwrap_or(usize::MAX),
        });
        (session.clone(), Lease(session))
    }

    /// A place for one more stream, if it has one.
    pub(crate) fn lease(self: &Rc<Self>) -> Option<Lease> {
        let has_room = !self.closed.get() && self.streams.get() < self.max_streams();
        has_room.then(|| {
            self.streams.set(self.streams.get().saturating_add(1));
            Lease(self.clone())
        })
    }

    /// Never zero, or every request would open a connection where none is served.
    fn max_streams(&self) -> usize {
        let sender = self.sender.get().and_then(|sender| sender.as_ref().ok());
        let taken = sender.map_or(usize::MAX, |it| it.current_max_send_streams());
        taken.min(self.most).max(1)
    }

    /// Whether it takes streams at once. An endpoint that said goodbye is noticed here.
    pub(crate) fn is_ready(&self) -> bool {
        let Some(Ok(sender)) = self.sender.get() else { return false };
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(Err(_)) = sender.clone().poll_ready(&mut cx) {
            self.close();
        }
        !self.closed.get()
    }

    /// Whether there is a reason to keep it.
    pub(crate) fn is_kept(&self, now: Instant, idle_time: Duration) -> bool {
        let idle = now.duration_since(self.idle_since.get()) >= idle_time;
        !self.closed.get() && (self.streams.get() > 0 || !idle)
    }

    /// No further stream is opened; those that are open may end.
    pub(super) fn close(&self) {
        self.closed.set(true);
    }
}

/// A place for one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lease(Rc<Session>);

impl Lease {
    /// The connection.
    pub(crate) fn session(&self) -> &Session {
        &self.0
    }

    /// What opens streams, if there is a connection.
    pub(crate) fn sender(&self) -> Option<SendRequest<Bytes>> {
        self.0.sender.get()?.clone().ok()
    }

    /// Waits until there is a connection; `connecting` makes it if nobody else does.
    pub(crate) async fn connected(
        &self,
        limits: &Limits,
        connecting: impl Future<Output = Result<Stream, UpstreamError>>,
    ) -> Result<SendRequest<Bytes>, Reason> {
        let Self(session) = self;
        let connect = async || {
            let stream = connecting.await.map_err(|error| error.reason())?;
            let shaken = Box::pin(shake(stream, limits, session.closed.clone())).await;
            shaken.map_err(|_| Reason::UpstreamReset)
        };
        let sender = session.sender.get_or_init(connect).await.clone();
        if sender.is_err() {
            session.close();
        }
        sender
    }
}

/// Says hello and starts the task that drives the connection. What the endpoint answers shows at
/// the first stream.
async fn shake(
    stream: Stream,
    limits: &Limits,
    closed: Rc<Cell<bool>>,
) -> Result<SendRequest<Bytes>, ::h2::Error> {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(limits.upstream_streams as usize)
        .initial_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_window(limits.upstream_streams))
        .max_frame_size(16 * 1024)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .header_table_size(4096)
        .max_send_buffer_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(Some(limits.h2_error_resets));
    let (sender, connection) = builder.handshake(stream).await?;
    life::spawn_local("h2-upstream", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to an endpoint");
        }
        closed.set(true);
    });
    Ok(sender)
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Self(session) = self;
        session.streams.set(session.streams.get().saturating_sub(1));
        session.idle_since.set(Instant::now());
    }
}
