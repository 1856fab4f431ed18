//! How long changes take on their way into the planes.

use std::sync::Arc;

use super::Handle;
use crate::life::Drain;
use crate::observe::{Metrics, Programmed};

/// Counts every generation that all workers have applied; of those that overtake each other, the
/// last.
pub(super) async fn count(handle: Handle, metrics: Arc<Metrics>, drain: Drain) {
    let (mut applied, mut status) = (handle.applied(), handle.status());
    loop {
        tokio::select! {
            biased;
            () = drain.started() => return,
            changed = applied.changed() => if changed.is_err() { return },
        }
        let generation = *applied.borrow_and_update();
        // it is told of a moment after it is published
        let Ok(told) = status.wait_for(|it| it.generation >= generation).await else { return };
        if let Some(published) = told.published.filter(|_| told.generation == generation) {
            let (compiled, collected) = (told.compile_time, told.collect_time);
            metrics.programmed(Programmed { published, compiled, collected });
        }
    }
}
