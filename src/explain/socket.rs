//! The way of a connection or datagram: address, frontend, endpoint.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Candidate, Explanation, Place, SocketQuestion, load_balancer, policy, rule};
use crate::manifest::Kind;
use crate::snapshot::zone::{Outcome, Query};
use crate::snapshot::{
    Backend, Exposure, Frontend, HealthCheck, ListenerSpec, Place as Where, Reason, Serve,
    Snapshot, SocketKey, Transport, Verdict,
};

/// How a client comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// The listener that takes it.
    pub(super) key: SocketKey,
    /// The address that it came to.
    pub(super) at: IpAddr,
    /// Who it is, which matters where policies do.
    pub(super) from: Option<IpAddr>,
    /// Whether rutter has a socket there.
    pub(super) has_socket: bool,
}

pub(super) fn explain(
    snapshot: &Snapshot,
    question: &SocketQuestion,
    explanation: &mut Explanation,
) {
    let Some(ip) = address(snapshot, &question.host, explanation) else { return };
    let key = SocketKey { transport: question.transport, addr: SocketAddr::new(ip, question.port) };
    let Some(spec) = listener(snapshot, key, explanation) else { return };
    match &spec.serve {
        Serve::Http(http) => {
            let next = "ask for a URL to see which rule takes a request";
            looked_into(spec.key, "HTTP", &http.name, next, explanation);
        }
        Serve::Tls(tls) => {
            let next = "ask for tls:// and a server name to see who takes it";
            looked_into(spec.key, "TLS", &tls.name, next, explanation);
        }
        Serve::Frontend(frontend) => {
            load_balancer::explain(snapshot, &frontend.owner, ip, explanation);
            let has_socket = snapshot.has_socket(spec);
            let arrival = Arrival { key: spec.key, at: ip, from: question.from, has_socket };
            carried(frontend, &arrival, explanation);
        }
        Serve::Health(check) => health_check(check, spec.key, explanation),
    }
}

fn looked_into(key: SocketKey, what: &str, name: &str, next: &str, explanation: &mut Explanation) {
    explanation.step("listener", format!("{key} is the {what} listener {name:?}"));
    explanation.end(next);
}

/// The address itself, or that of a Service name.
fn address(snapshot: &Snapshot, host: &str, explanation: &mut Explanation) -> Option<IpAddr> {
    if let Ok(ip) = host.parse() {
        return Some(ip);
    }
    let domain = &snapshot.zone.domain;
    let names = [
        host.to_owned(),
        format!("{host}.svc.{domain}"),
        format!("{host}.{domain}"),
        format!("{host}.default.svc.{domain}"),
    ];
    for name in names {
        for query in [Query::A, Query::Aaaa] {
            let Outcome::Records(records) = snapshot.zone.lookup(&name, query).outcome else {
                continue;
            };
            if let Some(ip) = records.iter().find_map(|record| record.data.address()) {
                explanation.step("name", format!("{name} is {ip}"));
                return Some(ip);
            }
        }
    }
    explanation.step("name", format!("no Service is named {host}"));
    explanation.end("the client cannot resolve it");
    None
}

/// The listener of the address, or that of every address of this node.
fn listener<'a>(
    snapshot: &'a Snapshot,
    key: SocketKey,
    explanation: &mut Explanation,
) -> Option<&'a ListenerSpec> {
    if let Some(own) = snapshot.listeners.get(&key) {
        return Some(own);
    }
    let ip = key.addr.ip();
    // where a listener without a socket would be astray, the kernel refuses like anywhere else
    let takes =
        |it: &&Arc<ListenerSpec>| snapshot.has_socket(it) || !snapshot.is_astray(it.key, ip);
    let Some(wildcard) = snapshot.wildcard(key).filter(takes) else {
        nobody(snapshot, key, explanation);
        return None;
    };
    if snapshot.is_astray(wildcard.key, ip) {
        nobody(snapshot, key, explanation);
        let outcome = format!("{}: {}", sees(key.transport, true), Reason::NoService);
        explanation.end(format!("{} has the port, but {ip} is virtual; {outcome}", wildcard.key));
        return None;
    }
    let has_address = |spec: &Arc<ListenerSpec>| spec.key.addr.ip() == ip;
    if !snapshot.network.is_of_node(ip) && !snapshot.listeners.values().any(has_address) {
        let verdict = format!(
            "{} is for the addresses of this node, and {ip} is none that is known",
            wildcard.key
        );
        explanation.step("listener", verdict);
        explanation.end("it does not come to rutter");
        return None;
    }
    Some(wildcard)
}

fn nobody(snapshot: &Snapshot, key: SocketKey, explanation: &mut Explanation) {
    let same_ip = snapshot.listeners.values().filter(|spec| spec.key.addr.ip() == key.addr.ip());
    let mut candidates: Vec<Candidate> = same_ip
        .map(|spec| Candidate {
            what: spec.key.to_string(),
            taken: false,
            why: match &spec.serve {
                Serve::Frontend(frontend) => frontend.owner.to_string(),
                Serve::Http(http) => format!("HTTP listener {:?}", http.name),
                Serve::Tls(tls) => format!("TLS listener {:?}", tls.name),
                Serve::Health(check) => format!("the health check of Service {}", check.service),
            },
            place: None,
        })
        .collect();
    let verdict = if candidates.is_empty() {
        format!("no Service has the address {}", key.addr.ip())
    } else {
        format!("nobody listens on {key}; the address has other ports")
    };
    candidates.extend(load_balancer::nobody(snapshot, key.addr.ip()));
    explanation.step("listener", verdict).candidates = candidates;
    explanation.end("the client is refused");
}

pub(super) fn health_check(check: &HealthCheck, key: SocketKey, explanation: &mut Explanation) {
    let verdict = format!("{key} is the healthCheckNodePort of Service {}", check.service);
    let step = explanation.step("health", verdict);
    step.place = Place::new(&check.origin, "spec.healthCheckNodePort");
    let status = if check.local_endpoints > 0 { "200" } else { "503" };
    let count = check.local_endpoints;
    explanation.end(format!("load balancers get {status}: {count} ready endpoints on this node"));
}

pub(super) fn carried(frontend: &Frontend, arrival: &Arrival, explanation: &mut Explanation) {
    let verdict = format!("{} is the {} of {}", arrival.key, frontend.exposure, frontend.owner);
    let step = explanation.step("frontend", verdict);
    step.place = match frontend.shares.first().and_then(|share| share.backend()) {
        Some(backend) if frontend.owner.kind == Kind::Service => {
            Place::new(&backend.origin, &backend.field)
        }
        _ => Place::new(&frontend.origin, ""),
    };
    rule::by_weight(&frontend.shares, Place::new(&frontend.origin, ""), explanation);
    policy::explain(frontend, arrival, explanation);
    let network = &frontend.policy.network;
    let place = arrival.from.map_or(Where::Outside, |from| network.place(from, arrival.at));
    let set = frontend.set(place);
    for share in &frontend.shares {
        if let Ok(target) = &share.target {
            explanation.endpoints(&target.backend, set);
        }
    }
    let verdicts = verdicts(frontend, arrival);
    source_address(frontend, arrival, &verdicts, explanation);
    explanation.end(outcome(frontend, arrival, &verdicts));
}

/// What becomes of the client, by backend.
fn verdicts<'a>(frontend: &'a Frontend, arrival: &Arrival) -> Vec<(&'a Backend, Verdict)> {
    let weighty = frontend.shares.iter().filter(|share| share.weight > 0);
    let backends = weighty.filter_map(|share| share.backend());
    let verdict = |backend: &Backend| match arrival.from {
        Some(from) => frontend.verdict(from, arrival.at, backend),
        None => frontend.verdict_from(Where::Outside, backend),
    };
    backends.map(|backend| (&**backend, verdict(backend))).collect()
}

/// Whom the endpoint sees, and what it is told of the client.
fn source_address(
    frontend: &Frontend,
    arrival: &Arrival,
    verdicts: &[(&Backend, Verdict)],
    explanation: &mut Explanation,
) {
    let Some(from) = arrival.from.filter(|_| frontend.exposure != Exposure::Gateway) else {
        return;
    };
    let is_tcp = arrival.key.transport == Transport::Tcp;
    let forwards = |(backend, verdict): &(&Backend, Verdict)| match verdict {
        Verdict::Forward { masquerade, .. } => {
            let told = backend.proxy_protocol.filter(|_| is_tcp);
            Some((*masquerade, frontend.keeps_client(*verdict), told))
        }
        Verdict::Reject(_) | Verdict::Drop(_) => None,
    };
    let Some((masquerades, is_kept, told)) = verdicts.iter().find_map(forwards) else { return };
    let verdict = match masquerades {
        _ if is_kept => format!("{from} (--keep-client-address)"),
        true => format!("an address of this node (kube-proxy too would masquerade {from})"),
        false => format!(
            "an address of this node, since it is rutter that connects (kube-proxy would keep {from})"
        ),
    };
    explanation.step("source address", verdict);
    if let Some(version) = told {
        let verdict = format!("PROXY protocol {version} tells the endpoint of {from}");
        explanation.step("client address", verdict);
    }
}

/// Where it goes, or why it goes nowhere.
fn outcome(frontend: &Frontend, arrival: &Arrival, verdicts: &[(&Backend, Verdict)]) -> String {
    let (mut ways, mut reasons) = (Vec::new(), Vec::new());
    for (backend, verdict) in verdicts {
        match verdict {
            Verdict::Forward { .. } => {
                ways.push(format!("it goes to an endpoint of {}", backend.id));
            }
            Verdict::Drop(reason) => reasons.insert(0, *reason),
            Verdict::Reject(reason) => reasons.push(*reason),
        }
    }
    if !ways.is_empty() {
        return ways.join("; or ");
    }
    let sees = sees(arrival.key.transport, arrival.has_socket);
    if let Some(reason) = reasons.first() {
        return format!("{sees}: {reason}");
    }
    let failed = frontend.shares.iter().find_map(|share| share.target.as_ref().err());
    let detail = failed.map(|failure| failure.detail.to_string());
    let detail = detail.unwrap_or_else(|| format!("{} has no backend", frontend.owner));
    format!("{sees}: {detail}")
}

/// What a client sees that gets no endpoint. Without a socket it is the kernel that refuses.
fn sees(transport: Transport, has_socket: bool) -> &'static str {
    match (transport, has_socket) {
        (Transport::Tcp, false) => "the connection is refused at once",
        (Transport::Tcp, true) => "the connection is reset at once",
        (Transport::Udp, false) => "the datagram is refused at once",
        (Transport::Udp, true) => "the datagram is dropped",
    }
}
