//! A connection for an attempt: which endpoint, and from where.

use super::timers::Overdue;
use super::{Carrier, Client, Exchange, Upload};
use crate::balance::Fault;
use crate::life;
use crate::observe::RequestRecord;
use crate::plane::l7::upstream::{self, Peer};
use crate::snapshot::Reason;

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
        let (endpoint, seat) = self.admit(client).await?;
        record.endpoint = Some(endpoint);
        record.retries = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        self.timers.begin_attempt();
        // a client that is slow to send its body says nothing about the endpoint
        self.asked = (self.upload != Upload::Going).then(life::now);
        let in_flight = local.loads.begin_seated(endpoint, seat);
        let header = self.route.proxy_header(record.client);
        let peer = Peer::new(endpoint, &self.route.target, &server.local.clients, header);
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
        self.note_fault(&in_flight, Fault::Connect);
        drop(in_flight);
        Box::pin(self.retry_elsewhere(client, endpoint, reason)).await.map(|()| None)
    }
}
