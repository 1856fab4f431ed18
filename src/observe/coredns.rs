//! What CoreDNS counts of DNS queries and rutter does not, for `--metrics-compat coredns`.
//!
//! Without the option no record has a detail, and nothing in here is counted.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::record::{DnsRecord, QueryType};
use crate::snapshot::Transport;

/// What a record of a DNS query says only if it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsDetail {
    /// Whether the client has an IPv6 address.
    pub is_ipv6: bool,
    /// Length of the query.
    pub request_bytes: usize,
    /// Length of the answer.
    pub response_bytes: usize,
    /// Whether signatures are wanted (DO, RFC 3225).
    pub dnssec_ok: bool,
    /// The stub domain that the name is in, from the snapshot; `None`: it is in none.
    pub zone: Option<Arc<str>>,
    /// Who had the answer.
    pub by: AnsweredBy,
}

/// Who had an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AnsweredBy {
    /// The snapshot.
    Kubernetes,
    /// The cache in front of upstreams.
    Cache,
    /// An upstream.
    Forward,
}

/// By stub domain; empty for all other names.
#[derive(Debug, Default)]
pub(super) struct CorednsCounts {
    pub(super) zones: HashMap<Arc<str>, ZoneCounts, RandomState>,
}

/// What is counted of the queries of one server block.
#[derive(Debug, Default)]
pub(super) struct ZoneCounts {
    /// By transport, whether over IPv6, and type.
    pub(super) requests: HashMap<(Transport, bool, QueryType), u64, RandomState>,
    pub(super) dnssec_requests: u64,
    /// By code, and the plugin that would have answered.
    pub(super) responses: HashMap<(&'static str, &'static str), u64, RandomState>,
    /// In seconds.
    pub(super) time: Distribution<16>,
    /// In bytes, by transport.
    pub(super) request_size: HashMap<Transport, Distribution<14>, RandomState>,
    pub(super) response_size: HashMap<Transport, Distribution<14>, RandomState>,
}

/// Counts of values, one a bound and one for what is above the last.
#[derive(Clone, Debug)]
pub(super) struct Distribution<const BOUNDS: usize> {
    counts: [u64; BOUNDS],
    above: u64,
    pub(super) sum: f64,
}

/// Seconds: 0.25 ms, and each twice as long as the one before.
pub(super) const TIMES: [f64; 16] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024,
    2.048, 4.096, 8.192,
];

/// Bytes.
pub(super) const SIZES: [f64; 14] = [
    0.0, 100.0, 200.0, 300.0, 400.0, 511.0, 1023.0, 2047.0, 4095.0, 8291.0, 16e3, 32e3, 48e3, 64e3,
];

impl CorednsCounts {
    pub(super) fn count(&mut self, record: &DnsRecord, detail: &DnsDetail, time: Duration) {
        let zone = detail.zone.clone().unwrap_or_default();
        let counts = self.zones.entry(zone).or_default();
        let transport = record.transport.carrier();
        let request = (transport, detail.is_ipv6, record.query_type);
        *counts.requests.entry(request).or_default() += 1;
        counts.dnssec_requests += u64::from(detail.dnssec_ok);
        let response = (record.rcode, plugin(detail.by, record.rcode));
        *counts.responses.entry(response).or_default() += 1;
        counts.time.observe(time.as_secs_f64(), &TIMES);
        let sizes = counts.request_size.entry(transport).or_default();
        sizes.observe(detail.request_bytes as f64, &SIZES);
        let sizes = counts.response_size.entry(transport).or_default();
        sizes.observe(detail.response_bytes as f64, &SIZES);
    }

    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (zone, more) in &other.zones {
            self.zones.entry(zone.clone()).or_default().add(more);
        }
    }
}

/// CoreDNS names nobody where no plugin has answered.
fn plugin(by: AnsweredBy, rcode: &str) -> &'static str {
    match by {
        AnsweredBy::Cache => "cache",
        AnsweredBy::Forward => "forward",
        AnsweredBy::Kubernetes if matches!(rcode, "NOERROR" | "NXDOMAIN") => "kubernetes",
        AnsweredBy::Kubernetes => "",
    }
}

impl ZoneCounts {
    fn add(&mut self, other: &Self) {
        let Self { requests, dnssec_requests, responses, time, request_size, response_size } =
            other;
        for (labels, more) in requests {
            *self.requests.entry(*labels).or_default() += more;
        }
        self.dnssec_requests += dnssec_requests;
        for (labels, more) in responses {
            *self.responses.entry(*labels).or_default() += more;
        }
        self.time.add(time);
        for (transport, more) in request_size {
            self.request_size.entry(*transport).or_default().add(more);
        }
        for (transport, more) in response_size {
            self.response_size.entry(*transport).or_default().add(more);
        }
    }
}

impl<const BOUNDS: usize> Default for Distribution<BOUNDS> {
    fn default() -> Self {
        Self { counts: [0; BOUNDS], above: 0, sum: 0.0 }
    }
}

impl<const BOUNDS: usize> Distribution<BOUNDS> {
    pub(super) fn observe(&mut self, value: f64, bounds: &[f64; BOUNDS]) {
        let place = bounds.iter().position(|bound| value <= *bound);
        match place.and_then(|place| self.counts.get_mut(place)) {
            Some(count) => *count += 1,
            None => self.above += 1,
        }
        self.sum += value;
    }

    fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.above += other.above;
        self.sum += other.sum;
    }

    /// Each bound with what is below it and above the one before; the last is infinite.
    pub(super) fn buckets(&self, bounds: &[f64; BOUNDS]) -> Vec<(f64, u64)> {
        let below = bounds.iter().copied().zip(self.counts);
        below.chain([(f64::INFINITY, self.above)]).collect()
    }
}
