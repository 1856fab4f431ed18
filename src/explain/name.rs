//! The way of a name: search list, zone, answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::question::type_name;
use super::{Candidate, Explanation, NameQuestion, Place};
use crate::snapshot::zone::{Outcome, Query, Record, RecordData};
use crate::snapshot::{Snapshot, Zone};

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
            Outcome::OutOfZone => format!("REFUSED: {}", lookup.decision),
        };
        let ends = matches!(lookup.outcome, Outcome::Records(_) | Outcome::NoData);
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
            let records: Vec<String> = records.iter().map(record).collect();
            explanation.end(records.join("\n"));
        }
        Some(_) => explanation.end("the name exists and has no such record"),
        None => explanation.end("the name does not resolve in the zone"),
    }
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
