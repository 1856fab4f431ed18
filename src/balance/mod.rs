//! Chooses an endpoint. Sans-IO: loads, exclusions and randomness are arguments.
//!
//! In: the usable endpoints of a backend, the [`Loads`] that this worker counts. Out: one
//! endpoint. Called by `plane/l4` and `plane/l7` for every attempt.
//!
//! It also counts retries, for Services that have a budget of them ([`Budgets`]), and remembers
//! which endpoint a client had, for Services whose clients stay ([`Affinity`]).
//!
//! What is counted is keyed by [`EndpointId`] or [`BackendId`](crate::snapshot::BackendId) and
//! outlives snapshots. Workers count apart: a shared counter would cost more than the little it
//! adds in evenness. Affinity alone is shared, since a client that changes its worker must not
//! change its endpoint.

mod affinity;
mod budget;
mod loads;
mod rng;

use std::sync::Arc;

use crate::snapshot::{Endpoint, EndpointId, WeightedBackend};

pub use affinity::{Affinity, StickyClient};
pub use budget::Budgets;
pub use loads::{InFlight, Loads};
pub use rng::Rng;

/// Picks an endpoint by the power of two choices: of two random ones, that with less in flight.
///
/// Endpoints in `tried` are passed over, so that a retry goes elsewhere. `None`: there is no
/// endpoint that was not tried.
pub fn pick<'a>(
    usable: &'a [Arc<Endpoint>],
    tried: &[EndpointId],
    loads: &Loads,
    rng: &mut Rng,
) -> Option<&'a Arc<Endpoint>> {
    let first = random_untried(usable, tried, rng)?;
    let second = random_untried(usable, tried, rng)?;
    if loads.of(second.id) < loads.of(first.id) { Some(second) } else { Some(first) }
}

/// A random start, then the next one that was not tried.
fn random_untried<'a>(
    usable: &'a [Arc<Endpoint>],
    tried: &[EndpointId],
    rng: &mut Rng,
) -> Option<&'a Arc<Endpoint>> {
    let start = rng.below(usable.len());
    let (before, after) = usable.split_at_checked(start)?;
    after.iter().chain(before).find(|endpoint| !tried.contains(&endpoint.id))
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

    pub(super) fn endpoints(count: u8) -> Vec<Arc<Endpoint>> {
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
}
