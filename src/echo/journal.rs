//! What pods were asked, for tests that cannot see it in an answer: mirrors, retries.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The latest requests of the pods that share it, and the attempts that `/retry/` counts.
///
/// The cheap answer to a bare `GET /` is not recorded.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<Entries>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Entries {
    requests: VecDeque<Asked>,
    attempts: HashMap<String, u64>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Namespace of the pod that got it.
    pub namespace: Arc<str>,
    /// The pod that got it.
    pub pod: Arc<str>,
    /// Its method.
    pub method: String,
    /// Its path and query.
    pub target: String,
    /// Who sent it.
    pub client: SocketAddr,
}

/// What is kept: the oldest requests go first, the attempts all at once.
const KEPT: usize = 10_000;

impl Journal {
    /// The latest requests, oldest first.
    pub fn requests(&self) -> Vec<Asked> {
        self.entries().requests.iter().cloned().collect()
    }

    /// Waits until the requests are as wanted. `false`: they are not within `patience`.
    pub fn wait_for(&self, patience: Duration, mut wanted: impl FnMut(&[Asked]) -> bool) -> bool {
        let goes_on = |entries: &mut Entries| !wanted(entries.requests.make_contiguous());
        let waited = self.changed.wait_timeout_while(self.entries(), patience, goes_on);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    pub(super) fn record(&self, asked: Asked) {
        tracing::debug!(
            pod = %asked.pod,
            "Echoing back request made to {} to client ({})", asked.target, asked.client
        );
        let mut entries = self.entries();
        if entries.requests.len() >= KEPT {
            entries.requests.pop_front();
        }
        entries.requests.push_back(asked);
        self.changed.notify_all();
    }

    /// Counts an attempt under `name` unless `most` were counted. Gives whether it did.
    pub(super) fn count_attempt(&self, name: &str, most: u64) -> bool {
        let mut entries = self.entries();
        if entries.attempts.len() >= KEPT {
            entries.attempts.clear();
        }
        let attempts = entries.attempts.entry(name.to_owned()).or_default();
        let counts = *attempts < most;
        *attempts += u64::from(counts);
        counts
    }

    /// A panic elsewhere leaves nothing half done here.
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
