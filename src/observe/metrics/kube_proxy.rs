//! The names that kube-proxy has for what is counted, as its dashboards and alerts ask for them
//! (`kubernetes: pkg/proxy/metrics/metrics.go`, `kubernetes-mixin: dashboards/proxy.libsonnet`).
//!
//! Both families are synced at once, and each is told of it.
//! Deliberately absent: what counts rules of iptables and nftables, entries of conntrack, and changes
//! that are pending: there are none of these here.

use std::collections::BTreeMap;
use std::time::SystemTime;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::coredns::distributions;
use super::{Encoded, Labels, counters, gauges};
use crate::observe::programming::{NETWORK, Probe, ProgrammingCounts, SYNC};
use crate::snapshot::{Exposure, Serve, Snapshot};

/// What a scrape shows.
#[derive(Debug)]
pub(super) struct Shown {
    counts: ProgrammingCounts,
    /// Service ports of which no endpoint is on this node though only such are asked for, by traffic
    /// policy and family.
    without_local: BTreeMap<(&'static str, &'static str), u64>,
}

impl Shown {
    pub(super) fn of(snapshot: &Snapshot, counts: ProgrammingCounts) -> Self {
        let both = ["internal", "external"]
            .into_iter()
            .flat_map(|policy| FAMILIES.map(|family| ((policy, family), 0)));
        let mut without_local: BTreeMap<_, u64> = both.collect();
        for (key, spec) in snapshot.listeners.iter() {
            let Serve::Frontend(frontend) = &spec.serve else { continue };
            let mut backends = frontend.shares.iter().filter_map(|share| share.backend());
            let lacks = backends.any(|it| it.local.is_empty() && !it.usable.is_empty());
            if frontend.policy.is_local && lacks {
                let is_internal = frontend.exposure == Exposure::ClusterIp;
                let policy = if is_internal { "internal" } else { "external" };
                let family = if key.addr.is_ipv4() { "IPv4" } else { "IPv6" };
                *without_local.entry((policy, family)).or_default() += 1;
            }
        }
        Self { counts, without_local }
    }
}

pub(super) fn encode(shown: &Shown, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let counts = &shown.counts;
    let name = "kubeproxy_sync_proxy_rules_duration";
    let series = FAMILIES.map(|family| (of_family(family), &counts.sync));
    let help = "From the beginning of a compilation until every worker has applied it";
    distributions(encoder, name, help, &Unit::Seconds, &SYNC, series.into_iter())?;
    let name = "kubeproxy_network_programming_duration";
    let series = FAMILIES.map(|family| (of_family(family), &counts.network));
    let help = "From when the source told of a change until every worker has applied it";
    distributions(encoder, name, help, &Unit::Seconds, &NETWORK, series.into_iter())?;
    for (name, help, time) in [
        (
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "When a change was last applied",
            counts.applied,
        ),
        (
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "When a change was last published",
            counts.queued,
        ),
    ] {
        let series = FAMILIES.map(|family| (of_family(family), seconds(time)));
        gauges(encoder, name, help, series.into_iter())?;
    }
    let without_local = shown.without_local.iter().map(|((policy, family), count)| {
        let labels =
            vec![("traffic_policy", (*policy).to_owned()), ("ip_family", (*family).to_owned())];
        (labels, *count as f64)
    });
    let help =
        "Addresses of Services that lead to endpoints of this node only, of which there is none";
    gauges(encoder, "kubeproxy_sync_proxy_rules_no_local_endpoints_total", help, without_local)?;
    for (name, probe) in
        [("kubeproxy_proxy_healthz", Probe::Healthz), ("kubeproxy_proxy_livez", Probe::Livez)]
    {
        let answers = counts.probes.iter().filter(|((it, _), _)| *it == probe);
        let answers = answers.map(|((_, code), count)| (vec![("code", code.to_string())], *count));
        counters(encoder, name, "Answers by status", None, answers)?;
    }
    Ok(())
}

fn of_family(family: &'static str) -> Labels<'static> {
    vec![("ip_family", family.to_owned())]
}

fn seconds(time: Option<SystemTime>) -> f64 {
    let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs_f64()
}

const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];
