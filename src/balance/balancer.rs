//! Which endpoint gets a request, by the algorithm of its Service.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::ejection::Ejections;
use super::maglev::Maglev;
use super::newcomers::Newcomers;
use super::{Loads, Rng, random_open, two_choices};
use crate::snapshot::{Algorithm, Backend, BackendId, Endpoint, EndpointId, Snapshot};

/// What is chosen from, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Choice<'a> {
    /// The endpoints and the algorithm.
    pub backend: &'a Arc<Backend>,
    /// Endpoints that are passed over: they failed for this request.
    pub tried: &'a [EndpointId],
    /// Endpoints that fail their checks: passed over as long as there are others.
    pub failing: &'a [EndpointId],
    /// What requests are alike by, if the algorithm goes by it and the request has it.
    pub hash: Option<u64>,
    /// The time.
    pub now: Instant,
}

/// What one worker remembers of the backends that it chose from.
#[derive(Debug, Default)]
pub struct Balancer {
    known: RefCell<HashMap<BackendId, Rc<Known>, RandomState>>,
    ejections: Ejections,
}

/// A backend, as it was when it was chosen from last.
#[derive(Debug)]
struct Known {
    backend: Arc<Backend>,
    memory: RefCell<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    newcomers: Newcomers,
    /// Where the next round goes on.
    next: usize,
    /// Made when it is needed.
    table: Option<Maglev>,
}

impl Balancer {
    /// An endpoint that was not tried, one that is not ejected if there is one. `None`: there is
    /// none.
    pub fn choose<'a>(
        &self,
        choice: Choice<'a>,
        loads: &Loads,
        rng: &mut Rng,
    ) -> Option<&'a Arc<Endpoint>> {
        let known = self.known(choice.backend, choice.now);
        let mut memory = known.memory.borrow_mut();
        memory.newcomers.settle(choice.now);
        let avoided = self.avoided(choice, &mut memory.newcomers);
        let spared = memory.spared(choice, rng);
        let is_untried = |id: EndpointId| !choice.tried.contains(&id);
        let is_good = |id: EndpointId| is_untried(id) && !avoided.contains(&id);
        let is_best = |id: EndpointId| is_good(id) && !spared.contains(&id);
        let best = memory.choose(choice, is_best, loads, rng);
        if best.is_some() || (avoided.is_empty() && spared.is_empty()) {
            return best;
        }
        let good = memory.choose(choice, is_good, loads, rng);
        good.or_else(|| memory.choose(choice, is_untried, loads, rng))
    }

    /// Those that fail or are ejected. One that comes back starts slowly.
    fn avoided(&self, choice: Choice<'_>, newcomers: &mut Newcomers) -> Vec<EndpointId> {
        if self.ejections.is_empty() {
            return choice.failing.to_vec();
        }
        let Choice { backend, now, .. } = choice;
        let slow_start = backend.balancing.slow_start;
        let back = |id| newcomers.begin(id, slow_start, now);
        let mut avoided = self.ejections.out_of(&backend.usable, now, back);
        avoided.extend(choice.failing);
        avoided
    }

    /// Passes over an endpoint that has failed too often: for how long. `None`: too many are passed
    /// over already.
    pub fn eject(
        &self,
        endpoint: EndpointId,
        backend: &Backend,
        now: Instant,
        rng: &mut Rng,
    ) -> Option<Duration> {
        self.ejections.eject(endpoint, &backend.usable, now, rng)
    }

    /// Forgets what was long ago.
    pub fn tidy(&self, now: Instant) {
        self.ejections.purge(now);
    }

    /// Forgets backends that are gone.
    pub fn purge(&self, snapshot: &Snapshot) {
        self.known.borrow_mut().retain(|id, _| snapshot.backends.contains_key(id));
    }

    fn known(&self, backend: &Arc<Backend>, now: Instant) -> Rc<Known> {
        let mut known = self.known.borrow_mut();
        let before = known.get(&backend.id);
        if let Some(known) = before.filter(|it| Arc::ptr_eq(&it.backend, backend)) {
            return known.clone();
        }
        let memory = before.map(|before| before.memory_for(backend, now)).unwrap_or_default();
        let now = Rc::new(Known { backend: backend.clone(), memory: memory.into() });
        known.insert(backend.id.clone(), now.clone());
        now
    }
}

impl Known {
    /// What is remembered of it once it has become `next`.
    fn memory_for(&self, next: &Backend, now: Instant) -> Memory {
        let mut memory = self.memory.take();
        if ids(&self.backend).ne(ids(next)) {
            memory.table = None;
            let slow_start = next.balancing.slow_start;
            memory.newcomers.meet(&self.backend.usable, &next.usable, slow_start, now);
        }
        memory
    }
}

fn ids(backend: &Backend) -> impl Iterator<Item = EndpointId> {
    backend.usable.iter().map(|endpoint| endpoint.id)
}

impl Memory {
    /// The newcomers that are passed over this time. By a hash they get their keys at once: a key
    /// that wavered between two endpoints would be worse.
    fn spared(
        &self,
        Choice { backend, hash, now, .. }: Choice<'_>,
        rng: &mut Rng,
    ) -> Vec<EndpointId> {
        let is_hashed = matches!(backend.balancing.algorithm, Algorithm::Maglev(_));
        if is_hashed && hash.is_some() { Vec::new() } else { self.newcomers.spared(now, rng) }
    }

    fn choose<'a>(
        &mut self,
        choice: Choice<'a>,
        is_open: impl Fn(EndpointId) -> bool,
        loads: &Loads,
        rng: &mut Rng,
    ) -> Option<&'a Arc<Endpoint>> {
        let Choice { backend, hash, now, .. } = choice;
        let usable = &backend.usable;
        match (&backend.balancing.algorithm, hash) {
            (Algorithm::PeakEwma, _) | (Algorithm::Maglev(_), None) => {
                two_choices(usable, is_open, |id| loads.cost(id, now), rng)
            }
            (Algorithm::LeastRequest, _) => two_choices(usable, is_open, |id| loads.of(id), rng),
            (Algorithm::Random, _) => random_open(usable, is_open, rng),
            (Algorithm::RoundRobin, _) => {
                let start = self.next.checked_rem(usable.len())?;
                let (place, endpoint) = next_open(usable, start, is_open)?;
                self.next = place.wrapping_add(1);
                Some(endpoint)
            }
            (Algorithm::Maglev(_), Some(hash)) => {
                let table = self
                    .table
                    .get_or_insert_with(|| Maglev::new(&ids(backend).collect::<Vec<_>>()));
                by_hash(usable, table, hash, is_open)
            }
        }
    }
}

/// The first from `start` on, in a circle, that is open, and its place.
fn next_open(
    usable: &[Arc<Endpoint>],
    start: usize,
    is_open: impl Fn(EndpointId) -> bool,
) -> Option<(usize, &Arc<Endpoint>)> {
    let (before, after) = usable.split_at_checked(start)?;
    let (before, after) = ((0..).zip(before), (start..).zip(after));
    after.chain(before).find(|(_, endpoint)| is_open(endpoint.id))
}

/// That of the hash, or one that the hash leads to next: the keys of an endpoint that is not open
/// are spread over all others.
fn by_hash<'a>(
    usable: &'a [Arc<Endpoint>],
    table: &Maglev,
    hash: u64,
    is_open: impl Fn(EndpointId) -> bool,
) -> Option<&'a Arc<Endpoint>> {
    let mut attempts = (0..ATTEMPTS).filter_map(|attempt| usable.get(table.place(hash, attempt)?));
    let is_open = |endpoint: &&'a Arc<Endpoint>| is_open(endpoint.id);
    attempts.find(is_open).or_else(|| usable.iter().find(is_open))
}

/// Of a table half of whose endpoints are closed, all of them lead nowhere once in sixty-five
/// thousand times.
const ATTEMPTS: u64 = 16;

#[cfg(test)]
mod tests;
