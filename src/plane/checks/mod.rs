//! Asks endpoints whether they are well, for Services that want it (`rutter.dev/health-check`).
//!
//! In: the backends of the snapshot that have a check. Out: the endpoints that fail, for every worker
//! ([`HealthWriter`]); a line in the log for each that begins or ends to; counts. Called by `app`,
//! which runs it once, on the control thread: what one has found out, all workers know.
//!
//! An endpoint fails after three failures in a row, and is well again after one success, as the
//! kubelet has it. Until it has been asked it is well.
//! Deliberately absent: thresholds of one's own.

mod probe;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use tokio::task::JoinHandle;

use crate::balance::{Failures, HealthWriter, Rng};
use crate::life::{Drain, spawn_local};
use crate::observe::{Observer, WorkerShard};
use crate::snapshot::cell::Reader;
use crate::snapshot::{BackendId, EndpointCheck, EndpointId, Snapshot};

/// Whom to ask, and what: two Services may ask the same endpoint different things.
type Asked = (EndpointId, EndpointCheck);

/// What runs the checks of all Services.
#[derive(Debug)]
pub struct Checker {
    writer: HealthWriter,
    shard: WorkerShard,
}

impl Checker {
    /// One that tells the readers of `writer`, and counts in a shard of its own.
    pub fn new(writer: HealthWriter, shard: WorkerShard) -> Self {
        Self { writer, shard }
    }

    /// Keeps to the newest snapshot until the drain begins.
    pub async fn run(self, mut snapshots: Reader, drain: Drain) {
        let Self { writer, shard } = self;
        let state = State { writer, observer: shard.observer(), failures: RefCell::default() };
        let mut checks = Checks { state: Rc::new(state), running: HashMap::new() };
        loop {
            checks.follow(&snapshots.load());
            tokio::select! {
                () = drain.started() => return,
                changed = snapshots.changed() => if changed.is_none() { return },
            }
        }
    }
}

/// The checks that run.
#[derive(Debug)]
struct Checks {
    state: Rc<State>,
    running: HashMap<Asked, JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    writer: HealthWriter,
    observer: Observer,
    /// Failures in a row.
    failures: RefCell<HashMap<Asked, u32>>,
}

impl Checks {
    fn follow(&mut self, snapshot: &Snapshot) {
        let wanted = wanted(snapshot);
        let count = self.running.len();
        self.running.retain(|asked, task| {
            let is_wanted = wanted.contains_key(asked);
            if !is_wanted {
                task.abort();
            }
            is_wanted
        });
        if self.running.len() < count {
            self.state.failures.borrow_mut().retain(|asked, _| wanted.contains_key(asked));
            self.state.publish();
        }
        for (asked, backend) in wanted {
            let state = self.state.clone();
            self.running.entry(asked.clone()).or_insert_with(|| {
                spawn_local("check", async move { state.check(asked, backend).await })
            });
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.running.values().for_each(JoinHandle::abort);
    }
}

/// Every endpoint that is to be asked something, and for whom.
fn wanted(snapshot: &Snapshot) -> HashMap<Asked, BackendId> {
    let mut wanted = HashMap::new();
    for (id, backend) in snapshot.backends.iter() {
        let Some(check) = &backend.balancing.check else { continue };
        let endpoints: BTreeSet<_> =
            backend.usable.iter().chain(&backend.local).map(|it| it.id).collect();
        for endpoint in endpoints {
            wanted.entry((endpoint, check.clone())).or_insert_with(|| id.clone());
        }
    }
    wanted
}

impl State {
    /// Asks one endpoint again and again.
    async fn check(&self, asked: Asked, backend: BackendId) {
        let (endpoint, check) = &asked;
        let mut rng =
            Rng::new(u64::from(endpoint.addr().port()) << 32 | u64::from(std::process::id()));
        loop {
            let patience = check.interval.min(probe::PATIENCE);
            let probe = probe::ask(*endpoint, &check.question);
            let answer = tokio::time::timeout(patience, Box::pin(probe)).await;
            let answer = answer.unwrap_or_else(|_| Err("no answer in time".into()));
            self.observer.count_check(&backend, answer.is_ok());
            self.note(&asked, &backend, answer);
            // endpoints that began together are not asked together for ever
            let part = 0.9 + rng.below(1_000) as f64 / 5_000.0;
            tokio::time::sleep(check.interval.mul_f64(part)).await;
        }
    }

    fn note(&self, asked: &Asked, backend: &BackendId, answer: Result<(), String>) {
        let endpoint = asked.0;
        let mut failures = self.failures.borrow_mut();
        let count = failures.entry(asked.clone()).or_default();
        let was_failing = *count >= MOST_FAILURES;
        *count = if answer.is_ok() { 0 } else { count.saturating_add(1) };
        let is_failing = *count >= MOST_FAILURES;
        drop(failures);
        match (was_failing, answer) {
            (false, Err(why)) if is_failing => {
                tracing::warn!(%endpoint, %backend, %why, "an endpoint fails its checks");
            }
            (true, Ok(())) => {
                tracing::info!(%endpoint, %backend, "an endpoint passes its checks again");
            }
            _ => return,
        }
        self.publish();
    }

    fn publish(&self) {
        let failures = self.failures.borrow();
        let mut failing = Failures::new();
        for ((endpoint, check), _) in failures.iter().filter(|(_, count)| **count >= MOST_FAILURES)
        {
            failing.entry(check.clone()).or_default().insert(*endpoint);
        }
        self.writer.set(failing);
    }
}

/// In a row.
const MOST_FAILURES: u32 = 3;
