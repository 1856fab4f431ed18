//! What a person can see of the process: log, access log, metrics.
//!
//! In: records of units of work, written exactly once (in `Drop` if nobody did). Out: lines, and
//! the Prometheus text of `admin`. [`Metrics`] is made once; each worker has a [`WorkerShard`] of
//! it, which becomes the [`Observer`] that its records go to.
//!
//! With `--metrics-compat` the same is shown under the names of others too (`coredns`); what only
//! they count is counted only then.
//! Invariant: metric labels come from the snapshot, never from bytes of the network.
//! Invariant: a worker counts in its own shard, whose lock only a scrape ever contends; nothing on
//! the hot path is shared between workers.

mod access;
mod announce;
mod coredns;
mod dns;
mod forward;
mod histogram;
pub mod log;
mod metrics;
mod observer;
mod process;
mod programming;
mod record;
mod shard;
mod text;
mod time;

#[cfg(test)]
mod tests;

pub use announce::AnnounceCounts;
pub use coredns::{AnsweredBy, DnsDetail};
pub use dns::{DnsLimited, DnsRefusal, DnsTransport, OpenDnsConnection};
pub use forward::{
    ByKind, CacheCounts, ForwardCounts, UpstreamCounts, UpstreamFailure, UpstreamRecord,
};
pub use metrics::{Gauges, Metrics};
pub use observer::{Observer, WorkerShard};
pub use programming::{Probe, Programmed};
pub use record::{ConnectionRecord, DnsRecord, QueryType, RequestRecord, Searched, method_name};
