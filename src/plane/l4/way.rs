//! The way of one client: a share of the frontend, then an endpoint of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::balance::{StickyClient, pick, pick_weighted};
use crate::plane::Local;
use crate::snapshot::{Endpoint, EndpointId, Frontend, Reason, Target, Verdict};

/// Where a client goes.
#[derive(Debug)]
pub(super) struct Way<'a> {
    pub(super) target: &'a Target,
    /// Those that the policies of the Service leave to this client, or why there are none.
    endpoints: Result<&'a [Arc<Endpoint>], Reason>,
    client: IpAddr,
    affinity: Option<Duration>,
}

impl<'a> Way<'a> {
    /// One of the frontend's backends, by weight, for a client that came to the address `at`.
    pub(super) fn choose(
        local: &Local,
        frontend: &'a Frontend,
        client: IpAddr,
        at: IpAddr,
    ) -> Result<Self, Reason> {
        let picked = pick_weighted(&frontend.shares, &mut local.rng.borrow_mut());
        let (_, share) = picked.ok_or(Reason::NoService)?;
        let target = share.target.as_ref().map_err(|failure| failure.reason)?;
        let endpoints = match frontend.verdict(client, at, &target.backend) {
            Verdict::Forward { set, masquerade: _ } => Ok(target.backend.set(set)),
            Verdict::Reject(reason) | Verdict::Drop(reason) => Err(reason),
        };
        Ok(Self { target, endpoints, client, affinity: frontend.affinity() })
    }

    /// An endpoint that was not tried: the client's, where clients stay.
    pub(super) fn pick(
        &self,
        local: &Local,
        tried: &[EndpointId],
        now: Instant,
    ) -> Option<&'a Arc<Endpoint>> {
        let usable = self.endpoints.ok()?;
        let choose = || pick(usable, tried, &local.loads, &mut local.rng.borrow_mut());
        let Some(timeout) = self.affinity else { return choose() };
        let client = StickyClient { service: &self.target.backend.id, ip: self.client, timeout };
        local.affinity.pick(client, now, usable, tried, choose)
    }

    /// Why there is nothing to pick from.
    pub(super) fn refusal(&self) -> Reason {
        self.endpoints.err().unwrap_or(Reason::NoReadyEndpoint)
    }
}
