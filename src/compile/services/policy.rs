//! What a Service says about its traffic: how long clients stay, which endpoints they get, who may
//! come at all.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::manifest::Code;
use crate::manifest::service::ServiceSpec;
use crate::snapshot::{Exposure, Policy};

use super::Exposed;
use crate::compile::address::Family;
use crate::compile::report::{Findings, Subject};
use crate::compile::settings::Settings;

/// The policies of a Service whose values make sense.
#[derive(Clone, Debug, Default)]
pub(in crate::compile) struct CheckedPolicy {
    affinity: Option<Duration>,
    /// `internalTrafficPolicy: Local`.
    internal_local: bool,
    /// `externalTrafficPolicy: Local`, where there is an address for the outside.
    pub(super) external_local: bool,
    /// `loadBalancerSourceRanges`, of both families; `None` where nothing is said.
    sources: Option<Vec<IpNet>>,
}

impl CheckedPolicy {
    pub(super) fn parse(
        spec: &ServiceSpec,
        exposed: Exposed,
        settings: &Settings,
        subject: Subject<'_>,
        findings: &mut Findings,
    ) -> Self {
        let is_local = |policy: &Option<Arc<str>>| policy.as_deref() == Some("Local");
        let has_external_ips = settings.external_ips && !spec.external_ips.is_empty();
        let is_outside = exposed >= Exposed::NodePort || has_external_ips;
        let ranges = &spec.load_balancer_source_ranges;
        Self {
            affinity: affinity(spec, subject, findings),
            internal_local: is_local(&spec.internal_traffic_policy),
            external_local: is_outside && is_local(&spec.external_traffic_policy),
            sources: (!ranges.is_empty())
                .then(|| ranges.iter().filter_map(|it| it.trim().parse().ok()).collect()),
        }
    }

    /// Whether some address leads to the endpoints of this node only.
    pub(in crate::compile) fn asks_for_local(&self) -> bool {
        self.internal_local || self.external_local
    }

    /// Whether all that one client sends to the virtual address goes to some endpoints only.
    pub(super) fn keeps_clients(&self) -> bool {
        self.internal_local || self.affinity.is_some()
    }

    /// What is said about the traffic to one address; `silent` where nothing is.
    pub(in crate::compile) fn at(
        &self,
        exposure: Exposure,
        ip: IpAddr,
        settings: &Settings,
        silent: &Arc<Policy>,
    ) -> Arc<Policy> {
        let is_local = match exposure {
            Exposure::ClusterIp => self.internal_local,
            Exposure::NodePort | Exposure::LoadBalancer | Exposure::ExternalIp => {
                self.external_local
            }
            Exposure::Gateway => false,
        };
        let sources = self.sources.as_ref().filter(|_| exposure == Exposure::LoadBalancer);
        let sources = sources.and_then(|sources| sources_of(sources, ip, &settings.node_ips));
        let network = silent.network.clone();
        let policy = Policy { affinity: self.affinity, is_local, sources, network };
        if policy.is_silent() { silent.clone() } else { Arc::new(policy) }
    }
}

/// The ranges of the address's family; `None`: everybody may come. If the node is within a range,
/// it may come by the load balancer's address as well, which it has itself. A list in which
/// nothing can be read lets nobody in: whoever wrote it wanted a limit.
fn sources_of(written: &[IpNet], ip: IpAddr, node_ips: &[IpAddr]) -> Option<Vec<IpNet>> {
    let is_same = |net: &&IpNet| Family::of(net.addr()) == Family::of(ip);
    let mut sources: Vec<IpNet> = written.iter().filter(is_same).copied().collect();
    let is_for_other_family = sources.is_empty() && !written.is_empty();
    if is_for_other_family || sources.iter().any(|net| net.prefix_len() == 0) {
        return None;
    }
    if node_ips.iter().any(|own| sources.iter().any(|net| net.contains(own))) {
        sources.push(ip.into());
    }
    Some(sources)
}

/// `sessionAffinity: ClientIP` and its time-out, of which one that makes no sense is the default.
fn affinity(spec: &ServiceSpec, subject: Subject<'_>, findings: &mut Findings) -> Option<Duration> {
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
