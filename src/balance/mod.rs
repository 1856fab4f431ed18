//! Chooses an endpoint. Sans-IO: loads, exclusions, time and randomness are arguments.
//!
//! In: the usable endpoints of a backend, the [`Loads`] that this worker counts. Out: one
//! endpoint. Called for every attempt: by `plane/l4`, which goes by [`pick`], and by `plane/l7`,
//! whose [`Balancer`] goes by the algorithm of the Service.
//!
//! The balancer also passes over endpoints that fail ([`Fault`]), and lets those begin slowly that
//! have just come. It counts retries, for Services that have a budget of them ([`Budgets`]), and remembers
//! which endpoint a client had, for Services whose clients stay ([`Affinity`]).
//!
//! What is counted is keyed by [`EndpointId`] or [`BackendId`](crate::snapshot::BackendId) and
//! outlives snapshots. Workers count apart: a shared counter would cost more than the little it
//! adds in evenness. Shared are affinity, since a client that changes its worker must not change
//! its endpoint, and the [`Gates`] of Services with limits, which are for all workers together.

mod affinity;
mod balancer;
mod budget;
mod ejection;
mod gate;
mod hash;
mod health;
mod latency;
mod loads;
mod maglev;
mod newcomers;
mod rng;

use std::sync::Arc;

use crate::snapshot::{Endpoint, EndpointId, WeightedBackend};

pub use affinity::{Affinity, StickyClient};
pub use balancer::{Balancer, Choice};
pub use budget::Budgets;
pub use ejection::Fault;
pub use gate::{Gate, Gates, Seat, Turn, Waiting};
pub use hash::hash_of;
pub use health::{Failures, Health, HealthWriter, health};
pub use loads::{InFlight, Loads};
pub use rng::Rng;

/// Picks an endpoint by the power of two choices: of two random ones, that with less in flight.
///
/// It may be the same one twice: an endpoint whose sessions last gets its part of those that come one
/// after the other, of which there are never as many at another.
///
/// Endpoints in `tried` are passed over, so that a retry goes elsewhere. `None`: there is no
/// endpoint that was not tried.
pub fn pick<'a>(
    usable: &'a [Arc<Endpoint>],
    tried: &[EndpointId],
    loads: &Loads,
    rng: &mut Rng,
) -> Option<&'a Arc<Endpoint>> {
    let is_open = |id| !tried.contains(&id);
    let first = random_open(usable, is_open, rng)?;
    let second = random_open(usable, is_open, rng)?;
    Some(cheaper(first, second, |id| loads.of(id)))
}

/// Of two random ones that are open, the one that costs less.
///
/// A second one that is the first again is drawn again, a few times: the slow one of two would get a
/// quarter of all whatever it cost. But not for ever: one that was slow once and gets nothing would be
/// thought slow for half a minute, where there is so little to do that the other is always free.
fn two_choices<'a, C: PartialOrd>(
    usable: &'a [Arc<Endpoint>],
    is_open: impl Fn(EndpointId) -> bool,
    cost: impl Fn(EndpointId) -> C,
    rng: &mut Rng,
) -> Option<&'a Arc<Endpoint>> {
    let first = random_open(usable, &is_open, rng)?;
    let draws = if usable.len() > 1 { SECOND_DRAWS } else { 0 };
    let mut seconds = (0..draws).filter_map(|_| random_open(usable, &is_open, rng));
    let second = seconds.find(|second| second.id != first.id).unwrap_or(first);
    Some(cheaper(first, second, cost))
}

/// The dear one of two gets one of 32.
const SECOND_DRAWS: usize = 4;

fn cheaper<'a, C: PartialOrd>(
    first: &'a Arc<Endpoint>,
    second: &'a Arc<Endpoint>,
    cost: impl Fn(EndpointId) -> C,
) -> &'a Arc<Endpoint> {
    let is_other = first.id != second.id;
    if is_other && cost(second.id) < cost(first.id) { second } else { first }
}

/// A random start, then the next one that is open.
fn random_open<'a>(
    usable: &'a [Arc<Endpoint>],
    is_open: impl Fn(EndpointId) -> bool,
    rng: &mut Rng,
) -> Option<&'a Arc<Endpoint>> {
    let start = rng.below(usable.len());
    let (before, after) = usable.split_at_checked(start)?;
    after.iter().chain(before).find(|endpoint| is_open(endpoint.id))
}

/// Picks one of a rule's backends by weight; backends of weight 0 get nothing.
pub fn pick_weighted<'a>(
    backends: &'a [WeightedBackend],
    rng: &mut Rng,
) -> Option<(usize, &'a WeightedBackend)> {
    if let [only] = backends {
        return (only.weight > 0).then_some((0, only));
    }
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let mut point = rng.below(usize::try_from(total).ok()?) as u64;
    backends.iter().enumerate().find(|(_, backend)| {
        let share = u64::from(backend.weight);
        let hit = point < share;
        point = point.saturating_sub(share);
        hit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(in crate::balance) fn endpoints(count: u8) -> Vec<Arc<Endpoint>> {
        (0..count)
            .map(|last| {
                Arc::new(Endpoint {
                    id: EndpointId(([127, 0, 0, last], 80).into()),
                    ready: true,
                    serving: true,
                    terminating: false,
                    pod: None,
                    node: None,
                    zone: None,
                    origin: Default::default(),
                })
            })
            .collect()
    }

    #[test]
    fn without_endpoints_there_is_no_pick() {
        assert!(pick(&[], &[], &Loads::default(), &mut Rng::new(1)).is_none());
    }

    #[test]
    fn a_tried_endpoint_is_not_picked_again() {
        let endpoints = endpoints(3);
        let mut tried = Vec::new();
        let mut rng = Rng::new(7);
        while let Some(endpoint) = pick(&endpoints, &tried, &Loads::default(), &mut rng) {
            assert!(!tried.contains(&endpoint.id));
            tried.push(endpoint.id);
        }
        assert_eq!(tried.len(), 3);
    }

    #[test]
    fn picks_spread_evenly_when_loads_are_kept() {
        for seed in 0..256 {
            let endpoints = endpoints(10);
            let loads = Loads::default();
            let mut rng = Rng::new(seed);
            let mut held: Vec<InFlight> = Vec::new();
            for _ in 0..100 {
                let endpoint = pick(&endpoints, &[], &loads, &mut rng).expect("one must be left");
                held.push(loads.begin(endpoint.id));
            }
            for endpoint in &endpoints {
                assert!((6..=14).contains(&loads.of(endpoint.id)), "seed {seed}");
            }
        }
    }

    /// The rule of two choices, with the order of draws as the only thing taken over: each choice is
    /// the first untried one from a random start on, and the second counts where it has less.
    fn naive_pick(
        all: &[Arc<Endpoint>],
        tried: &[EndpointId],
        held: &[EndpointId],
        rng: &mut Rng,
    ) -> Option<EndpointId> {
        let mut untried = || {
            let start = rng.below(all.len());
            let turned = (0..all.len()).map(|step| all[(start + step) % all.len()].id);
            turned.into_iter().find(|id| !tried.contains(id))
        };
        let load = |id: &EndpointId| held.iter().filter(|it| *it == id).count();
        let (first, second) = (untried()?, untried()?);
        Some(if load(&second) < load(&first) { second } else { first })
    }

    #[test]
    fn random_sessions_agree_with_a_naive_model_of_two_choices() {
        for seed in 0..256 {
            let mut random = Rng::new(seed);
            let (loads, mut rng) = (Loads::default(), Rng::new(!seed));
            let mut held: Vec<(EndpointId, InFlight)> = Vec::new();
            for _ in 0..200 {
                // endpoints come and go, what is in flight at them stays
                let count = u8::try_from(random.below(9)).expect("small");
                let all = endpoints(count);
                let is_tried = |random: &mut Rng| random.below(4) == 0;
                let tried: Vec<_> =
                    all.iter().map(|it| it.id).filter(|_| is_tried(&mut random)).collect();
                let ids: Vec<_> = held.iter().map(|(id, _)| *id).collect();
                let expected = naive_pick(&all, &tried, &ids, &mut rng.clone());
                let picked = pick(&all, &tried, &loads, &mut rng).map(|it| it.id);
                assert_eq!(picked, expected, "seed {seed}");
                assert_eq!(picked.is_none(), tried.len() == all.len(), "seed {seed}");
                held.extend(picked.map(|id| (id, loads.begin(id))));
                if random.below(3) == 0 && !held.is_empty() {
                    held.swap_remove(random.below(held.len()));
                }
                for id in endpoints(9).iter().map(|it| it.id) {
                    let count = held.iter().filter(|(held, _)| *held == id).count();
                    assert_eq!(loads.of(id) as usize, count, "seed {seed}");
                }
            }
        }
    }

    fn weighted(weight: u32) -> WeightedBackend {
        let failure = crate::snapshot::Failure {
            reason: crate::snapshot::Reason::InvalidBackend,
            detail: "".into(),
        };
        WeightedBackend { target: Err(failure), weight, filters: Vec::new() }
    }

    /// Every share stands in a list as often as it weighs; one number is drawn.
    #[test]
    fn random_weights_agree_with_a_list_in_which_each_share_stands_as_often_as_it_weighs() {
        for seed in 0..256 {
            let mut random = Rng::new(seed);
            let mut rng = Rng::new(!seed);
            let weights: Vec<_> = (0..random.below(6))
                .map(|_| u32::try_from(random.below(5)).expect("small"))
                .collect();
            let shares: Vec<_> = weights.iter().copied().map(weighted).collect();
            let list: Vec<usize> = weights
                .iter()
                .enumerate()
                .flat_map(|(place, weight)| std::iter::repeat_n(place, *weight as usize))
                .collect();
            let mut counts = vec![0; shares.len()];
            for _ in 0..400 {
                // of one share nothing is drawn
                let expected = if shares.len() == 1 {
                    list.first().copied()
                } else {
                    list.get(rng.clone().below(list.len())).copied()
                };
                let picked = pick_weighted(&shares, &mut rng).map(|(place, _)| place);
                assert_eq!(picked, expected, "seed {seed}: {weights:?}");
                picked.into_iter().for_each(|place| counts[place] += 1);
            }
            for (place, count) in counts.into_iter().enumerate() {
                let fair = 400 * weights[place] as usize / list.len().max(1);
                assert!(fair.abs_diff(count) <= 60, "seed {seed}: {place} of {weights:?}: {count}");
            }
        }
    }

    #[test]
    fn the_largest_weights_are_added_without_overflow() {
        let shares = [weighted(u32::MAX), weighted(u32::MAX), weighted(1)];
        let mut rng = Rng::new(1);
        let picked: Vec<_> =
            (0..64).filter_map(|_| Some(pick_weighted(&shares, &mut rng)?.0)).collect();
        assert!(picked.contains(&0) && picked.contains(&1));
    }
}
