//! Supervised tasks: a panic ends one task, is counted, and takes nothing else along.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::task::JoinHandle;

use super::clock::turn;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many tasks have panicked since the start; the metric `rutter_panics_total`.
pub fn task_panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Part of a task panicked; the rest of it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a defect of rutter")]
pub struct Panicked;

/// What `future` gives. A panic in it is counted and logged with its name, and ends nothing else of the
/// task; what it works on must not be used again, but for being dropped.
pub async fn caught<F: Future>(
    name: &'static str,
    mut future: Pin<&mut F>,
) -> Result<F::Output, Panicked> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => {
            note_panic(name);
            Poll::Ready(Err(Panicked))
        }
    })
    .await
}

fn note_panic(name: &'static str) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    tracing::error!(task = name, "task panicked");
}

/// Spawns a task on this thread. A panic in it is counted and logged with its name.
pub fn spawn_local<F>(name: &'static str, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + 'static,
{
    // boxed: a future that is moved into another one takes its room twice. Not in the span of whoever
    // spawns it: rutter has none, and a span would be entered at every turn
    let future = Box::pin(future);
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::task::spawn_local(Supervised { name, future })
}

/// Counts when it is dropped by unwinding. A task that is cancelled drops it without a panic.
struct Supervised<F> {
    name: &'static str,
    future: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Supervised<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        turn(|| self.future.as_mut().poll(cx))
    }
}

impl<F> Drop for Supervised<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            note_panic(self.name);
        }
    }
}
