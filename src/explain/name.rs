//! The way of a name: search list, zone, answer.

use std::net::IpAddr;

use super::question::type_name;
use super::{Candidate, Explanation, NameQuestion, Place};
use crate::snapshot::zone::{Decision, Lookup, Outcome, Query, Record, RecordData, Rewritten};
use crate::snapshot::{Snapshot, Upstream, Zone};

pub(super) fn explain(snapshot: &Snapshot, question: &NameQuestion, explanation: &mut Explanation) {
    let zone = &snapshot.zone;
    let names = names(zone, question, explanation);
    let tries = tries(zone, question, &names);
    let tried = tries.len();
    let found: Vec<&str> = tries.iter().filter(|it| it.is_taken()).map(|it| &*it.name).collect();
    let verdict = match found.join(", else ") {
        found if found.is_empty() => format!("nothing, after {tried} names"),
        found => format!("{found} after {tried} of the search list"),
    };
    let candidates = tries.iter().map(|it| it.candidate(zone, question.query)).collect();
    explanation.step("lookup", verdict).candidates = candidates;
    round_trips(zone, question, &tries, explanation);
    answer(zone, question, &tries, explanation);
}

/// A name of the search list that is asked for.
struct Try {
    name: String,
    lookup: Lookup,
    /// Who is asked about it, if it is not of the zone.
    upstreams: Option<String>,
}

impl Try {
    fn is_of_zone(&self) -> bool {
        matches!(self.lookup.outcome, Outcome::Records(_) | Outcome::NoData)
    }

    /// Whether the answer is found there, or may be.
    fn is_taken(&self) -> bool {
        self.is_of_zone() || self.upstreams.is_some()
    }

    fn candidate(&self, zone: &Zone, query: Query) -> Candidate {
        let Lookup { decision, outcome, .. } = &self.lookup;
        let why = match outcome {
            Outcome::Records(_) => format!("{decision}"),
            Outcome::NoData => {
                let query = type_name(query);
                format!("NOERROR without records: {decision}, which has no {query}")
            }
            Outcome::NxDomain => format!("NXDOMAIN: {decision}"),
            Outcome::OutOfZone => outside(self.upstreams.as_deref(), *decision),
        };
        let why = self.lookup.rewritten.as_ref().map(rewrite).unwrap_or_default() + &why;
        Candidate { what: self.name.clone(), taken: self.is_taken(), why, place: self.place(zone) }
    }

    fn place(&self, zone: &Zone) -> Option<Place> {
        let name = named(&self.lookup.outcome).unwrap_or_else(|| asked(&self.name, &self.lookup));
        Place::new(zone.origin(name)?, "")
    }
}

/// What a resolver asks for, one after the other. Whether upstreams know a name, they would have to
/// be asked: what comes after it is shown too.
fn tries(zone: &Zone, question: &NameQuestion, names: &[String]) -> Vec<Try> {
    let mut tries = Vec::new();
    for name in names {
        let lookup = zone.lookup(name, question.query);
        let is_outside = lookup.outcome == Outcome::OutOfZone;
        let upstreams = is_outside.then(|| upstreams(zone, asked(name, &lookup))).flatten();
        let tried = Try { name: name.clone(), lookup, upstreams };
        let is_found = tried.is_of_zone();
        tries.push(tried);
        if is_found {
            break;
        }
    }
    tries
}

/// How many questions that costs.
fn round_trips(zone: &Zone, question: &NameQuestion, tries: &[Try], explanation: &mut Explanation) {
    let [first, .., last] = tries else { return };
    if first.lookup.outcome != Outcome::NxDomain {
        return;
    }
    let name = first.name.to_ascii_lowercase();
    let search = question.from.and_then(|from| zone.search(from, &name));
    let is_answered = search.is_some_and(|it| it.is_answered()) && question.query.is_searched();
    let client = question.from.and_then(|from| zone.clients.get(from));
    let count = tries.len();
    let why = match client {
        _ if zone.search_domains.is_none() => "--dns-search on answers the first with the last",
        None => "--dns-search answers the first with the last only where the client is known",
        Some(client) if client.has_own_domains => {
            "--dns-search does not know the list of a Pod with search domains of its own \
             (dnsConfig.searches)"
        }
        Some(_) => "--dns-search leaves questions of this type to the client",
    };
    let verdict = match (is_answered, last.is_taken()) {
        (true, true) => format!(
            "one (--dns-search): {} is answered with what the list leads to, as its alias",
            first.name
        ),
        (true, false) => format!("{count}: --dns-search finds nothing in the list either"),
        (false, is_found) => {
            format!("{count}, of which {} in vain; {why}", count - usize::from(is_found))
        }
    };
    explanation.step("questions", verdict);
}

/// Where the answer comes from, and what it is.
fn answer(zone: &Zone, question: &NameQuestion, tries: &[Try], explanation: &mut Explanation) {
    let asked = tries.iter().filter_map(|it| Some((&it.name, it.upstreams.as_ref()?)));
    let asked: Vec<String> =
        asked.map(|(name, upstreams)| format!("{upstreams} for {name}")).collect();
    if !asked.is_empty() {
        let asked = asked.join("; ");
        explanation.step("source", format!("upstreams, or what they said before: {asked}"));
    }
    let Some(found) = tries.last().filter(|it| it.is_of_zone()) else {
        return explanation.end(if asked.is_empty() {
            "the name does not resolve in the zone"
        } else {
            "what the name is, the upstreams know: the answer is theirs"
        });
    };
    let decision = found.lookup.decision;
    let is_of_hosts = matches!(decision, Decision::HostsName | Decision::HostsAddress);
    let verdict = if is_of_hosts { decision.to_string() } else { format!("the zone: {decision}") };
    explanation.step("source", verdict).place = found.place(zone);
    let Outcome::Records(records) = &found.lookup.outcome else {
        return explanation.end("the name exists and has no such record");
    };
    let mut lines: Vec<String> = records.iter().map(record).collect();
    lines.extend(leads_out(zone, records, question.query));
    explanation.end(lines.join("\n"));
}

/// What is looked up for a name.
fn asked<'l>(name: &'l str, lookup: &'l Lookup) -> &'l str {
    lookup.rewritten.as_ref().map_or(name, |rewritten| &rewritten.name)
}

/// What was looked up instead of a name, and why.
fn rewrite(rewritten: &Rewritten) -> String {
    let lines: Vec<String> = rewritten.lines.iter().map(u32::to_string).collect();
    let line = if lines.len() == 1 { "line" } else { "lines" };
    format!("rewritten to {} ({line} {} of the Corefile); ", rewritten.name, lines.join(", "))
}

/// What becomes of a name that is not of the zone.
fn outside(upstreams: Option<&str>, decision: Decision) -> String {
    match upstreams {
        Some(upstreams) => format!("forwarded to {upstreams}: {decision}"),
        None => format!("REFUSED: {decision}, and no upstream (--dns-upstream, --dns-stub)"),
    }
}

/// Who is asked about a name.
fn upstreams(zone: &Zone, name: &str) -> Option<String> {
    let route = zone.forward.route(&name.to_ascii_lowercase())?;
    let listed = |upstreams: &[Upstream]| {
        let addrs: Vec<String> = upstreams.iter().map(Upstream::to_string).collect();
        addrs.join(", ")
    };
    let mut addrs = listed(route.upstreams);
    for alternate in route.alternates {
        addrs += &format!(", and where they do not know it to {}", listed(&alternate.upstreams));
    }
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

/// The names that a resolver of a pod tries (ndots:5, as kubelet writes it), in its order. What hosts
/// add to the list is known with `--dns-search` only.
fn names(zone: &Zone, question: &NameQuestion, explanation: &mut Explanation) -> Vec<String> {
    if let Some(absolute) = question.name.strip_suffix('.') {
        return vec![absolute.to_owned()];
    }
    if question.query == Query::Ptr {
        let address = question.name.parse().map(reversed);
        return vec![address.unwrap_or_else(|_| question.name.clone())];
    }
    let client = question.from.and_then(|from| zone.clients.get(from));
    let verdict = match (client, question.from) {
        (Some(client), _) => format!("that of a pod in namespace {}", client.namespace),
        (None, Some(from)) => format!(
            "{from} is the address of no pod, or of pods of several namespaces: that of a pod in \
             namespace default (--from takes the address of a pod outside of the host network)"
        ),
        (None, None) => "that of a pod in namespace default (see --from)".to_owned(),
    };
    explanation.step("search list", verdict);
    let namespace = client.map_or("default", |client| &*client.namespace);
    let (name, domain) = (&question.name, &zone.domain);
    let of_cluster = [format!("{namespace}.svc.{domain}"), format!("svc.{domain}")];
    let of_hosts = zone.search_domains.iter().flat_map(|it| it.iter()).map(|it| it.to_string());
    let domains = of_cluster.into_iter().chain([domain.to_string()]).chain(of_hosts);
    let mut names: Vec<String> = domains.map(|domain| format!("{name}.{domain}")).collect();
    // with enough dots the name itself comes first
    let is_first = name.matches('.').count() >= NDOTS;
    names.insert(if is_first { 0 } else { names.len() }, name.clone());
    names
}

/// The name that stands for an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reversed(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let digits = format!("{:032x}", ip.to_bits());
            let digits: Vec<String> = digits.chars().rev().map(String::from).collect();
            format!("{}.ip6.arpa", digits.join("."))
        }
    }
}

const NDOTS: usize = 5;
