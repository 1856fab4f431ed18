//! How much is in flight at each endpoint, as one worker counts it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use foldhash::fast::RandomState;

use crate::snapshot::EndpointId;

type Counts = RefCell<HashMap<EndpointId, Rc<Cell<u32>>, RandomState>>;

/// In-flight units of work by endpoint. An endpoint without any takes no memory.
#[derive(Clone, Debug, Default)]
pub struct Loads {
    counts: Rc<Counts>,
}

impl Loads {
    /// Units in flight now.
    pub fn of(&self, endpoint: EndpointId) -> u32 {
        self.counts.borrow().get(&endpoint).map_or(0, |count| count.get())
    }

    /// Counts one unit until the guard is dropped.
    pub fn begin(&self, endpoint: EndpointId) -> InFlight {
        let count = self.counts.borrow_mut().entry(endpoint).or_default().clone();
        count.set(count.get().saturating_add(1));
        InFlight { loads: self.clone(), endpoint, count }
    }
}

/// One unit of work in flight.
#[derive(Debug)]
pub struct InFlight {
    loads: Loads,
    endpoint: EndpointId,
    count: Rc<Cell<u32>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.count.set(self.count.get().saturating_sub(1));
        if self.count.get() == 0 {
            self.loads.counts.borrow_mut().remove(&self.endpoint);
        }
    }
}
