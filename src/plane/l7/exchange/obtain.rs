//! A connection for an attempt: which endpoint, and from where.

use super::timers::Overdue;
use super::{Carrier, Client, Exchange};
use crate::balance::pick;
use crate::observe::RequestRecord;
use crate::plane::l7::upstream::{self, Peer};
use crate::snapshot::{EndpointId, Reason};

impl Exchange {
    /// A connection to an endpoint that was not tried: from the pool, or a new one. `None`: that
    /// one failed, and another attempt is allowed.
    pub(super) async fn obtain(
        &mut self,
        client: &mut impl Client,
        record: &mut RequestRecord,
    ) -> Result<Option<Carrier>, Reason> {
        let server = self.server.clone();
        let local = &server.local;
        let none = self.failed.unwrap_or(Reason::NoReadyEndpoint);
        let endpoint = self.choose().ok_or(none)?;
        record.endpoint = Some(endpoint);
        record.retries = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        self.timers.begin_attempt();
        let in_flight = local.loads.begin(endpoint);
        let peer = Peer::new(endpoint, &self.route.target, &server.local.clients);
        if let Some(connection) = server.pool.take(&peer, !self.verb.is_idempotent()) {
            return Ok(Some(Carrier { connection, in_flight }));
        }
        let connecting = upstream::connect(&server, &self.route.target.backend.id, peer);
        let reason = match self.timers.within(Box::pin(connecting)).await {
            Ok(Ok(connection)) => return Ok(Some(Carrier { connection, in_flight })),
            Ok(Err(reason)) => reason,
            Err(Overdue::Attempt) => Reason::ConnectTimeout,
            Err(Overdue::Request) => return Err(Reason::ResponseTimeout),
        };
        self.retry_elsewhere(client, endpoint, reason).await.map(|()| None)
    }

    /// The endpoint of the client's session, or any that was not tried.
    fn choose(&self) -> Option<EndpointId> {
        let kept = self.route.kept().filter(|kept| !self.tried.contains(kept));
        if kept.is_some() {
            return kept;
        }
        let local = &self.server.local;
        let usable = &self.route.target.backend.usable;
        let picked = pick(usable, &self.tried, &local.loads, &mut local.rng.borrow_mut());
        picked.map(|endpoint| endpoint.id)
    }
}
