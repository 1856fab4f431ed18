//! Which endpoints fail the checks of their Service: found out once for the process, known to every
//! worker.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::sync::watch;

use crate::snapshot::{Backend, Endpoint, EndpointCheck, EndpointId};

/// Who fails which check: one that is ill for one Service may be well for another, which asks it
/// something else.
pub type Failures = HashMap<EndpointCheck, BTreeSet<EndpointId>>;

type Failing = Arc<Failures>;

/// Makes the writer and the first reader.
pub fn health() -> (HealthWriter, Health) {
    let (sender, receiver) = watch::channel(Failing::default());
    (HealthWriter(sender), receiver.into())
}

/// The half of whoever checks.
#[derive(Debug)]
pub struct HealthWriter(watch::Sender<Failing>);

impl HealthWriter {
    /// These fail, all others do not.
    pub fn set(&self, failing: Failures) {
        self.0.send_if_modified(|now| {
            let is_new = **now != failing;
            if is_new {
                *now = Arc::new(failing);
            }
            is_new
        });
    }
}

/// The half of a worker: looking costs one load of memory that nobody writes to meanwhile.
#[derive(Debug)]
pub struct Health {
    receiver: RefCell<watch::Receiver<Failing>>,
    known: RefCell<Failing>,
}

impl Health {
    /// The endpoints of `usable` that fail, if the Service has checks. None, if all do: then it is
    /// more likely the check that is wrong.
    pub fn failing(&self, backend: &Backend, usable: &[Arc<Endpoint>]) -> Vec<EndpointId> {
        let Some(check) = &backend.balancing.check else { return Vec::new() };
        let mut receiver = self.receiver.borrow_mut();
        if receiver.has_changed().unwrap_or(false) {
            *self.known.borrow_mut() = receiver.borrow_and_update().clone();
        }
        let known = self.known.borrow();
        let Some(known) = known.get(check) else { return Vec::new() };
        let ids = usable.iter().map(|endpoint| endpoint.id);
        let failing: Vec<_> = ids.filter(|id| known.contains(id)).collect();
        if failing.len() < usable.len() { failing } else { Vec::new() }
    }
}

impl From<watch::Receiver<Failing>> for Health {
    fn from(receiver: watch::Receiver<Failing>) -> Self {
        let known = receiver.borrow().clone();
        Self { receiver: receiver.into(), known: known.into() }
    }
}

impl Clone for Health {
    fn clone(&self) -> Self {
        self.receiver.borrow().clone().into()
    }
}

/// One that nobody writes to: none fails.
impl Default for Health {
    fn default() -> Self {
        health().1
    }
}
