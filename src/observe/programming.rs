//! What is counted of changes on their way into the planes, as kube-proxy counts it
//! (`kubernetes: pkg/proxy/metrics/metrics.go`).

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::coredns::Distribution;

/// Counted where it happens, read at a scrape.
#[derive(Debug, Default)]
pub(super) struct Programming(Mutex<ProgrammingCounts>);

#[derive(Clone, Debug, Default)]
pub(super) struct ProgrammingCounts {
    /// From the beginning of a compilation until every worker has applied what came of it.
    pub(super) sync: Distribution<15>,
    /// The same, from when the source told of the change.
    pub(super) network: Distribution<80>,
    /// When the last change was published.
    pub(super) queued: Option<SystemTime>,
    /// When the last change was applied.
    pub(super) applied: Option<SystemTime>,
    /// Answers by probe and status.
    pub(super) probes: BTreeMap<(Probe, u16), u64>,
}

/// A question of whether the proxy is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// By a load balancer: whether to send traffic here.
    Healthz,
    /// By whoever restarts what is not well.
    Livez,
}

/// One change that every worker has applied.
#[derive(Clone, Copy, Debug)]
pub struct Programmed {
    /// When it was published.
    pub published: SystemTime,
    /// How long compiling it took before that.
    pub compiled: Duration,
    /// How long it had waited for others before that.
    pub collected: Duration,
}

impl Programming {
    pub(super) fn programmed(&self, change: Programmed, now: SystemTime) {
        let applied = now.duration_since(change.published).unwrap_or_default();
        let sync = change.compiled + applied;
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.sync.observe(sync.as_secs_f64(), &SYNC);
        counts.network.observe((change.collected + sync).as_secs_f64(), &NETWORK);
        (counts.queued, counts.applied) = (Some(change.published), Some(now));
    }

    pub(super) fn probed(&self, probe: Probe, status: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.probes.entry((probe, status)).or_default() += 1;
    }

    pub(super) fn current(&self) -> ProgrammingCounts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Seconds: a millisecond, and each twice as long as the one before.
pub(super) static SYNC: LazyLock<[f64; 15]> =
    LazyLock::new(|| std::array::from_fn(|place| 0.001 * f64::from(1_u32 << place)));

/// Seconds: 0.25, 0.5, every second to 59, every five to 115, every thirty to 300.
pub(super) static NETWORK: LazyLock<[f64; 80]> = LazyLock::new(|| {
    std::array::from_fn(|place| match place {
        0 | 1 => 0.25 * (place + 1) as f64,
        2..=60 => (place - 1) as f64,
        61..=72 => 60.0 + 5.0 * (place - 61) as f64,
        _ => 120.0 + 30.0 * (place - 73) as f64,
    })
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_kube_proxy() {
        assert_eq!((SYNC[0], SYNC[14]), (0.001, 16.384));
        let ends = [0, 1, 2, 60, 61, 72, 73, 79].map(|place| NETWORK[place]);
        assert_eq!(ends, [0.25, 0.5, 1.0, 59.0, 60.0, 115.0, 120.0, 300.0]);
        assert!(NETWORK.is_sorted());
    }
}
