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
    /// Whether endpoints see the client's address.
    keeps_client: bool,
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
        let verdict = frontend.verdict(client, at, &target.backend);
        let endpoints = match verdict {
            Verdict::Forward { set, masquerade: _ } => Ok(target.backend.set(set)),
            Verdict::Reject(reason) | Verdict::Drop(reason) => Err(reason),
        };
        let keeps_client = frontend.keeps_client(verdict);
        Ok(Self { target, endpoints, client, keeps_client, affinity: frontend.affinity() })
    }

    /// An endpoint that was not tried, and passes its checks if there is one: the client's, where
    /// clients stay.
    pub(super) fn pick(
        &self,
        local: &Local,
        tried: &[EndpointId],
        now: Instant,
    ) -> Option<&'a Arc<Endpoint>> {
        let usable = self.endpoints.ok()?;
        let failing = local.health.failing(&self.target.backend, usable);
        if failing.is_empty() {
            return self.pick_among(usable, local, tried, now);
        }
        let well = self.pick_among(usable, local, &[tried, &failing].concat(), now);
        well.or_else(|| self.pick_among(usable, local, tried, now))
    }

    fn pick_among(
        &self,
        usable: &'a [Arc<Endpoint>],
        local: &Local,
        tried: &[EndpointId],
        now: Instant,
    ) -> Option<&'a Arc<Endpoint>> {
        let choose = || pick(usable, tried, &local.loads, &mut local.rng.borrow_mut());
        let Some(timeout) = self.affinity else { return choose() };
        let client = StickyClient { service: &self.target.backend.id, ip: self.client, timeout };
        local.affinity.pick(client, now, usable, tried, choose)
    }

    /// The address that the endpoint is to see, if it is the client's. An endpoint of this node itself,
    /// and the client as its own endpoint, would answer the client past rutter.
    pub(super) fn source(&self, frontend: &Frontend, endpoint: EndpointId) -> Option<IpAddr> {
        let client = self.client.to_canonical();
        let ip = endpoint.ip();
        let is_possible = client != ip
            && client.is_ipv4() == ip.is_ipv4()
            && !frontend.policy.network.is_of_node(ip);
        (self.keeps_client && is_possible).then_some(client)
    }

    /// Why there is nothing to pick from.
    pub(super) fn refusal(&self) -> Reason {
        self.endpoints.err().unwrap_or(Reason::NoReadyEndpoint)
    }
}
