//! Supervised tasks: a panic ends one task, is counted, and takes nothing else along.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tracing::Instrument;

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
    let guard = PanicCount { name };
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    tokio::task::spawn_local(
        async move {
            future.await;
            std::mem::forget(guard);
        }
        .in_current_span(),
    )
}

/// Counts when it is dropped by unwinding. A task that is cancelled drops it without a panic.
struct PanicCount {
    name: &'static str,
}

impl Drop for PanicCount {
    fn drop(&mut self) {
        if std::thread::panicking() {
            PANICS.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = self.name, "task panicked");
        }
    }
}
