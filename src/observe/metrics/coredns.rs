//! The names that CoreDNS has for what is counted, as its dashboards and alerts ask for them
//! (`coredns: plugin/*/README.md`).
//!
//! Deliberately absent: `coredns_kubernetes_dns_programming_duration_seconds` and
//! `coredns_kubernetes_rest_client_*`, which are about watches of an API server.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::{Encoded, Gauges, Labels, counters, gauges, histograms, sentence};
use crate::observe::coredns::{CorednsCounts, Distribution, SIZES, TIMES, ZoneCounts};
use crate::observe::forward::{ByKind, ForwardCounts, UpstreamCounts, UpstreamFailure};
use crate::observe::shard::Shard;
use crate::snapshot::{Transport, Zone};

/// The plugins that CoreDNS would have, by zone; and how many names its hosts would.
#[derive(Debug)]
pub(super) struct Enabled {
    plugins: Vec<(String, &'static str)>,
    hosts: usize,
}

impl Enabled {
    pub(super) fn of(zone: &Zone) -> Self {
        let always = ["errors", "health", "kubernetes", "loop", "prometheus", "ready", "reload"];
        let mut plugins: Vec<_> = always.map(|name| (label(""), name)).into();
        if !zone.hosts.is_empty() {
            plugins.push((label(""), "hosts"));
        }
        let rewrites = zone.rewrites.blocks.iter().filter(|(_, rules)| !rules.is_empty());
        plugins.extend(rewrites.map(|(block, _)| (label(block), "rewrite")));
        for route in zone.forward.routes() {
            plugins.push((label(route.domain), "forward"));
            if zone.forward.cache_of(route.domain).positive_max > 0 {
                plugins.push((label(route.domain), "cache"));
            }
        }
        Self { plugins, hosts: zone.hosts.len() }
    }
}

pub(super) fn encode(
    counted: &Shard,
    enabled: &Enabled,
    gauges: &Gauges,
    encoder: &mut DescriptorEncoder<'_>,
) -> Encoded {
    encode_process(enabled, gauges, encoder)?;
    encode_requests(&counted.coredns, encoder)?;
    encode_sizes(&counted.coredns, encoder)?;
    encode_cache(&counted.forward, encoder)?;
    encode_forward(&counted.forward, encoder)
}

fn encode_process(
    enabled: &Enabled,
    gauges: &Gauges,
    encoder: &mut DescriptorEncoder<'_>,
) -> Encoded {
    let version = format!("rutter-{}", env!("CARGO_PKG_VERSION"));
    let build = [("version", version), ("revision", String::new()), ("goversion", String::new())];
    let build = [(Labels::from(build), 1.0)].into_iter();
    self::gauges(encoder, "coredns_build_info", "The version", build)?;
    let plugins = enabled
        .plugins
        .iter()
        .map(|(zone, name)| (in_zone(zone, [("name", (*name).to_owned())]), 1.0));
    self::gauges(encoder, "coredns_plugin_enabled", "What is enabled", plugins)?;
    let hosts = [(Labels::new(), enabled.hosts as f64)].into_iter();
    self::gauges(encoder, "coredns_hosts_entries", "Names of hosts", hosts)?;
    let rows = [
        ("coredns_panics", "Tasks that panicked", crate::life::task_panics()),
        ("coredns_reload_failed", "Corefiles that cannot be read", gauges.corefile_failures),
        // rutter does not ask itself whether it is there
        ("coredns_health_request_failures", "Failed health checks", 0),
    ];
    rows.into_iter().try_for_each(|(name, help, value)| {
        counters(encoder, name, help, None, [(Labels::new(), value)].into_iter())
    })
}

/// A server block as CoreDNS names its zone.
fn label(zone: &str) -> String {
    format!("{zone}.")
}

/// The labels that every metric of a server block has, in front of others.
fn in_zone<const MORE: usize>(zone: &str, more: [(&'static str, String); MORE]) -> Labels<'static> {
    let server = ("server", SERVER.to_owned());
    let block = [server, ("zone", zone.to_owned()), ("view", String::new())];
    block.into_iter().chain(more).collect()
}

fn by_zone(counts: &CorednsCounts) -> BTreeMap<String, &ZoneCounts> {
    counts.zones.iter().map(|(zone, counts)| (label(zone), counts)).collect()
}

fn encode_requests(counts: &CorednsCounts, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let zones = by_zone(counts);
    let requests = zones.iter().flat_map(|(zone, counts)| {
        let requests: BTreeMap<_, _> = counts.requests.iter().collect();
        requests.into_iter().map(move |((transport, is_ipv6, query_type), count)| {
            let family = if *is_ipv6 { "2" } else { "1" };
            let labels = [
                ("proto", proto(*transport).to_owned()),
                ("family", family.to_owned()),
                ("type", query_type.as_str().to_owned()),
            ];
            (in_zone(zone, labels), *count)
        })
    });
    counters(encoder, "coredns_dns_requests", "DNS queries", None, requests)?;
    let wanted = zones.iter().map(|(zone, counts)| (in_zone(zone, []), counts.dnssec_requests));
    counters(encoder, "coredns_dns_do_requests", "DNS queries with the DO bit", None, wanted)?;
    let responses = zones.iter().flat_map(|(zone, counts)| {
        let responses: BTreeMap<_, _> = counts.responses.iter().collect();
        responses.into_iter().map(move |((rcode, plugin), count)| {
            let labels = [("rcode", (*rcode).to_owned()), ("plugin", (*plugin).to_owned())];
            (in_zone(zone, labels), *count)
        })
    });
    counters(encoder, "coredns_dns_responses", "DNS answers", None, responses)?;
    let times = zones.iter().map(|(zone, counts)| (in_zone(zone, []), &counts.time));
    let (name, help) = ("coredns_dns_request_duration", "Time to the answer");
    distributions(encoder, name, help, &Unit::Seconds, &TIMES, times)
}

fn encode_sizes(counts: &CorednsCounts, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let zones = by_zone(counts);
    let sizes = |of: fn(&ZoneCounts, Transport) -> Option<&Distribution<14>>| {
        let each = zones.iter().flat_map(move |(zone, counts)| {
            [Transport::Tcp, Transport::Udp].into_iter().filter_map(move |transport| {
                let labels = in_zone(zone, [("proto", proto(transport).to_owned())]);
                Some((labels, of(counts, transport)?))
            })
        });
        each.collect::<Vec<_>>()
    };
    let requests = sizes(|counts, transport| counts.request_size.get(&transport));
    let (name, help) = ("coredns_dns_request_size", "Length of DNS queries");
    distributions(encoder, name, help, &Unit::Bytes, &SIZES, requests.into_iter())?;
    let responses = sizes(|counts, transport| counts.response_size.get(&transport));
    let (name, help) = ("coredns_dns_response_size", "Length of DNS answers");
    distributions(encoder, name, help, &Unit::Bytes, &SIZES, responses.into_iter())
}

fn proto(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// There is one cache, which CoreDNS would have in the block of the root.
fn encode_cache(counts: &ForwardCounts, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let cache = &counts.cache;
    let labels = |kind: Option<&str>| {
        let kind = kind.map(|kind| ("type", kind.to_owned()));
        let server = ("server", SERVER.to_owned());
        let rest = [("zones", ".".to_owned()), ("view", String::new())];
        [server].into_iter().chain(kind).chain(rest).collect::<Labels<'_>>()
    };
    let by_kind = |counts: ByKind| {
        let kinds = [("success", counts.success), ("denial", counts.denial)];
        kinds.map(|(kind, count)| (labels(Some(kind)), count)).into_iter()
    };
    let entries = by_kind(cache.entries).map(|(labels, count)| (labels, count as f64));
    gauges(encoder, "coredns_cache_entries", "Answers in the cache", entries)?;
    counters(encoder, "coredns_cache_hits", "Questions answered", None, by_kind(cache.hits))?;
    let evictions = by_kind(cache.evictions);
    counters(encoder, "coredns_cache_evictions", "Answers forgotten", None, evictions)?;
    let hits = cache.hits.success + cache.hits.denial;
    let upstreams = counts.upstreams.values();
    let drops = upstreams.filter_map(|it| it.failures.get(&UpstreamFailure::Invalid)).sum();
    let rows = [
        ("coredns_cache_requests", "Questions", hits + cache.misses),
        ("coredns_cache_misses", "Questions without an answer", cache.misses),
        ("coredns_cache_prefetch", "Answers asked for ahead of time", cache.prefetches),
        ("coredns_cache_served_stale", "Questions answered by what was out of date", cache.stale),
        ("coredns_cache_drops", "Answers that are none", drops),
    ];
    rows.into_iter().try_for_each(|(name, help, count)| {
        counters(encoder, name, help, None, [(labels(None), count)].into_iter())
    })
}

type Upstreams<'c> = BTreeMap<&'c Arc<str>, &'c UpstreamCounts>;

fn encode_forward(counts: &ForwardCounts, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let upstreams: Upstreams<'_> = counts.upstreams.iter().collect();
    encode_proxies(&upstreams, encoder)?;
    encode_deprecated(&upstreams, encoder)?;
    let rows = [
        ("coredns_forward_healthcheck_broken", "Questions while all are down", counts.all_down),
        (
            "coredns_forward_max_concurrent_rejects",
            "Questions refused because too many wait",
            counts.refused_client + counts.refused_upstream,
        ),
    ];
    rows.into_iter().try_for_each(|(name, help, count)| {
        counters(encoder, name, help, None, [(Labels::new(), count)].into_iter())
    })
}

fn encode_proxies(upstreams: &Upstreams<'_>, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let proxy = |to: &str| to_upstream(&[("proxy_name", "forward"), ("to", to)]);
    let times = upstreams.iter().flat_map(|(to, it)| {
        it.answers.iter().map(move |(rcode, time)| {
            let labels = [("proxy_name", "forward"), ("to", to), ("rcode", rcode)];
            (to_upstream(&labels), time.clone())
        })
    });
    let help = "Time to the answer of an upstream";
    histograms(encoder, "coredns_proxy_request_duration", help, times)?;
    let probes = upstreams.iter().map(|(to, it)| (proxy(to), it.healthcheck_failures));
    let name = "coredns_proxy_healthcheck_failures";
    counters(encoder, name, "Probes that were not answered", None, probes)?;
    let connections = |count: fn(&UpstreamCounts) -> u64| {
        upstreams.iter().map(move |(to, it)| {
            let proto = ("proto", connection(to));
            (to_upstream(&[("proxy_name", "forward"), ("to", to), proto]), count(it))
        })
    };
    let (name, help) = ("coredns_proxy_conn_cache_hits", "Queries on a connection that was there");
    counters(encoder, name, help, None, connections(|it| it.connections_reused))?;
    let (name, help) = ("coredns_proxy_conn_cache_misses", "New connections");
    counters(encoder, name, help, None, connections(|it| it.connections_opened))
}

/// What CoreDNS has no more, and coredns-mixin still asks for.
fn encode_deprecated(upstreams: &Upstreams<'_>, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let requests = upstreams.iter().map(|(to, it)| (to_upstream(&[("to", to)]), it.requests()));
    counters(encoder, "coredns_forward_requests", "Queries to upstreams", None, requests)?;
    let times = upstreams.iter().flat_map(|(to, it)| {
        it.answers
            .iter()
            .map(move |(rcode, time)| (to_upstream(&[("to", to), ("rcode", rcode)]), time.clone()))
    });
    let times: Vec<_> = times.collect();
    let answers = times.iter().map(|(labels, time)| (labels.clone(), time.counts.iter().sum()));
    counters(encoder, "coredns_forward_responses", "Answers of upstreams", None, answers)?;
    let help = "Time to the answer of an upstream";
    histograms(encoder, "coredns_forward_request_duration", help, times.into_iter())?;
    let probes = upstreams.iter();
    let probes = probes.map(|(to, it)| (to_upstream(&[("to", to)]), it.healthcheck_failures));
    let name = "coredns_forward_healthcheck_failures";
    counters(encoder, name, "Probes that were not answered", None, probes)
}

fn to_upstream(labels: &[(&'static str, &str)]) -> Labels<'static> {
    labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

/// Of an upstream as options write it.
fn connection(upstream: &str) -> &'static str {
    if upstream.starts_with("tls://") { "tcp-tls" } else { "tcp" }
}

pub(super) fn distributions<'a, const BOUNDS: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: &Unit,
    bounds: &[f64; BOUNDS],
    series: impl Iterator<Item = (Labels<'a>, &'a Distribution<BOUNDS>)>,
) -> Encoded {
    let kind = MetricType::Histogram;
    let mut metric = encoder.encode_descriptor(name, &sentence(help), Some(unit), kind)?;
    for (labels, values) in series {
        let buckets = values.buckets(bounds);
        let count = buckets.iter().map(|(_, count)| count).sum();
        let mut family = metric.encode_family(&labels)?;
        family.encode_histogram::<NoLabelSet>(values.sum, count, &buckets, None)?;
    }
    Ok(())
}

/// Where CoreDNS listens, as it is in every Corefile.
const SERVER: &str = "dns://:53";
