//! Whether upstreams answer, and whether one leads back here.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::exchange::{ExchangeError, exchange};
use super::forwarder::Forwarder;
use super::query::Asked;
use super::reply::Reply;
use super::upstream::Upstream;
use crate::life::spawn_local;

impl Forwarder {
    /// Asks one upstream, for as long as it may take.
    pub(super) async fn exchange(
        &self,
        upstream: &Upstream,
        asked: &Asked,
    ) -> Result<Reply, ExchangeError> {
        let told = timeout(self.limits.attempt, exchange(upstream, asked)).await;
        told.unwrap_or(Err(ExchangeError::Timeout))
    }

    /// An upstream that has not answered twice in a row is down: clients do not wait for it, and a
    /// task asks it until it answers again.
    pub(super) fn note_failure(self: &Rc<Self>, upstream: &Rc<Upstream>, error: &ExchangeError) {
        if matches!(error, ExchangeError::NoSocket(_)) {
            return tracing::warn!(%error, "cannot ask a DNS upstream");
        }
        if upstream.note_failure() {
            tracing::warn!(upstream = %upstream.label, %error, "a DNS upstream does not answer");
            spawn_local("dns probe", self.clone().probe(upstream.clone()));
        }
    }

    /// Asks an upstream that is down until it answers; then it may be another one that leads back.
    async fn probe(self: Rc<Self>, upstream: Rc<Upstream>) {
        let root =
            Asked { name: vec![0], query_type: NS, dnssec_ok: false, checking_disabled: false };
        let mut pause = FIRST_PAUSE;
        while upstream.is_down() {
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
            if upstream.is_retired() {
                return;
            }
            if self.exchange(&upstream, &root).await.is_ok() {
                upstream.note_answer();
            } else {
                self.observer.count_forward(|counts| {
                    counts.upstream(&upstream.label).healthcheck_failures += 1;
                });
            }
        }
        tracing::info!(upstream = %upstream.label, "a DNS upstream answers again");
        self.watch_for_loop(upstream).await;
    }

    /// Finds out whether an upstream leads back here, and if so, when it no longer does.
    pub(super) async fn watch_for_loop(self: Rc<Self>, upstream: Rc<Upstream>) {
        loop {
            let question = self.identity.question(&upstream.domain);
            let told = self.exchange(&upstream, &question).await;
            let is_loop = told.is_ok_and(|reply| self.identity.has_answered(&reply));
            if upstream.note_loop(is_loop) {
                let label = &upstream.label;
                if is_loop {
                    tracing::warn!(upstream = %label, "a DNS upstream asks this rutter: not used");
                } else {
                    tracing::info!(upstream = %label, "a DNS upstream no longer asks this rutter");
                }
            }
            if !is_loop || upstream.is_retired() {
                return;
            }
            sleep(LOOP_PAUSE).await;
        }
    }
}

/// Between probes of an upstream that is down; each twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);
/// Between looks at an upstream that leads back.
const LOOP_PAUSE: Duration = Duration::from_secs(30);

const NS: u16 = 2;
