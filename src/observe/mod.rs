//! What a person can see of the process: log, access log, metrics.
//!
//! In: records of units of work, written exactly once (in `Drop` if nobody did). Out: lines, and
//! the Prometheus text of `admin`. Each worker has one [`Observer`]; nothing on the hot path is
//! shared between workers.
//!
//! Invariant: metric labels come from the snapshot, never from bytes of the network.

mod record;

pub use record::{ConnectionRecord, Observer, RequestRecord};

/// Stub.
#[derive(Debug, Default)]
pub struct WorkerShard {}
impl WorkerShard {
    /// Stub.
    pub fn observer(self) -> Observer {
        Observer {}
    }
}
impl Observer {
    /// Stub.
    pub async fn run(&self) {
        std::future::pending().await
    }
}
