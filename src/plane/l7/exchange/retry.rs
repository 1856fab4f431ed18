//! Another attempt: at another endpoint after a failure of the connection, or as the rule says
//! after a response that it does not want (GEP-1731).

use std::time::Duration;

use super::{Exchange, Upload};
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
}

impl Exchange {
    /// Gets ready for another attempt after the connection failed, if the request allows one.
    ///
    /// A request may go elsewhere when no byte of it was sent, when the endpoint says that it did
    /// nothing about it, or when it is idempotent and the connection ended before the first byte of
    /// a response; all of it must still be here. So a POST is never done twice.
    pub(super) async fn fail_attempt(&mut self, error: &UpstreamError) -> Result<(), Reason> {
        let reason = error.reason();
        let Some(carrier) = self.upstream.take() else { return Err(reason) };
        let Connection { peer, reused, .. } = carrier.connection;
        let unanswered = error.is_unanswered() && self.interim == 0;
        let refused = matches!(error, UpstreamError::Refused(_));
        let repeatable = refused || self.verb.is_idempotent() || self.request.is_untouched();
        if !unanswered || !repeatable || !self.request.rewind() {
            return Err(reason);
        }
        self.send_anew();
        let stale = refused || (reused && matches!(error, UpstreamError::NoResponse(_)));
        if stale && self.attempts < MAX_STALE {
            // it was closed while it waited: that says nothing about the endpoint
            self.server.pool.forget(&peer);
            return Ok(());
        }
        self.retry_elsewhere(peer.endpoint, reason).await
    }

    /// Goes on at another endpoint, or as often as the rule says at any.
    pub(super) async fn retry_elsewhere(
        &mut self,
        endpoint: EndpointId,
        reason: Reason,
    ) -> Result<(), Reason> {
        self.tried.push(endpoint);
        self.failed = Some(reason);
        let usable = self.route.target.backend.usable.iter();
        let untried = usable.filter(|it| !self.tried.contains(&it.id)).count() > 0;
        if untried && self.tried.len() < self.server.limits.attempts {
            return Ok(());
        }
        let wait = self.retries.take().ok_or(reason)?;
        self.tried.clear();
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Whether the rule wants another response than this one, and the request can be sent again.
    pub(super) fn is_retried(&self, head: &ResponseHead) -> bool {
        let Retries { policy: Some(policy), left: 1.. } = &self.retries else { return false };
        policy.codes.contains(&head.status) && self.request.is_whole()
    }

    /// Gets ready for the next attempt after a response that is not wanted.
    pub(super) async fn back_off(&mut self) -> Result<(), Reason> {
        // what is left of the response would have to be read: a new connection is cheaper
        self.upstream = None;
        let wait = self.retries.take().unwrap_or_default();
        self.request.rewind();
        self.send_anew();
        tokio::time::sleep(wait).await;
        Ok(())
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
