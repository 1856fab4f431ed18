//! What one worker has counted.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::Equivalent;

use super::coredns::CorednsCounts;
use super::dns::{DnsCounts, DnsTransport};
use super::forward::ForwardCounts;
use super::histogram::Histogram;
use super::record::{ConnectionRecord, DnsRecord, QueryType, RequestRecord, Searched};
use crate::snapshot::{BackendId, Exposure, Reason, Transport};

/// The counters of one worker, and, merged, those of all.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) requests: hashbrown::HashMap<RequestLabels, RequestCounts, RandomState>,
    /// Endpoints that this worker began to pass over, by backend and cause.
    pub(super) ejections: HashMap<(BackendId, &'static str), u64, RandomState>,
    /// Checks of endpoints, by backend and whether they passed.
    pub(super) checks: HashMap<(BackendId, bool), u64, RandomState>,
    pub(super) connections: HashMap<ConnectionLabels, ConnectionCounts, RandomState>,
    pub(super) queries: HashMap<QueryLabels, u64, RandomState>,
    pub(super) query_time: Histogram,
    pub(super) forward: ForwardCounts,
    pub(super) dns: DnsCounts,
    /// By namespace, which is of the snapshot, or empty.
    pub(super) searches: HashMap<Arc<str>, SearchCounts, RandomState>,
    /// Empty unless `--metrics-compat coredns` is given.
    pub(super) coredns: CorednsCounts,
    /// Access lines that could not be written.
    pub(super) lost_lines: u64,
}

/// What requests are told apart by. Every part is from the snapshot or a closed set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct RequestLabels {
    pub(super) listener: Arc<str>,
    /// `namespace/name` of the route; empty if no rule took it.
    pub(super) route: Arc<str>,
    pub(super) service: Option<BackendId>,
    pub(super) code: u16,
    pub(super) reason: Option<Reason>,
}

/// The same as they are looked up: no reference is counted. They hash alike, field by field.
#[derive(Debug, Hash)]
struct RequestLabelled<'a> {
    listener: &'a str,
    route: &'a str,
    service: Option<&'a BackendId>,
    code: u16,
    reason: Option<Reason>,
}

impl Equivalent<RequestLabels> for RequestLabelled<'_> {
    fn equivalent(&self, labels: &RequestLabels) -> bool {
        self.code == labels.code
            && self.reason == labels.reason
            && self.listener == &*labels.listener
            && self.route == &*labels.route
            && self.service == labels.service.as_ref()
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct RequestCounts {
    pub(super) time: Histogram,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) retries: u64,
}

impl RequestLabels {
    fn of(record: &RequestRecord) -> Self {
        Self {
            listener: record.listener.clone(),
            route: record.rule.as_ref().map(|rule| rule.label.clone()).unwrap_or_default(),
            service: record.backend.as_ref().map(|backend| backend.id.clone()),
            code: record.status,
            reason: record.reason,
        }
    }
}

impl RequestCounts {
    fn count(&mut self, record: &RequestRecord, time: std::time::Duration) {
        self.time.observe(time);
        self.request_bytes += record.request_bytes;
        self.response_bytes += record.response_bytes;
        self.retries += u64::from(record.retries);
    }
}

/// What sessions and flows are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionLabels {
    pub(super) transport: Transport,
    pub(super) backend: Option<BackendId>,
    pub(super) exposure: Exposure,
    pub(super) reason: Option<Reason>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionCounts {
    pub(super) total: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
}

/// What queries are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueryLabels {
    pub(super) transport: DnsTransport,
    pub(super) query_type: QueryType,
    pub(super) rcode: &'static str,
}

/// What search lists cost, and what they do not.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SearchCounts {
    pub(super) misses: u64,
    pub(super) answers: u64,
}

impl Shard {
    pub(super) fn count_request(&mut self, record: &RequestRecord, time: std::time::Duration) {
        let labelled = RequestLabelled {
            listener: &record.listener,
            route: record.rule.as_ref().map_or("", |rule| &rule.label),
            service: record.backend.as_ref().map(|backend| &backend.id),
            code: record.status,
            reason: record.reason,
        };
        match self.requests.get_mut(&labelled) {
            Some(counts) => counts.count(record, time),
            None => self.requests.entry(RequestLabels::of(record)).or_default().count(record, time),
        }
    }

    pub(super) fn count_connection(&mut self, record: &ConnectionRecord) {
        let labels = ConnectionLabels {
            transport: record.transport,
            backend: record.backend.as_ref().map(|backend| backend.id.clone()),
            exposure: record.exposure,
            reason: record.reason,
        };
        let counts = self.connections.entry(labels).or_default();
        counts.total += 1;
        counts.received_bytes += record.received_bytes;
        counts.sent_bytes += record.sent_bytes;
    }

    pub(super) fn count_query(&mut self, record: &DnsRecord, time: std::time::Duration) {
        let labels = QueryLabels {
            transport: record.transport,
            query_type: record.query_type,
            rcode: record.rcode,
        };
        *self.queries.entry(labels).or_default() += 1;
        self.query_time.observe(time);
        match &record.searched {
            None => {}
            Some(Searched::Missed(of)) => self.search(of).misses += 1,
            Some(Searched::Answered(of)) => self.search(of).answers += 1,
        }
        if let Some(detail) = &record.detail {
            self.coredns.count(record, detail, time);
        }
    }

    fn search(&mut self, namespace: &Arc<str>) -> &mut SearchCounts {
        self.searches.entry(namespace.clone()).or_default()
    }

    /// Forgets what belongs to objects that are gone, so that their series end.
    pub(super) fn retain(
        &mut self,
        has_route: impl Fn(&str) -> bool,
        has_backend: impl Fn(&BackendId) -> bool,
        has_upstream: impl Fn(&str) -> bool,
        has_namespace: impl Fn(&str) -> bool,
        has_stub: impl Fn(&str) -> bool,
    ) {
        self.requests.retain(|labels, _| {
            (labels.route.is_empty() || has_route(&labels.route))
                && labels.service.as_ref().is_none_or(&has_backend)
        });
        self.checks.retain(|(backend, _), _| has_backend(backend));
        self.ejections.retain(|(backend, _), _| has_backend(backend));
        self.connections.retain(|labels, _| labels.backend.as_ref().is_none_or(&has_backend));
        self.forward.upstreams.retain(|upstream, _| has_upstream(upstream));
        self.searches.retain(|namespace, _| namespace.is_empty() || has_namespace(namespace));
        self.coredns.zones.retain(|zone, _| zone.is_empty() || has_stub(zone));
    }

    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (labels, more) in &other.requests {
            let counts = self.requests.entry(labels.clone()).or_default();
            counts.time.add(&more.time);
            counts.request_bytes += more.request_bytes;
            counts.response_bytes += more.response_bytes;
            counts.retries += more.retries;
        }
        for (labels, more) in &other.checks {
            *self.checks.entry(labels.clone()).or_default() += more;
        }
        for (labels, more) in &other.ejections {
            *self.ejections.entry(labels.clone()).or_default() += more;
        }
        for (labels, more) in &other.connections {
            let counts = self.connections.entry(labels.clone()).or_default();
            counts.total += more.total;
            counts.received_bytes += more.received_bytes;
            counts.sent_bytes += more.sent_bytes;
        }
        for (labels, more) in &other.queries {
            *self.queries.entry(*labels).or_default() += more;
        }
        for (namespace, more) in &other.searches {
            let counts = self.search(namespace);
            counts.misses += more.misses;
            counts.answers += more.answers;
        }
        self.query_time.add(&other.query_time);
        self.forward.add(&other.forward);
        self.dns.add(&other.dns);
        self.coredns.add(&other.coredns);
        self.lost_lines += other.lost_lines;
    }
}
