//! The time limits of a rule (GEP-1742).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::snapshot::Timeouts;

/// When a request, and an attempt of it, has taken too long. Without limits it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Timers {
    timeouts: Timeouts,
    request: Option<Pin<Box<Sleep>>>,
    attempt: Option<Pin<Box<Sleep>>>,
}

/// Which of the two has taken too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    Request,
    Attempt,
}

impl Timers {
    /// The time of the request begins now.
    pub(super) fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, request: timer(timeouts.request), attempt: None }
    }

    /// The time of an attempt begins now.
    pub(super) fn begin_attempt(&mut self) {
        self.attempt = timer(self.timeouts.backend);
    }

    /// How long an endpoint may be silent: what the rule allows, if that is more than usual.
    pub(super) fn stall(&self, usual: Duration) -> Duration {
        let allowed = [self.timeouts.request, self.timeouts.backend].into_iter().flatten();
        allowed.map(|it| if it.is_zero() { UNLIMITED } else { it }).fold(usual, Duration::max)
    }

    /// What `future` gives, if it does so in time.
    pub(super) async fn within<F>(&mut self, mut future: F) -> Result<F::Output, Overdue>
    where
        F: Future + Unpin,
    {
        poll_fn(|cx| {
            if let Poll::Ready(value) = Pin::new(&mut future).poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if self.poll_request(cx).is_ready() {
                return Poll::Ready(Err(Overdue::Request));
            }
            self.poll_attempt(cx).map(|()| Err(Overdue::Attempt))
        })
        .await
    }

    /// Ready once the request has taken too long.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll(&mut self.request, cx)
    }

    /// Ready once the attempt has taken too long.
    pub(super) fn poll_attempt(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        poll(&mut self.attempt, cx)
    }
}

/// Zero is no limit.
fn timer(limit: Option<Duration>) -> Option<Pin<Box<Sleep>>> {
    let limit = limit.filter(|limit| !limit.is_zero())?;
    Some(Box::pin(tokio::time::sleep(limit)))
}

fn poll(timer: &mut Option<Pin<Box<Sleep>>>, cx: &mut Context<'_>) -> Poll<()> {
    timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
}

/// Longer than any connection lives.
const UNLIMITED: Duration = Duration::from_secs(24 * 60 * 60);
