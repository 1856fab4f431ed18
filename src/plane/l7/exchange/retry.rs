//! Another attempt: at another endpoint after a failure of the connection, or as the rule says
//! after a response that it does not want (GEP-1731).
//!
//! A rule that says nothing about retries gets what harms nobody: another endpoint when one
//! cannot be connected to, and for idempotent requests when it closed the connection without a
//! word. A rule with retries counts whatever may have reached an endpoint, and waits its back-off
//! before each; only connections that never were are free.
//!
//! The budget of a Service (GEP-3388) counts what is sent to it again. It does not count failed
//! connects, since nothing was sent, nor a kept connection that had died while it waited.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::{Client, Exchange, Upload};
use crate::plane::l7::h1::ResponseHead;
use crate::plane::l7::upstream::{Connection, UpstreamError};
use crate::snapshot::{EndpointId, Reason, Retry};

/// What is left of the retries that a rule allows.
#[derive(Debug, Default)]
pub(super) struct Retries {
    policy: Option<Retry>,
    left: u32,
}

impl Retries {
    pub(in crate::plane::l7) fn new(policy: Option<&Retry>) -> Self {
        let left = policy.map_or(0, |policy| policy.attempts);
        Self { policy: policy.cloned(), left }
    }

    /// Uses one up: how long to wait before it.
    fn take(&mut self) -> Option<Duration> {
        let policy = self.policy.as_ref()?;
        self.left = self.left.checked_sub(1)?;
        Some(policy.backoff)
    }

    /// Why a request failed whose last attempt failed for `reason`.
    fn verdict(&self, reason: Reason) -> Reason {
        let lost = matches!(reason, Reason::ConnectRefused | Reason::UpstreamReset);
        if lost && self.policy.is_some() { Reason::RetriesExhausted } else { reason }
    }
}

impl Exchange {
    /// Gets ready for another attempt after the connection failed, if the request allows one.
    ///
    /// A request may go elsewhere when no byte of it was sent, when the endpoint says that it did
    /// nothing about it, or when it is idempotent and the connection ended before the first byte of
    /// a response (or, if the rule has retries, none came in time); all of it must still be here.
    /// So a POST is never done twice, unless the rule asks for it by a status (RFC 9110 section
    /// 9.2.2).
    pub(super) async fn fail_attempt(
        &mut self,
        client: &mut impl Client,
        error: &UpstreamError,
    ) -> Result<(), Reason> {
        let reason = error.reason();
        let Some(carrier) = self.upstream.take() else { return Err(reason) };
        let Connection { peer, reused, .. } = carrier.connection;
        if !self.is_repeatable(error) || !self.request.rewind() {
            return Err(reason);
        }
        self.send_anew();
        let refused = matches!(error, UpstreamError::Refused(_));
        let stale = refused || (reused && matches!(error, UpstreamError::NoResponse(_)));
        if stale {
            // it was closed while it waited: that says nothing about the endpoint
            self.server.pool.forget(&peer);
        }
        let has_policy = self.retries.policy.is_some();
        if stale && (refused || !has_policy) && self.attempts < MAX_STALE {
            return Ok(());
        }
        if has_policy {
            self.tried.push(peer.endpoint);
            return self.retry(client, reason).await;
        }
        self.retry_elsewhere(client, peer.endpoint, reason).await?;
        self.spend_budget()
    }

    fn is_repeatable(&self, error: &UpstreamError) -> bool {
        let silent = matches!(error, UpstreamError::Silent) && self.retries.policy.is_some();
        let refused = matches!(error, UpstreamError::Refused(_));
        let repeatable = refused || self.verb.is_idempotent() || self.request.is_untouched();
        (error.is_unanswered() || silent) && repeatable && self.interim == 0
    }

    /// Goes on at another endpoint, or as often as the rule says at any.
    pub(super) async fn retry_elsewhere(
        &mut self,
        client: &mut impl Client,
        endpoint: EndpointId,
        reason: Reason,
    ) -> Result<(), Reason> {
        self.tried.push(endpoint);
        self.failed = Some(reason);
        if self.has_untried() && self.tried.len() < self.server.local.limits.attempts {
            return Ok(());
        }
        self.retry(client, reason).await
    }

    /// One of the further attempts that the rule allows, preferably at another endpoint.
    async fn retry(&mut self, client: &mut impl Client, reason: Reason) -> Result<(), Reason> {
        let wait = self.retries.take().ok_or_else(|| self.retries.verdict(reason))?;
        self.failed = Some(reason);
        self.spend_budget()?;
        if !self.has_untried() {
            self.tried.clear();
        }
        self.unless_over(client, Box::pin(tokio::time::sleep(wait))).await
    }

    fn has_untried(&self) -> bool {
        self.route.target.backend.usable.iter().any(|it| !self.tried.contains(&it.id))
    }

    /// Whether the rule wants another response than this one, and the request can be sent again.
    pub(super) fn is_retried(&self, head: &ResponseHead) -> bool {
        let Retries { policy: Some(policy), left: 1.. } = &self.retries else { return false };
        policy.codes.contains(&head.status) && !head.is_interim() && self.request.is_whole()
    }

    /// Gets ready for the next attempt after a response that is not wanted.
    pub(super) async fn back_off(&mut self, client: &mut impl Client) -> Result<(), Reason> {
        // what is left of the response would have to be read: a new connection is cheaper
        let carrier = self.upstream.take();
        self.request.rewind();
        self.send_anew();
        // a session stays with its endpoint, even with one that says 503
        let endpoint = carrier.map(|it| it.connection.peer.endpoint);
        self.tried.extend(endpoint.filter(|it| self.route.kept() != Some(*it)));
        self.retry(client, Reason::UpstreamReset).await
    }

    /// Counts what is sent again, if the Service takes it.
    fn spend_budget(&self) -> Result<(), Reason> {
        let Some(budget) = self.route.retry_budget() else { return Ok(()) };
        let (budgets, backend) = (&self.server.budgets, &self.route.target.backend.id);
        let allowed = budgets.take_retry(backend, budget, Instant::now());
        if allowed { Ok(()) } else { Err(Reason::RetryBudgetExhausted) }
    }

    /// What `future` gives, unless the request is over before: it has taken too long, or the
    /// client is gone.
    pub(in crate::plane::l7) async fn unless_over<F: Future + Unpin>(
        &mut self,
        client: &mut impl Client,
        mut future: F,
    ) -> Result<F::Output, Reason> {
        std::future::poll_fn(|cx| {
            if let Poll::Ready(value) = Pin::new(&mut future).poll(cx) {
                return Poll::Ready(Ok(value));
            }
            if self.timers.poll_request(cx).is_ready() {
                return Poll::Ready(Err(Reason::ResponseTimeout));
            }
            if self.upload != Upload::Going && client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Reason::ClientClosed));
            }
            self.poll_shed(cx, client, 0).map(|()| Err(Reason::Overloaded))
        })
        .await
    }

    /// The request is sent from its beginning again.
    fn send_anew(&mut self) {
        self.upload = match self.upload {
            Upload::Going | Upload::Refused { gathered: false } => Upload::Going,
            Upload::Gathered | Upload::Done | Upload::Refused { gathered: true } => {
                Upload::Gathered
            }
        };
    }
}

/// Attempts after which a connection that was closed while it waited counts like any other: then
/// the endpoint closes them all.
const MAX_STALE: u32 = 4;
