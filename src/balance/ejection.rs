//! Passive ejection: an endpoint that failed several times in a row is passed over for a while.
//!
//! Failures cost nothing to count: each endpoint has its streak beside its load, and the list of
//! those that are out is mostly empty. It never grows beyond half of a backend's endpoints: when more
//! than that fail, it is not for a proxy to choose who may be overrun.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Rng;
use crate::snapshot::{Endpoint, EndpointId};

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 502, 503 or 504, or no proper response in time.
    Gateway,
    /// No connection, or one that was reset before a response.
    Connect,
}

impl Fault {
    /// As log and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Connect => "connect",
        }
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Streak {
    connect_failures: u8,
    gateway_errors: u8,
}

impl Streak {
    /// With one more.
    pub(super) fn after(self, fault: Fault) -> Self {
        let Self { connect_failures, gateway_errors } = self;
        match fault {
            Fault::Gateway => {
                Self { connect_failures: 0, gateway_errors: gateway_errors.saturating_add(1) }
            }
            Fault::Connect => {
                Self { connect_failures: connect_failures.saturating_add(1), gateway_errors }
            }
        }
    }

    /// Whether that is too many.
    pub(super) fn is_too_long(self) -> bool {
        self.connect_failures >= MOST_CONNECT_FAILURES || self.gateway_errors >= MOST_GATEWAY_ERRORS
    }
}

/// The endpoints that one worker passes over, and those that it did not long ago.
#[derive(Debug, Default)]
pub(super) struct Ejections(RefCell<BTreeMap<EndpointId, Ejection>>);

#[derive(Clone, Copy, Debug)]
struct Ejection {
    until: Instant,
    /// How often before, without a good while between.
    times: u32,
    /// Whether it has been noticed that it is over.
    is_back: bool,
}

impl Ejections {
    /// The endpoints of `usable` that are out. Those that are so no more are given to `back`, once.
    pub(super) fn out_of(
        &self,
        usable: &[Arc<Endpoint>],
        now: Instant,
        mut back: impl FnMut(EndpointId),
    ) -> Vec<EndpointId> {
        let mut all = self.0.borrow_mut();
        let mut out = Vec::new();
        for (id, ejection) in all.iter_mut().filter(|(id, _)| has(usable, **id)) {
            if now < ejection.until {
                out.push(*id);
            } else if !std::mem::replace(&mut ejection.is_back, true) {
                back(*id);
            }
        }
        // endpoints may have gone, or be out because of what happened to another Service's requests
        if out.len() > most(usable) { Vec::new() } else { out }
    }

    /// Passes an endpoint over from now on: for how long. `None`: it is out already, or too many of
    /// `usable` are.
    pub(super) fn eject(
        &self,
        id: EndpointId,
        usable: &[Arc<Endpoint>],
        now: Instant,
        rng: &mut Rng,
    ) -> Option<Duration> {
        let mut all = self.0.borrow_mut();
        let before = all.get(&id).copied();
        let out = all.iter().filter(|(id, it)| now < it.until && has(usable, **id)).count();
        if before.is_some_and(|it| now < it.until) || out >= most(usable) {
            return None;
        }
        let times = before.filter(|it| !it.is_forgotten(now)).map_or(0, |it| it.times + 1);
        let time = LEAST.saturating_mul(1 << times.min(6)).min(MOST);
        // workers and rutters that saw the same failure must not come back in step
        let time = time + time.mul_f64(rng.below(1_000) as f64 / 4_000.0);
        all.insert(id, Ejection { until: now + time, times, is_back: false });
        Some(time)
    }

    /// Whether none is out, or was not long ago.
    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Forgets those that have been back for long.
    pub(super) fn purge(&self, now: Instant) {
        self.0.borrow_mut().retain(|_, ejection| !ejection.is_forgotten(now));
    }
}

impl Ejection {
    fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.until) >= MOST
    }
}

/// Endpoints are in the order of their addresses.
fn has(usable: &[Arc<Endpoint>], id: EndpointId) -> bool {
    usable.binary_search_by_key(&id, |endpoint| endpoint.id).is_ok()
}

/// How many of them may be out.
fn most(usable: &[Arc<Endpoint>]) -> usize {
    usable.len() / 2
}

const MOST_CONNECT_FAILURES: u8 = 3;
const MOST_GATEWAY_ERRORS: u8 = 5;
/// The first time; each further one is twice as long.
const LEAST: Duration = Duration::from_secs(1);
/// But not longer than this and a quarter; who has been well for as long begins anew.
const MOST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::tests::endpoints;

    #[test]
    fn three_failures_to_connect_or_five_gateway_errors_in_a_row_are_too_many() {
        use Fault::{Connect as C, Gateway as G};
        let rows: [(&[Fault], bool); 6] = [
            (&[C, C], false),
            (&[C, C, C], true),
            (&[C, C, G, C, C], false),
            (&[G, G, G, G], false),
            (&[G, G, G, G, G], true),
            (&[G, G, G, C, C, G, G], true),
        ];
        for (faults, expected) in rows {
            let streak = faults.iter().fold(Streak::default(), |it, fault| it.after(*fault));
            assert_eq!(streak.is_too_long(), expected, "{faults:?}");
        }
    }

    #[test]
    fn it_lasts_a_second_then_twice_as_long_each_time_up_to_a_minute() {
        let (all, mut rng) = (endpoints(2), Rng::new(1));
        let (ejections, mut now) = (Ejections::default(), Instant::now());
        for expected in [1_u64, 2, 4, 8, 16, 32, 60, 60] {
            let time = ejections.eject(all[0].id, &all, now, &mut rng).expect("it must go");
            let expected = Duration::from_secs(expected);
            assert!((expected..=expected.mul_f64(1.25)).contains(&time), "{time:?}");
            assert_eq!(ejections.eject(all[0].id, &all, now, &mut rng), None, "it is out");
            now += time;
            let mut back = Vec::new();
            assert_eq!(ejections.out_of(&all, now, |id| back.push(id)), []);
            assert_eq!(ejections.out_of(&all, now, |id| back.push(id)), []);
            assert_eq!(back, [all[0].id], "it comes back once");
        }
        now += MOST;
        let time = ejections.eject(all[0].id, &all, now, &mut rng).expect("it must go");
        assert!(time < Duration::from_secs(2), "it was well for long: {time:?}");
        ejections.purge(now + Duration::from_secs(90));
        assert!(ejections.is_empty());
    }

    /// What must hold: who is out, by a list of ends; never more than half.
    #[test]
    fn random_failures_agree_with_a_naive_list_and_leave_half_of_the_endpoints() {
        for seed in 0..256 {
            let mut rng = Rng::new(seed);
            let (ejections, mut now) = (Ejections::default(), Instant::now());
            let mut ends: BTreeMap<EndpointId, Instant> = BTreeMap::new();
            let mut usable = endpoints(9);
            for _ in 0..200 {
                now += Duration::from_millis(rng.below(1_500) as u64);
                if rng.below(10) == 0 {
                    usable = endpoints(9).into_iter().filter(|_| rng.below(3) > 0).collect();
                }
                let is_out = |id: &EndpointId, ends: &BTreeMap<EndpointId, Instant>| {
                    ends.get(id).is_some_and(|end| now < *end)
                };
                let ids: Vec<_> = usable.iter().map(|it| it.id).collect();
                let before: Vec<_> = ids.iter().filter(|id| is_out(id, &ends)).copied().collect();
                let id = endpoints(9)[rng.below(9)].id;
                let may = !is_out(&id, &ends) && (before.len() + 1) * 2 <= ids.len();
                let time = ejections.eject(id, &usable, now, &mut rng);
                assert_eq!(time.is_some(), may, "seed {seed}");
                ends.extend(time.map(|time| (id, now + time)));
                let expected: Vec<_> = ids.iter().filter(|id| is_out(id, &ends)).copied().collect();
                let expected = if expected.len() * 2 > ids.len() { Vec::new() } else { expected };
                let out = ejections.out_of(&usable, now, |_| {});
                assert_eq!(out, expected, "seed {seed}");
                if rng.below(4) == 0 {
                    ejections.purge(now);
                }
            }
        }
    }
}
