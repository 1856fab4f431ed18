//! A question that is under way to upstreams: whoever has the same waits for its answer.

use std::rc::Rc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Forwarder;
use crate::plane::dns::forward::answer::{Age, Answer, Failure};
use crate::plane::dns::forward::reply::Reply;

pub(super) type Outcome = Result<Rc<Reply>, Failure>;
pub(super) type Flight = watch::Receiver<Option<Outcome>>;

/// Waits for the answer.
pub(super) async fn land(mut flight: Flight) -> Result<Answer, Failure> {
    // without a sender its task has panicked
    let landed = flight.wait_for(Option::is_some).await.map_err(|_| Failure::Unreachable)?;
    let reply = landed.clone().unwrap_or(Err(Failure::Unreachable))?;
    Ok(Answer { reply, age: Age::Seconds(0) })
}

/// Ends a flight, also by a panic.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) forwarder: Rc<Forwarder>,
    /// That of the forwarder when it was asked.
    pub(super) epoch: u64,
    pub(super) key: Box<[u8]>,
}

impl Landing {
    /// Whether what it brings is still of the upstreams of now.
    fn is_current(&self) -> bool {
        self.forwarder.epoch.get() == self.epoch
    }

    pub(super) fn remember(&self, reply: &Rc<Reply>) {
        if self.is_current() {
            let mut cache = self.forwarder.cache.borrow_mut();
            cache.insert(self.key.clone(), reply.clone(), Instant::now());
        }
        self.forwarder.count_cache(|_| ());
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if self.is_current() {
            self.forwarder.flights.borrow_mut().remove(&self.key);
        }
    }
}
