//! Copies of requests, whose responses nobody sees (GEP-3171).
//!
//! A copy is an exchange of its own, in a task of its own, that is fed with the bytes of the
//! request as they are written for the endpoint. It may lag by
//! [`Limits::mirror_bytes`](crate::plane::Limits::mirror_bytes); a mirror that is slower than that
//! loses this copy, and the request goes on as if there were none. So it does while
//! [`Limits::mirrors`](crate::plane::Limits::mirrors) copies are on their way: a mirror that
//! says nothing must not fill the memory.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::life;
use crate::observe::RequestRecord;
use crate::plane::l7::Server;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::exchange::{Client, Exchange};
use crate::plane::l7::h1::Outgoing;
use crate::snapshot::{Mirror, Reason};

/// Whether this request is one of those that are copied.
pub(in crate::plane::l7) fn is_chosen(mirror: &Mirror, server: &Server) -> bool {
    if Rc::strong_count(&server.mirrors) > server.local.limits.mirrors {
        return false;
    }
    let denominator = usize::try_from(mirror.denominator).unwrap_or(usize::MAX);
    let point = server.local.rng.borrow_mut().below(denominator);
    point < usize::try_from(mirror.numerator).unwrap_or(usize::MAX)
}

/// Bytes on their way to a mirror. Dropped: the request ended, whole or not.
#[derive(Debug)]
pub(in crate::plane::l7) struct Feed {
    pending: Rc<Pending>,
    /// Bytes that it may be behind.
    most: usize,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: RefCell<Vec<u8>>,
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Whole,
    Lost,
}

impl Feed {
    /// Starts the task of a copy.
    pub(in crate::plane::l7) fn start(exchange: Box<Exchange>, record: RequestRecord) -> Self {
        let pending = Rc::<Pending>::default();
        let most = exchange.server().local.limits.mirror_bytes;
        let counted = exchange.server().mirrors.clone();
        let copy = run(exchange, pending.clone(), record);
        life::spawn_local("mirror", async move {
            copy.await;
            drop(counted);
        });
        Self { pending, most }
    }

    /// Adds bytes; `whole`: these are the last.
    pub(in crate::plane::l7) fn push(&self, bytes: &[u8], whole: bool) {
        let Self { pending, most } = self;
        if pending.state.get() != State::Open {
            return;
        }
        pending.bytes.borrow_mut().extend_from_slice(bytes);
        if pending.bytes.borrow().len() > *most {
            pending.end(State::Lost);
        } else if whole {
            pending.end(State::Whole);
        }
        pending.wake();
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if self.pending.state.get() == State::Open {
            self.pending.end(State::Lost);
            self.pending.wake();
        }
    }
}

impl Pending {
    fn end(&self, state: State) {
        self.state.set(state);
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The request of a copy, as an exchange takes it.
struct Copied {
    pending: Rc<Pending>,
    deadline: Deadline,
}

impl Client for Copied {
    fn take_buffered(&mut self, _: &mut Outgoing) -> Result<bool, Reason> {
        Ok(false)
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Outgoing,
    ) -> Poll<Result<bool, Reason>> {
        let Self { pending, .. } = self;
        let mut bytes = pending.bytes.borrow_mut();
        match pending.state.get() {
            State::Lost => return Poll::Ready(Err(Reason::ClientClosed)),
            State::Open if bytes.is_empty() => {
                *pending.waker.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            State::Open | State::Whole => {}
        }
        // they are framed already
        request.bytes.append(&mut bytes);
        Poll::Ready(Ok(pending.state.get() == State::Whole))
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

async fn run(mut exchange: Box<Exchange>, pending: Rc<Pending>, mut record: RequestRecord) {
    let deadline = Deadline::after(exchange.server().local.limits.upstream_stall);
    let mut client = Copied { pending, deadline };
    loop {
        match exchange.answer(&mut client, &mut record).await {
            Ok(response) if response.is_interim() => exchange.consume(response.len),
            Ok(response) => {
                record.status = response.status;
                let read = exchange.read_whole(&mut client, &response, |_| true).await;
                record.reason = read.err();
                return;
            }
            Err(reason) => {
                record.status = reason.status();
                record.reason = Some(reason);
                return;
            }
        }
    }
}
