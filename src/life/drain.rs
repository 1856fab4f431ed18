//! The one drain function, shared by every part of the process.

use std::convert::Infallible;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Makes a drain: the signal for whoever decides, the handle for everybody else.
pub fn drain() -> (DrainSignal, Drain) {
    let (start, started) = watch::channel(false);
    let (guard, finished) = mpsc::channel(1);
    (DrainSignal { start, finished }, Drain { started, guard })
}

/// Starts the drain and waits for its end.
#[derive(Debug)]
pub struct DrainSignal {
    start: watch::Sender<bool>,
    finished: mpsc::Receiver<Infallible>,
}

impl DrainSignal {
    /// Tells every [`Drain`] to begin.
    pub fn start(&self) {
        self.start.send_replace(true);
    }

    /// Waits until every [`Drain`] and [`DrainGuard`] is dropped. `false`: the deadline came first.
    pub async fn finished(mut self, deadline: Duration) -> bool {
        tokio::time::timeout(deadline, self.finished.recv()).await.is_ok()
    }
}

/// Tells a part of the process when to stop taking new work. Holding one keeps the process from
/// ending: drop it when the part has ended.
#[derive(Clone, Debug)]
pub struct Drain {
    started: watch::Receiver<bool>,
    guard: mpsc::Sender<Infallible>,
}

impl Drain {
    /// Waits for the drain to start; a dropped [`DrainSignal`] counts as start. Cancel-safe.
    pub async fn started(&self) {
        let mut started = self.started.clone();
        let _ = started.wait_for(|started| *started).await;
    }

    /// Whether the drain has started.
    pub fn is_started(&self) -> bool {
        *self.started.borrow()
    }

    /// Held by one unit of work until it is done.
    pub fn guard(&self) -> DrainGuard {
        DrainGuard { _held: self.guard.clone() }
    }
}

/// Keeps the process from ending before its holder.
#[derive(Clone, Debug)]
pub struct DrainGuard {
    _held: mpsc::Sender<Infallible>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn draining_waits_for_the_last_guard() {
        let (signal, drain) = drain();
        let guard = drain.guard();
        signal.start();
        drain.started().await;
        drop(drain);
        let release = async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(guard);
        };
        let (finished, ()) = tokio::join!(signal.finished(Duration::from_secs(5)), release);
        assert!(finished);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_ends_at_the_deadline() {
        let (signal, drain) = drain();
        let _guard = drain.guard();
        drop(drain);
        signal.start();
        assert!(!signal.finished(Duration::from_secs(5)).await);
    }
}
