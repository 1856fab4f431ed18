//! What is counted of names that are forwarded: upstreams, and the cache in front of them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::Observer;
use super::histogram::Histogram;

/// The counts of one worker, and, merged, those of all.
#[derive(Clone, Debug, Default)]
pub struct ForwardCounts {
    /// By upstream, as the configuration writes it.
    pub(super) upstreams: HashMap<Arc<str>, UpstreamCounts, RandomState>,
    /// Questions that were refused because their client, or all, had enough waiting already.
    pub refused_client: u64,
    /// Questions that were refused because no upstream had room.
    pub refused_upstream: u64,
    /// Questions for which upstreams were tried although none was known to answer.
    pub all_down: u64,
    /// The cache.
    pub cache: CacheCounts,
}

/// What is counted of one upstream.
#[derive(Clone, Debug, Default)]
pub struct UpstreamCounts {
    /// Times to the answer by response code, whose set is closed.
    pub(super) answers: BTreeMap<&'static str, Histogram>,
    pub(super) failures: BTreeMap<UpstreamFailure, u64>,
    /// Queries that wait now.
    pub(super) in_flight: u64,
    /// Probes that an upstream which is down has not answered.
    pub healthcheck_failures: u64,
    /// Queries that went out on a connection that was there.
    pub connections_reused: u64,
    /// Connections that were opened.
    pub connections_opened: u64,
}

/// Why an upstream gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpstreamFailure {
    /// None came in time.
    Timeout,
    /// It cannot be reached, or closed the connection, or its certificate is not good.
    Connection,
    /// What came is no answer to the question.
    Invalid,
    /// There was no socket to ask it by; the upstream is not to blame.
    Local,
}

/// What is counted of the cache.
#[derive(Clone, Debug, Default)]
pub struct CacheCounts {
    /// Answered from the cache.
    pub hits: ByKind,
    /// Not in the cache, or no longer good.
    pub misses: u64,
    /// Answered by what was no longer good, because no upstream answered.
    pub stale: u64,
    /// Asked for again ahead of time.
    pub prefetches: u64,
    /// Forgotten for lack of room.
    pub evictions: ByKind,
    /// Answers that are there now.
    pub entries: ByKind,
    /// Bytes that they take.
    pub bytes: u64,
}

/// A count of answers, apart for those that say that something is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByKind {
    /// Something is there.
    pub success: u64,
    /// Nothing is, or the upstream failed.
    pub denial: u64,
}

impl ForwardCounts {
    /// The counts of one upstream.
    pub fn upstream(&mut self, label: &Arc<str>) -> &mut UpstreamCounts {
        self.upstreams.entry(label.clone()).or_default()
    }

    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { upstreams, refused_client, refused_upstream, all_down, cache } = other;
        for (label, more) in upstreams {
            self.upstream(label).add(more);
        }
        self.refused_client += refused_client;
        self.refused_upstream += refused_upstream;
        self.all_down += all_down;
        self.cache.add(cache);
    }
}

impl UpstreamCounts {
    /// All queries that have ended.
    pub(super) fn requests(&self) -> u64 {
        let answers = self.answers.values().flat_map(|answers| answers.counts);
        answers.chain(self.failures.values().copied()).sum()
    }

    fn add(&mut self, other: &Self) {
        let Self {
            answers,
            failures,
            in_flight,
            healthcheck_failures,
            connections_reused,
            connections_opened,
        } = other;
        for (rcode, more) in answers {
            self.answers.entry(rcode).or_default().add(more);
        }
        for (failure, more) in failures {
            *self.failures.entry(*failure).or_default() += more;
        }
        self.in_flight += in_flight;
        self.healthcheck_failures += healthcheck_failures;
        self.connections_reused += connections_reused;
        self.connections_opened += connections_opened;
    }
}

impl UpstreamFailure {
    /// As it stands in a label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Invalid => "invalid",
            Self::Local => "local",
        }
    }
}

impl CacheCounts {
    fn add(&mut self, other: &Self) {
        let Self { hits, misses, stale, prefetches, evictions, entries, bytes } = other;
        self.hits.add(*hits);
        self.misses += misses;
        self.stale += stale;
        self.prefetches += prefetches;
        self.evictions.add(*evictions);
        self.entries.add(*entries);
        self.bytes += bytes;
    }
}

impl ByKind {
    /// That of one kind.
    pub fn of(&mut self, is_success: bool) -> &mut u64 {
        if is_success { &mut self.success } else { &mut self.denial }
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.success += other.success;
        self.denial += other.denial;
    }
}

/// One query to an upstream: in flight from the beginning to its drop, which counts it.
#[derive(Debug)]
pub struct UpstreamRecord {
    observer: Rc<Observer>,
    upstream: Arc<str>,
    started: Instant,
    /// The response code, or why there is none; `None` if nobody waits for it any more.
    pub outcome: Option<Result<&'static str, UpstreamFailure>>,
}

impl UpstreamRecord {
    /// A query that goes out now.
    pub fn new(observer: &Rc<Observer>, upstream: &Arc<str>) -> Self {
        observer.count_forward(|counts| counts.upstream(upstream).in_flight += 1);
        let (observer, upstream) = (observer.clone(), upstream.clone());
        Self { observer, upstream, started: Instant::now(), outcome: None }
    }
}

impl Drop for UpstreamRecord {
    fn drop(&mut self) {
        let time = Instant::now().saturating_duration_since(self.started);
        self.observer.count_forward(|counts| {
            let counts = counts.upstream(&self.upstream);
            // its series may have ended meanwhile, with the upstream
            counts.in_flight = counts.in_flight.saturating_sub(1);
            match self.outcome {
                Some(Ok(rcode)) => counts.answers.entry(rcode).or_default().observe(time),
                Some(Err(failure)) => *counts.failures.entry(failure).or_default() += 1,
                None => {}
            }
        });
    }
}
