//! What a Service says about its traffic: how long clients stay.

use std::time::Duration;

use crate::manifest::Code;
use crate::manifest::service::ServiceSpec;

use crate::compile::report::{Findings, Subject};

/// `sessionAffinity: ClientIP` and its time-out, of which one that makes no sense is the default.
pub(super) fn affinity(
    spec: &ServiceSpec,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref().and_then(|it| it.client_ip.as_ref());
    let Some(written) = config.and_then(|it| it.timeout_seconds) else {
        return Some(DEFAULT_TIMEOUT);
    };
    let seconds = u64::try_from(written).ok().filter(|it| (1..=MOST_SECONDS).contains(it));
    if seconds.is_none() {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        let message = format!("{written} is no time-out of affinity: 1 to {MOST_SECONDS}");
        let help = format!("{} is taken, as where nothing is said", DEFAULT_TIMEOUT.as_secs());
        findings.push(subject.error(Code::BadValue, field, message).help(help));
    }
    Some(seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs))
}

/// Three hours, as the API server has it.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10_800);

/// A day.
const MOST_SECONDS: u64 = 86_400;
