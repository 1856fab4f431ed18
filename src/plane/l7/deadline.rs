//! One coarse timer for all waits of a connection.

use std::cell::RefCell;
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

/// Deadlines of streams that are over, for those that come: with one that is registered a stream
/// registers none, nor takes it back.
#[derive(Debug, Default)]
pub(super) struct Deadlines(RefCell<Vec<Deadline>>);

impl Deadlines {
    /// A deadline in `wait` from `now`.
    pub(super) fn take(&self, now: Instant, wait: Duration) -> Deadline {
        let Some(mut spare) = self.0.borrow_mut().pop() else { return Deadline::new(now, wait) };
        spare.set(now, wait);
        spare
    }

    /// Takes one that nobody waits for.
    pub(super) fn give_back(&self, deadline: Deadline) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < MOST_SPARE {
            spare.push(deadline);
        }
    }
}

/// As many streams as a busy worker carries at once: less than half a MiB, with what their wakers keep of
/// tasks that have ended.
const MOST_SPARE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_was_another_streams_passes_at_its_own_time() {
        let seconds = Duration::from_secs;
        let deadlines = Deadlines::default();
        // registered for later, for sooner, and passed already
        for (before, waited, wait) in [(9, 1, 3), (2, 1, 7), (1, 5, 2)] {
            let mut first = deadlines.take(Instant::now(), seconds(before));
            let passed = poll_fn(|cx| first.poll_passed(cx));
            let _ = tokio::time::timeout(seconds(waited), passed).await;
            deadlines.give_back(first);
            let start = Instant::now();
            let mut second = deadlines.take(start, seconds(wait));
            assert!(deadlines.0.borrow().is_empty(), "it is the one that was given back");
            poll_fn(|cx| second.poll_passed(cx)).await;
            assert_eq!(start.elapsed().as_secs(), wait, "{before} {waited}");
            deadlines.give_back(second);
        }
    }
}
