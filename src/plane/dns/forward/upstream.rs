//! What is known of one upstream.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::connections::Connections;
use crate::snapshot;

/// An upstream of one domain, and how it does.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) at: snapshot::Upstream,
    /// As the configuration writes it: for the log and metrics.
    pub(super) label: Arc<str>,
    /// Empty, or a stub domain.
    pub(super) domain: Box<str>,
    pub(super) connections: Connections,
    /// Queries that wait now.
    in_flight: Cell<usize>,
    failures: Cell<u32>,
    is_loop: Cell<bool>,
    is_retired: Cell<bool>,
}

impl Upstream {
    pub(super) fn new(at: &snapshot::Upstream, domain: &str, connections: Connections) -> Self {
        Self {
            at: at.clone(),
            label: at.to_string().into(),
            domain: domain.into(),
            connections,
            in_flight: Cell::new(0),
            failures: Cell::new(0),
            is_loop: Cell::new(false),
            is_retired: Cell::new(false),
        }
    }

    /// A place for a query, if fewer than `limit` wait.
    pub(super) fn take_place(self: &Rc<Self>, limit: usize) -> Option<Place> {
        let waiting = self.in_flight.get();
        (waiting < limit).then(|| {
            self.in_flight.set(waiting + 1);
            Place { upstream: self.clone() }
        })
    }

    /// Whether it is asked only if no other is left.
    pub(super) fn is_down(&self) -> bool {
        self.failures.get() >= FAILURES
    }

    /// Whether it asks us what we ask it.
    pub(super) fn is_loop(&self) -> bool {
        self.is_loop.get()
    }

    /// Whether it is no longer configured: nobody needs to know how it does.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.get()
    }

    /// It is no longer configured. Who waits for it still gets an answer.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.connections.retire();
    }

    /// It has answered, whatever it was.
    pub(super) fn note_answer(&self) {
        self.failures.set(0);
    }

    /// It has not answered; `true`: this is what makes it count as down.
    pub(super) fn note_failure(&self) -> bool {
        let was_down = self.is_down();
        self.failures.set(self.failures.get().saturating_add(1));
        self.is_down() && !was_down
    }

    /// Whether it loops; `true`: that is new.
    pub(super) fn note_loop(&self, is_loop: bool) -> bool {
        self.is_loop.replace(is_loop) != is_loop
    }
}

/// The place of one query at an upstream; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    upstream: Rc<Upstream>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.upstream.in_flight.set(self.upstream.in_flight.get().saturating_sub(1));
    }
}

/// Failures in a row that make an upstream count as down, as by CoreDNS.
const FAILURES: u32 = 2;
