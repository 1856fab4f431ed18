//! The way of a connection or datagram: address, frontend, endpoint.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Candidate, Explanation, Place, SocketQuestion, load_balancer, policy, rule};
use crate::manifest::Kind;
use crate::snapshot::zone::{Outcome, Query};
use crate::snapshot::{
    Backend, Frontend, HealthCheck, ListenerSpec, Reach, Reason, Serve, Snapshot, SocketKey,
    Transport,
};

pub(super) fn explain(
    snapshot: &Snapshot,
    question: &SocketQuestion,
    explanation: &mut Explanation,
) {
    let Some(ip) = address(snapshot, &question.host, explanation) else { return };
    let key = SocketKey { transport: question.transport, addr: SocketAddr::new(ip, question.port) };
    let Some(spec) = listener(snapshot, key) else { return nobody(snapshot, key, explanation) };
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
            carried(frontend, spec.key, question.from, explanation);
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

/// The listener of the address, or of every address.
fn listener(snapshot: &Snapshot, key: SocketKey) -> Option<&ListenerSpec> {
    let any = match key.addr {
        SocketAddr::V4(_) => IpAddr::from([0; 4]),
        SocketAddr::V6(_) => IpAddr::from([0_u16; 8]),
    };
    let wildcard = SocketKey { addr: SocketAddr::new(any, key.addr.port()), ..key };
    let found = snapshot.listeners.get(&key).or_else(|| snapshot.listeners.get(&wildcard));
    found.map(|spec| &**spec)
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

/// `from` is the client, which matters where policies do.
pub(super) fn carried(
    frontend: &Frontend,
    key: SocketKey,
    from: Option<IpAddr>,
    explanation: &mut Explanation,
) {
    let verdict = format!("{key} is the {} of {}", frontend.exposure, frontend.owner);
    let step = explanation.step("frontend", verdict);
    step.place = match frontend.shares.first().and_then(|share| share.backend()) {
        Some(backend) if frontend.owner.kind == Kind::Service => {
            Place::new(&backend.origin, &backend.field)
        }
        _ => Place::new(&frontend.origin, ""),
    };
    rule::by_weight(&frontend.shares, Place::new(&frontend.origin, ""), explanation);
    if let Some(policy) = &frontend.policy {
        policy::explain(policy, &frontend.origin, from, explanation);
    }
    let is_local = from.map_or_else(
        || frontend.policy.as_ref().is_some_and(|it| it.reach != Reach::Cluster),
        |from| frontend.is_local_for(from),
    );
    for share in &frontend.shares {
        if let Ok(target) = &share.target {
            explanation.endpoints(&target.backend, is_local);
        }
    }
    let refused = from.filter(|from| !frontend.admits(*from)).map(|_| Reason::SourceNotAllowed);
    let outcome = match refused {
        Some(reason) => lost(key.transport, reason, ""),
        None => outcome(frontend, key.transport, is_local),
    };
    explanation.end(outcome);
}

/// Where it goes, or why it goes nowhere.
fn outcome(frontend: &Frontend, transport: Transport, is_local: bool) -> String {
    let weighty = || frontend.shares.iter().filter(|share| share.weight > 0);
    let backends = || weighty().filter_map(|share| share.backend());
    let used = |it: &&Arc<Backend>| !if is_local { &it.local } else { &it.usable }.is_empty();
    let ways: Vec<_> =
        backends().filter(used).map(|it| format!("it goes to an endpoint of {}", it.id)).collect();
    if !ways.is_empty() {
        return ways.join("; or ");
    }
    if backends().any(|it| !it.usable.is_empty()) {
        return lost(transport, Reason::NoLocalEndpoint, "");
    }
    if backends().next().is_some() {
        return lost(transport, Reason::NoReadyEndpoint, "");
    }
    let failed = frontend.shares.iter().find_map(|share| share.target.as_ref().err());
    let detail = failed.map(|failure| failure.detail.to_string());
    let detail = detail.unwrap_or_else(|| format!("{} has no backend", frontend.owner));
    lost(transport, Reason::NoService, &detail)
}

/// What the client sees. `detail` is said in place of the reason, where there is one.
fn lost(transport: Transport, reason: Reason, detail: &str) -> String {
    let is_dropped = matches!(reason, Reason::NoLocalEndpoint | Reason::SourceNotAllowed);
    let what = match transport {
        Transport::Tcp => "the connection is reset at once",
        Transport::Udp if is_dropped => "the datagram is dropped",
        Transport::Udp => "the datagram is refused at once",
    };
    let why = if detail.is_empty() { reason.as_str() } else { detail };
    format!("{what}: {why}")
}
