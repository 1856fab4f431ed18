//! What one worker knows of each endpoint: how much is in flight there, how fast it answers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::Seat;
use super::ejection::{Fault, Streak};
use super::latency::Latency;
use crate::snapshot::EndpointId;

type States = RefCell<HashMap<EndpointId, Rc<State>, RandomState>>;

/// What is known by endpoint. One that has nothing in flight and has not answered of late takes no
/// memory.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    states: Rc<States>,
}

#[derive(Debug, Default)]
struct State {
    in_flight: Cell<u32>,
    latency: Cell<Option<Latency>>,
    /// Failures since the last answer, and when the last one was.
    failures: Cell<Option<(Streak, Instant)>>,
}

impl State {
    fn is_blank(&self) -> bool {
        self.in_flight.get() == 0 && self.latency.get().is_none() && self.failures.get().is_none()
    }
}

impl Loads {
    /// Units in flight now.
    pub fn of(&self, endpoint: EndpointId) -> u32 {
        self.states.borrow().get(&endpoint).map_or(0, |state| state.in_flight.get())
    }

    /// How long one more request would take, in nanoseconds: the latency of late for each that is
    /// in flight and for the new one.
    pub(super) fn cost(&self, endpoint: EndpointId, now: Instant) -> f64 {
        let states = self.states.borrow();
        let Some(state) = states.get(&endpoint) else { return Latency::LEAST };
        let latency = state.latency.get().map_or(Latency::LEAST, |latency| latency.at(now));
        latency * (f64::from(state.in_flight.get()) + 1.0)
    }

    /// Counts one unit until the guard is dropped.
    pub fn begin(&self, endpoint: EndpointId) -> InFlight {
        self.begin_seated(endpoint, None)
    }

    /// The same for one that has a seat, which it keeps as long.
    pub fn begin_seated(&self, endpoint: EndpointId, seat: Option<Seat>) -> InFlight {
        let state = self.states.borrow_mut().entry(endpoint).or_default().clone();
        state.in_flight.set(state.in_flight.get().saturating_add(1));
        InFlight { loads: self.clone(), endpoint, state, _seat: seat }
    }

    /// Forgets endpoints of which nothing was heard for so long that it makes no difference.
    pub fn purge(&self, now: Instant) {
        self.states.borrow_mut().retain(|_, state| {
            let latency = state.latency.get().filter(|latency| !latency.is_forgotten(now));
            state.latency.set(latency);
            let is_recent = |at: Instant| now.saturating_duration_since(at) < FORGOTTEN;
            state.failures.set(state.failures.get().filter(|(_, at)| is_recent(*at)));
            !state.is_blank()
        });
    }
}

/// One unit of work in flight.
#[derive(Debug)]
pub struct InFlight {
    loads: Loads,
    endpoint: EndpointId,
    state: Rc<State>,
    _seat: Option<Seat>,
}

impl InFlight {
    /// The endpoint has begun to answer.
    pub fn answered(&self) {
        if self.state.failures.get().is_some() {
            self.state.failures.set(None);
        }
    }

    /// So long after it was asked.
    pub fn observe(&self, latency: Duration, now: Instant) {
        self.state.latency.set(Some(Latency::after(self.state.latency.get(), latency, now)));
    }

    /// The endpoint has failed. `true`: too often in a row; the count begins anew.
    pub fn failed(&self, fault: Fault, now: Instant) -> bool {
        let before = self.state.failures.get().map(|(streak, _)| streak);
        let streak = before.unwrap_or_default().after(fault);
        let is_too_long = streak.is_too_long();
        self.state.failures.set((!is_too_long).then_some((streak, now)));
        is_too_long
    }

    /// Which endpoint.
    pub fn endpoint(&self) -> EndpointId {
        self.endpoint
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.state.in_flight.set(self.state.in_flight.get().saturating_sub(1));
        if self.state.is_blank() {
            self.loads.states.borrow_mut().remove(&self.endpoint);
        }
    }
}

/// Failures that are further apart have nothing to do with each other.
const FORGOTTEN: Duration = Duration::from_secs(100);
