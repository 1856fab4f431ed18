//! Supervised tasks: a panic ends one task, is counted, and takes nothing else along.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tracing::Instrument;
use tracing::instrument::Instrumented;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many tasks have panicked since the start; the metric `rutter_panics_total`.
pub fn task_panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Spawns a task on this thread. A panic in it is counted and logged with its name.
pub fn spawn_local<F>(name: &'static str, future: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + 'static,
{
    // boxed: a future that is moved into another one takes its room twice
    let future = Box::pin(future.in_current_span());
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::task::spawn_local(Supervised { name, future })
}

/// Counts when it is dropped by unwinding. A task that is cancelled drops it without a panic.
struct Supervised<F> {
    name: &'static str,
    future: Pin<Box<Instrumented<F>>>,
}

impl<F: Future<Output = ()>> Future for Supervised<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.future.as_mut().poll(cx)
    }
}

impl<F> Drop for Supervised<F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = self.name, "task panicked");
        }
    }
}
