//! One coarse timer for all waits of a connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// When the current wait has lasted too long.
///
/// A timer of its own for every read would be registered and taken back twice a request. This
/// one stays registered: moving the deadline later is a store, and the timer, when it fires too
/// early, goes to sleep again until the deadline of then. Only moving it earlier costs.
#[derive(Debug)]
pub(super) struct Deadline {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// A deadline in `wait` from now.
    pub(super) fn after(wait: Duration) -> Self {
        Self::new(Instant::now(), wait)
    }

    /// A deadline in `wait` from `now`.
    pub(super) fn new(now: Instant, wait: Duration) -> Self {
        let at = now + wait;
        Self { at, sleep: Box::pin(tokio::time::sleep_until(at)) }
    }

    /// Moves it to `wait` from `now`.
    pub(super) fn set(&mut self, now: Instant, wait: Duration) {
        self.at = now + wait;
        if self.at < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.at);
        }
    }

    /// Ready once it has passed. Poll it after what is waited for, so that it wakes the task.
    pub(super) fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.at <= self.sleep.deadline() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.at);
        }
    }
}
