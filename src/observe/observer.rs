//! Where the records of one worker go.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::access::AccessWriter;
use super::dns::DnsCounts;
use super::forward::ForwardCounts;
use super::record::{ConnectionRecord, DnsRecord, RequestRecord};
use super::shard::Shard;
use crate::life;
use crate::snapshot::BackendId;

/// The part of the metrics and of the access log that one worker will own.
#[derive(Debug, Default)]
pub struct WorkerShard {
    pub(super) counted: Arc<Mutex<Shard>>,
    pub(super) access: AccessWriter,
    pub(super) wants_dns_detail: bool,
}

impl WorkerShard {
    /// Becomes the observer, on the worker's thread.
    pub fn observer(self) -> Observer {
        let Self { counted, access, wants_dns_detail } = self;
        Observer { counted, access: RefCell::new(access), wants_dns_detail }
    }
}

/// Counts and logs the records of one worker.
#[derive(Debug, Default)]
pub struct Observer {
    counted: Arc<Mutex<Shard>>,
    access: RefCell<AccessWriter>,
    wants_dns_detail: bool,
}

impl Observer {
    /// Writes buffered lines out at least once a second, for ever.
    pub async fn run(&self) {
        loop {
            tokio::time::sleep(FLUSH).await;
            self.flush();
        }
    }

    /// Writes buffered lines out.
    pub fn flush(&self) {
        let lost = self.access.borrow_mut().flush();
        if lost > 0 {
            self.counted().lost_lines += lost;
        }
    }

    pub(super) fn record_request(&self, record: &RequestRecord) {
        let time = life::now().saturating_duration_since(record.started);
        self.counted().count_request(record, time);
        let lost = self.access.borrow_mut().request(record, time);
        if lost > 0 {
            self.counted().lost_lines += lost;
        }
    }

    /// Counts an endpoint of the backend that is passed over from now on.
    pub fn count_ejection(&self, backend: &BackendId, cause: &'static str) {
        *self.counted().ejections.entry((backend.clone(), cause)).or_default() += 1;
    }

    /// Counts a check of an endpoint of the backend.
    pub fn count_check(&self, backend: &BackendId, is_passed: bool) {
        *self.counted().checks.entry((backend.clone(), is_passed)).or_default() += 1;
    }

    pub(super) fn record_connection(&self, record: &ConnectionRecord) {
        self.counted().count_connection(record);
    }

    /// Whether records of DNS queries are to have their detail.
    pub fn wants_dns_detail(&self) -> bool {
        self.wants_dns_detail
    }

    pub(super) fn record_query(&self, record: &DnsRecord) {
        let time = Instant::now().saturating_duration_since(record.started);
        self.counted().count_query(record, time);
    }

    /// Counts what becomes of a name that is forwarded.
    pub fn count_forward(&self, count: impl FnOnce(&mut ForwardCounts)) {
        count(&mut self.counted().forward);
    }

    pub(super) fn dns(&self, count: impl FnOnce(&mut DnsCounts)) {
        count(&mut self.counted().dns);
    }

    /// A panic elsewhere while counting leaves numbers, not broken data.
    fn counted(&self) -> MutexGuard<'_, Shard> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.flush();
    }
}

/// How long a line may wait in the buffer.
const FLUSH: Duration = Duration::from_millis(500);
