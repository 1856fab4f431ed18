//! An endpoint for the request, once it has room: limits of its Service may let it wait.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Client, Exchange};
use crate::balance::{Choice, Gate, Seat, Turn};
use crate::life;
use crate::plane::Local;
use crate::snapshot::{EndpointId, Reason, RequestLimits};

impl Exchange {
    /// An endpoint that was not tried, and the request's seat there if the Service has limits.
    pub(super) async fn admit(
        &mut self,
        client: &mut impl Client,
    ) -> Result<(EndpointId, Option<Seat>), Reason> {
        let none = self.failed.unwrap_or(Reason::NoReadyEndpoint);
        let backend = self.route.target.backend.clone();
        let Some(limits) = &backend.balancing.limits else {
            return Ok((self.choose(&self.tried).ok_or(none)?, None));
        };
        let gate = self.server.local.gates.of(&backend.id);
        let turn = if self.attempts == 0 { Turn::New } else { Turn::Again };
        let seat = match self.enter(&gate, limits, turn) {
            Some(seat) => seat,
            None if turn == Turn::Again || backend.usable.is_empty() => return Err(none),
            None => Box::pin(self.wait(client, &gate, limits)).await?,
        };
        Ok((seat.endpoint(), Some(seat)))
    }

    /// Waits for a seat, as long as the Service allows.
    async fn wait(
        &mut self,
        client: &mut impl Client,
        gate: &Arc<Gate>,
        limits: &RequestLimits,
    ) -> Result<Seat, Reason> {
        let _place = gate.queue(limits).ok_or(Reason::QueueFull)?;
        let end = Instant::now() + limits.queue_time;
        let (mut turn, mut passed_on) = (Turn::Queued, false);
        loop {
            let freed = gate.freed.notified();
            if let Some(seat) = self.enter(gate, limits, turn) {
                return Ok(seat);
            }
            if turn == Turn::Woken && !std::mem::replace(&mut passed_on, true) {
                // of an older generation, it may not know the endpoint that has room
                gate.freed.notify_one();
            }
            turn = Turn::Woken;
            let freed = tokio::time::timeout_at(end, freed);
            let freed = self.unless_over(client, Box::pin(freed)).await?;
            freed.map_err(|_| Reason::QueueTimeout)?;
        }
    }

    fn enter(&self, gate: &Arc<Gate>, limits: &RequestLimits, turn: Turn) -> Option<Seat> {
        gate.enter(limits, turn, |full| self.choose(&[&self.tried, full].concat()))
    }

    /// The endpoint of the client's session, or any other that is not among these.
    fn choose(&self, passed: &[EndpointId]) -> Option<EndpointId> {
        let (server, backend) = (&self.server, &self.route.target.backend);
        let Local { loads, rng, health, .. } = &*server.local;
        let failing = &health.failing(backend, &backend.usable);
        let is_open = |kept: &EndpointId| !passed.contains(kept) && !failing.contains(kept);
        if let Some(kept) = self.route.kept().filter(is_open) {
            return Some(kept);
        }
        let (hash, now) = (self.route.hash(), life::now());
        let choice = Choice { backend, tried: passed, failing, hash, now };
        let chosen = server.balancer.choose(choice, loads, &mut rng.borrow_mut());
        chosen.map(|endpoint| endpoint.id)
    }
}
