//! What is shown of names that are forwarded.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus_client::encoding::DescriptorEncoder;

use super::{Encoded, Labels, counters, gauges, histograms};
use crate::observe::forward::{ByKind, CacheCounts, ForwardCounts, UpstreamCounts};

type Upstreams<'c> = BTreeMap<&'c Arc<str>, &'c UpstreamCounts>;

pub(super) fn encode(counts: &ForwardCounts, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let upstreams: Upstreams<'_> = counts.upstreams.iter().collect();
    encode_queries(&upstreams, encoder)?;
    encode_connections(&upstreams, encoder)?;
    let refused = [("client", counts.refused_client), ("upstream", counts.refused_upstream)];
    let refused = refused.into_iter().map(|(it, count)| (vec![("room", it.to_owned())], count));
    let help = "Questions refused because too many wait, of a client or at every upstream";
    counters(encoder, "rutter_dns_forward_refused", help, None, refused)?;
    let help = "Questions for which upstreams were tried although all were down";
    let broken = [(Labels::new(), counts.all_down)].into_iter();
    counters(encoder, "rutter_dns_forward_healthcheck_broken", help, None, broken)?;
    encode_cache(&counts.cache, encoder)
}

fn to(upstream: &Arc<str>) -> Labels<'static> {
    vec![("to", upstream.to_string())]
}

fn encode_queries(upstreams: &Upstreams<'_>, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let requests = upstreams.iter().map(|(label, it)| (to(label), it.requests()));
    counters(encoder, "rutter_dns_forward_requests", "Queries to upstreams", None, requests)?;
    let failures = upstreams.iter().flat_map(|(label, it)| {
        it.failures.iter().map(|(failure, count)| {
            let reason = ("reason", failure.as_str().to_owned());
            ([to(label), vec![reason]].concat(), *count)
        })
    });
    let help = "Queries that upstreams have not answered";
    counters(encoder, "rutter_dns_forward_failures", help, None, failures)?;
    let times = upstreams.iter().flat_map(|(label, it)| {
        it.answers.iter().map(|(rcode, histogram)| {
            let rcode = ("rcode", (*rcode).to_owned());
            ([to(label), vec![rcode]].concat(), histogram.clone())
        })
    });
    let help = "Time to the answer of an upstream";
    histograms(encoder, "rutter_dns_forward_request_duration", help, times)?;
    let waiting = upstreams.iter().map(|(label, it)| (to(label), it.in_flight as f64));
    gauges(encoder, "rutter_dns_forward_in_flight", "Queries that wait for upstreams", waiting)?;
    let probes = upstreams.iter().map(|(label, it)| (to(label), it.healthcheck_failures));
    let help = "Probes that upstreams which are down have not answered";
    counters(encoder, "rutter_dns_forward_healthcheck_failures", help, None, probes)
}

fn encode_connections(upstreams: &Upstreams<'_>, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let reused = upstreams.iter().map(|(label, it)| (to(label), it.connections_reused));
    let help = "Queries to upstreams on a connection that was there";
    counters(encoder, "rutter_dns_forward_connections_reused", help, None, reused)?;
    let opened = upstreams.iter().map(|(label, it)| (to(label), it.connections_opened));
    let help = "Connections to upstreams";
    counters(encoder, "rutter_dns_forward_connections_opened", help, None, opened)
}

fn encode_cache(cache: &CacheCounts, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let by_kind = |counts: ByKind| {
        let kinds = [("success", counts.success), ("denial", counts.denial)];
        kinds.into_iter().map(|(kind, count)| (vec![("type", kind.to_owned())], count))
    };
    let help = "Questions answered from the cache";
    counters(encoder, "rutter_dns_cache_hits", help, None, by_kind(cache.hits))?;
    let rows = [
        ("rutter_dns_cache_misses", "Questions that the cache has no good answer to", cache.misses),
        ("rutter_dns_cache_stale", "Questions answered by what was out of date", cache.stale),
        ("rutter_dns_cache_prefetches", "Answers asked for ahead of time", cache.prefetches),
    ];
    for (name, help, count) in rows {
        counters(encoder, name, help, None, [(Labels::new(), count)].into_iter())?;
    }
    let help = "Answers forgotten for lack of room";
    counters(encoder, "rutter_dns_cache_evictions", help, None, by_kind(cache.evictions))?;
    let entries = by_kind(cache.entries).map(|(labels, count)| (labels, count as f64));
    gauges(encoder, "rutter_dns_cache_entries", "Answers in the cache", entries)?;
    let bytes = [(Labels::new(), cache.bytes as f64)].into_iter();
    gauges(encoder, "rutter_dns_cache_bytes", "What the answers in the cache take", bytes)
}
