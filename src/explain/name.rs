//! The way of a name: search list, zone, answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::question::type_name;
use super::{Candidate, Explanation, NameQuestion, Place};
use crate::snapshot::zone::{Decision, Outcome, Query, Record, RecordData};
use crate::snapshot::{Snapshot, Upstream, Zone};

pub(super) fn explain(snapshot: &Snapshot, question: &NameQuestion, explanation: &mut Explanation) {
    let zone = &snapshot.zone;
    let names = names(snapshot, question, explanation);
    let mut candidates = Vec::new();
    let mut answer = None;
    for name in names {
        let lookup = zone.lookup(&name, question.query);
        let why = match &lookup.outcome {
            Outcome::Records(_) => format!("{}", lookup.decision),
            Outcome::NoData => format!(
                "NOERROR without records: {}, which has no {}",
                lookup.decision,
                type_name(question.query)
            ),
            Outcome::NxDomain => format!("NXDOMAIN: {}", lookup.decision),
            Outcome::OutOfZone => outside(zone, &name, lookup.decision),
        };
        let is_forwarded = lookup.outcome == Outcome::OutOfZone && upstreams(zone, &name).is_some();
        let ends = matches!(lookup.outcome, Outcome::Records(_) | Outcome::NoData) || is_forwarded;
        let place = zone.origin(named(&lookup.outcome).unwrap_or(&name));
        let place = place.and_then(|origin| Place::new(origin, ""));
        candidates.push(Candidate { what: name, taken: ends, why, place });
        if ends {
            answer = Some(lookup.outcome);
            break;
        }
    }
    let tried = candidates.len();
    let verdict = match candidates.last().filter(|last| last.taken) {
        Some(last) => format!("{} after {tried} of the search list", last.what),
        None => format!("nothing, after {tried} names"),
    };
    explanation.step("lookup", verdict).candidates = candidates;
    match answer {
        Some(Outcome::Records(records)) => {
            let mut lines: Vec<String> = records.iter().map(record).collect();
            lines.extend(leads_out(zone, &records, question.query));
            explanation.end(lines.join("\n"));
        }
        Some(Outcome::OutOfZone) => {
            explanation.end("what the name is, the upstreams know: the answer is theirs");
        }
        Some(_) => explanation.end("the name exists and has no such record"),
        None => explanation.end("the name does not resolve in the zone"),
    }
}

/// What becomes of a name that is not of the zone.
fn outside(zone: &Zone, name: &str, decision: Decision) -> String {
    match upstreams(zone, name) {
        Some(upstreams) => format!("forwarded to {upstreams}: {decision}"),
        None => format!("REFUSED: {decision}, and no upstream (--dns-upstream, --dns-stub)"),
    }
}

/// Who is asked about a name.
fn upstreams(zone: &Zone, name: &str) -> Option<String> {
    let route = zone.forward.route(&name.to_ascii_lowercase())?;
    let addrs: Vec<String> = route.upstreams.iter().map(Upstream::to_string).collect();
    let addrs = addrs.join(", ");
    Some(match route.domain {
        "" => addrs,
        domain => format!("{addrs} (stub domain {domain})"),
    })
}

/// Where aliases at the end are followed to, if that is outside.
fn leads_out(zone: &Zone, records: &[Record], query: Query) -> Option<String> {
    let RecordData::Cname(target) = &records.last()?.data else { return None };
    let is_outside = zone.lookup(target, query).outcome == Outcome::OutOfZone;
    let upstreams = upstreams(zone, target).filter(|_| is_outside && query != Query::Cname)?;
    Some(format!("and what {target} is, forwarded to {upstreams}"))
}

/// The name that an address turned out to have.
fn named(outcome: &Outcome) -> Option<&str> {
    let Outcome::Records(records) = outcome else { return None };
    records.iter().find_map(|record| {
        let RecordData::Ptr(name) = &record.data else { return None };
        Some(&**name)
    })
}

fn record(record: &Record) -> String {
    format!("{} {} {}", record.name, record.ttl, record.data)
}

/// The names that a resolver of a pod tries (ndots:5, as kubelet writes it), in its order.
fn names(
    snapshot: &Snapshot,
    question: &NameQuestion,
    explanation: &mut Explanation,
) -> Vec<String> {
    let zone = &snapshot.zone;
    if let Some(absolute) = question.name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    if question.query == Query::Ptr {
        return vec![question.name.clone()];
    }
    let namespace = question.from.and_then(|ip| namespace_of(snapshot, ip));
    let verdict = match (&namespace, question.from) {
        (Some(namespace), _) => format!("that of a pod in namespace {namespace}"),
        (None, Some(from)) => format!("no endpoint has the address {from}: namespace default"),
        (None, None) => "that of a pod in namespace default (see --from)".to_owned(),
    };
    explanation.step("search list", verdict);
    let namespace = namespace.unwrap_or_else(|| "default".into());
    let name = &question.name;
    let Zone { domain, .. } = &**zone;
    let searched = [
        format!("{name}.{namespace}.svc.{domain}"),
        format!("{name}.svc.{domain}"),
        format!("{name}.{domain}"),
    ];
    // with enough dots the name itself comes first
    if name.matches('.').count() >= NDOTS {
        return [vec![name.clone()], searched.to_vec()].concat();
    }
    [searched.to_vec(), vec![name.clone()]].concat()
}

const NDOTS: usize = 5;

fn namespace_of(snapshot: &Snapshot, ip: IpAddr) -> Option<Arc<str>> {
    let has = |backend: &&Arc<crate::snapshot::Backend>| {
        backend.endpoints.iter().any(|endpoint| endpoint.id.ip() == ip)
    };
    Some(snapshot.backends.values().find(has)?.id.service.namespace.clone())
}
