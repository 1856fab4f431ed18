//! Slow start: an endpoint that has just come, or come back, gets a growing share, so that caches
//! and connections are warm before all of its share arrives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Rng;
use crate::snapshot::{Endpoint, EndpointId};

/// The endpoints of one backend that do not have their full share yet: mostly none.
#[derive(Debug, Default)]
pub(super) struct Newcomers(Vec<Newcomer>);

#[derive(Clone, Copy, Debug)]
struct Newcomer {
    id: EndpointId,
    since: Instant,
    slow_start: Duration,
}

impl Newcomers {
    /// Those of `now_usable` that are not in `were_usable` begin; those that are gone are forgotten.
    /// Where all are new there is nobody to spare them.
    pub(super) fn meet(
        &mut self,
        were_usable: &[Arc<Endpoint>],
        now_usable: &[Arc<Endpoint>],
        slow_start: Duration,
        now: Instant,
    ) {
        let has = |list: &[Arc<Endpoint>], id: EndpointId| {
            list.binary_search_by_key(&id, |endpoint| endpoint.id).is_ok()
        };
        self.0.retain(|it| has(now_usable, it.id));
        let fresh = now_usable.iter().map(|it| it.id).filter(|id| !has(were_usable, *id));
        let fresh: Vec<_> = fresh.collect();
        if fresh.len() < now_usable.len() {
            fresh.into_iter().for_each(|id| self.begin(id, slow_start, now));
        }
    }

    /// This one begins, or begins again.
    pub(super) fn begin(&mut self, id: EndpointId, slow_start: Duration, now: Instant) {
        self.0.retain(|it| it.id != id);
        if !slow_start.is_zero() {
            self.0.push(Newcomer { id, since: now, slow_start });
        }
    }

    /// Forgets those whose time is over.
    pub(super) fn settle(&mut self, now: Instant) {
        if !self.0.is_empty() {
            self.0.retain(|it| now.saturating_duration_since(it.since) < it.slow_start);
        }
    }

    /// Those that are passed over this time, drawn by lot: of the requests that would be an endpoint's,
    /// it gets its share. (Its cost divided by the share, as weights are elsewhere, was rejected: where
    /// little is in flight all costs are alike, and it got nothing until its time was over.)
    pub(super) fn spared(&self, now: Instant, rng: &mut Rng) -> Vec<EndpointId> {
        let is_spared = |it: &&Newcomer| rng.below(1_000) as f64 >= it.share(now) * 1_000.0;
        self.0.iter().filter(is_spared).map(|it| it.id).collect()
    }
}

impl Newcomer {
    /// Which part of its share it gets: from a tenth to all of it.
    fn share(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        (passed / self.slow_start.as_secs_f64()).clamp(LEAST_SHARE, 1.0)
    }
}

/// Less, and an endpoint of a quiet Service would never be asked.
const LEAST_SHARE: f64 = 0.1;
