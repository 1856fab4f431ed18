//! How many requests a Service and each of its endpoints have at a time, and who waits.
//!
//! Counted by all workers together: what a limit of 1 is for, an endpoint that can do one thing at a
//! time, a limit for each worker would not give. Only requests to Services with limits come here.
//! Deliberately absent: waiting itself. Whoever waits is told by [`Gate::freed`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use crate::snapshot::{BackendId, EndpointId, RequestLimits, Snapshot};

/// The gates of all Services that have limits.
#[derive(Debug, Default)]
pub struct Gates(Mutex<HashMap<BackendId, Arc<Gate>, RandomState>>);

impl Gates {
    /// That of a backend.
    pub fn of(&self, backend: &BackendId) -> Arc<Gate> {
        let mut gates = self.gates();
        if let Some(gate) = gates.get(backend) {
            return gate.clone();
        }
        gates.entry(backend.clone()).or_default().clone()
    }

    /// Forgets backends that are gone, once nobody uses their gate.
    pub fn purge(&self, snapshot: &Snapshot) {
        let is_used = |gate: &Arc<Gate>| Arc::strong_count(gate) > 1;
        self.gates().retain(|id, gate| is_used(gate) || snapshot.backends.contains_key(id));
    }

    fn gates(&self) -> MutexGuard<'_, HashMap<BackendId, Arc<Gate>, RandomState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one backend has at a time.
#[derive(Debug, Default)]
pub struct Gate {
    counts: Mutex<Counts>,
    /// Wakes the one that has waited longest when something has become free.
    pub freed: Notify,
}

#[derive(Debug, Default)]
struct Counts {
    requests: u32,
    waiting: u32,
    by_endpoint: HashMap<EndpointId, u32, RandomState>,
}

/// Whom a request has before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It has just come: whoever waits comes first.
    New,
    /// It has just begun to wait: so does whoever waits besides.
    Queued,
    /// It was told that something is free.
    Woken,
    /// It has been in before, and failed: for it the limit of the Service does not count.
    Again,
}

impl Gate {
    /// Lets a request in, if there is room: at the endpoint that `choose` gives, which is told of
    /// those that have none.
    pub fn enter(
        self: &Arc<Self>,
        limits: &RequestLimits,
        turn: Turn,
        choose: impl FnOnce(&[EndpointId]) -> Option<EndpointId>,
    ) -> Option<Seat> {
        let mut counts = self.counts();
        let is_next = match turn {
            Turn::New => counts.waiting == 0,
            Turn::Queued => counts.waiting <= 1,
            Turn::Woken | Turn::Again => true,
        };
        let most = limits.per_service.filter(|_| turn != Turn::Again);
        if !is_next || most.is_some_and(|most| counts.requests >= most.get()) {
            return None;
        }
        let most = limits.per_endpoint.map_or(u32::MAX, |most| most.get());
        let full = counts.by_endpoint.iter().filter(|(_, count)| **count >= most);
        let full: Vec<_> = full.map(|(id, _)| *id).collect();
        let endpoint = choose(&full)?;
        counts.requests += 1;
        *counts.by_endpoint.entry(endpoint).or_default() += 1;
        Some(Seat { gate: self.clone(), endpoint })
    }

    /// A place among those that wait. `None`: there are as many already as may.
    pub fn queue(self: &Arc<Self>, limits: &RequestLimits) -> Option<Waiting> {
        let mut counts = self.counts();
        let has_room = counts.waiting < limits.queue;
        has_room.then(|| {
            counts.waiting += 1;
            Waiting(self.clone())
        })
    }

    /// A lock is held for a few comparisons and a choice.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that is in, until this is dropped.
#[derive(Debug)]
pub struct Seat {
    gate: Arc<Gate>,
    endpoint: EndpointId,
}

impl Seat {
    /// Where it goes.
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.gate.counts();
        counts.requests = counts.requests.saturating_sub(1);
        if let Some(count) = counts.by_endpoint.get_mut(&self.endpoint) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.by_endpoint.remove(&self.endpoint);
            }
        }
        if counts.waiting > 0 {
            self.gate.freed.notify_one();
        }
    }
}

/// One request that waits, until this is dropped.
#[derive(Debug)]
pub struct Waiting(Arc<Gate>);

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = self.0.counts();
        counts.waiting = counts.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;
    use crate::balance::Rng;
    use crate::balance::tests::endpoints;

    fn limits(per_service: u32, per_endpoint: u32, queue: u32) -> RequestLimits {
        RequestLimits {
            per_service: NonZeroU32::new(per_service),
            per_endpoint: NonZeroU32::new(per_endpoint),
            queue,
            queue_time: Duration::from_secs(1),
        }
    }

    /// Lists of who is in and how many wait; whoever is let in must fit, and whoever fits is let in.
    #[test]
    fn random_requests_agree_with_naive_lists() {
        for seed in 0..256 {
            let mut rng = Rng::new(seed);
            let mut draw = |most: usize| u32::try_from(rng.below(most)).expect("small");
            let limits = limits(draw(6), draw(4), draw(4));
            let all: Vec<_> = endpoints(3).iter().map(|it| it.id).collect();
            let gate = Arc::new(Gate::default());
            let (mut seats, mut waiting): (Vec<Seat>, Vec<Waiting>) = Default::default();
            for _ in 0..200 {
                let turns = [Turn::New, Turn::Queued, Turn::Woken, Turn::Again];
                let turn = turns[rng.below(4)];
                let mut counts = BTreeMap::<EndpointId, u32>::new();
                seats.iter().for_each(|it| *counts.entry(it.endpoint()).or_default() += 1);
                let has_room = |id: &EndpointId| {
                    let count = counts.get(id).copied().unwrap_or_default();
                    limits.per_endpoint.is_none_or(|most| count < most.get())
                };
                let fits = limits.per_service.is_none_or(|most| seats.len() < most.get() as usize);
                let expected = (fits || turn == Turn::Again)
                    && all.iter().any(has_room)
                    && match turn {
                        Turn::New => waiting.is_empty(),
                        Turn::Queued => waiting.len() <= 1,
                        Turn::Woken | Turn::Again => true,
                    };
                let seat = gate
                    .enter(&limits, turn, |full| all.iter().find(|id| !full.contains(id)).copied());
                assert_eq!(seat.is_some(), expected, "seed {seed}");
                assert!(seat.as_ref().is_none_or(|it| has_room(&it.endpoint())), "seed {seed}");
                seats.extend(seat);
                if rng.below(2) == 0 && !seats.is_empty() {
                    seats.swap_remove(rng.below(seats.len()));
                }
                if rng.below(2) == 0 {
                    waiting.pop();
                } else {
                    let place = gate.queue(&limits);
                    assert_eq!(place.is_some(), waiting.len() < limits.queue as usize);
                    waiting.extend(place);
                }
            }
            drop((seats, waiting));
            let counts = gate.counts();
            assert_eq!((counts.requests, counts.waiting, counts.by_endpoint.len()), (0, 0, 0));
        }
    }
}
