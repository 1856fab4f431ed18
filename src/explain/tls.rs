//! The way of a TLS connection: socket, listener by server name, certificate, route, endpoint.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::socket::{self, Arrival};
use super::{Candidate, Explanation, Place, TlsQuestion};
use crate::snapshot::{
    ClientAuth, ClientAuthMode, HostMatch, ListenerSpec, Reason, Serve, Snapshot, TlsHost,
    TlsListener, TlsRoutes, TlsServe, TlsTable, Transport,
};

pub(super) fn explain(
    snapshot: &Snapshot,
    question: &TlsQuestion,
    now: SystemTime,
    explanation: &mut Explanation,
) {
    let Some(spec) = socket(snapshot, question, explanation) else { return };
    match &spec.serve {
        Serve::Frontend(frontend) => {
            socket::carried(frontend, &arrival(spec, snapshot.has_socket(spec)), explanation);
        }
        Serve::Health(check) => socket::health_check(check, spec.key, explanation),
        Serve::Http(http) => {
            let table = http.tls.as_deref();
            ends_in_http(table, question.server_name(), now, explanation);
        }
        Serve::Tls(tls) => match host(tls, question.server_name(), explanation) {
            Some(host) => served(spec, tls, host, question.server_name(), now, explanation),
            None => explanation.end(reset(Reason::NoRoute)),
        },
    }
}

/// The socket that is meant: one that knows the name, where several have the port.
fn socket<'a>(
    snapshot: &'a Snapshot,
    question: &TlsQuestion,
    explanation: &mut Explanation,
) -> Option<&'a ListenerSpec> {
    let ip: Option<IpAddr> = question.host.parse().ok();
    let has_address = |spec: &&ListenerSpec| {
        let addr = spec.key.addr;
        spec.key.transport == Transport::Tcp
            && addr.port() == question.port
            && ip.is_none_or(|ip| {
                ip == addr.ip() || addr.ip().is_unspecified() && !snapshot.is_astray(spec.key, ip)
            })
    };
    let found: Vec<_> =
        snapshot.listeners.values().map(|spec| &**spec).filter(has_address).collect();
    let takes = |spec: &&ListenerSpec| refusal(spec, question.server_name()).is_none();
    let taken = found.iter().copied().find(takes).or_else(|| found.first().copied());
    let as_candidate = |spec: &&ListenerSpec| Candidate {
        what: spec.key.to_string(),
        taken: taken.is_some_and(|taken| taken.key == spec.key),
        why: refusal(spec, question.server_name()).unwrap_or_else(|| "it has the port".to_owned()),
        place: None,
    };
    let verdict = match taken {
        Some(spec) => spec.key.to_string(),
        None => format!("nobody listens on port {}", question.port),
    };
    let candidates = found.iter().map(as_candidate).collect();
    explanation.step("socket", verdict).candidates = candidates;
    if taken.is_none() {
        explanation.end("the client is refused");
    }
    taken
}

fn refusal(spec: &ListenerSpec, server_name: &str) -> Option<String> {
    match &spec.serve {
        Serve::Tls(tls) if tls.select(server_name).is_some() => None,
        Serve::Tls(_) => Some(format!("none of its listeners is for {}", shown(server_name))),
        Serve::Http(http) if http.tls.is_some() => None,
        Serve::Http(_) | Serve::Health(_) => Some("it speaks no TLS".to_owned()),
        Serve::Frontend(_) => Some("L4: everything goes there, whatever its name".to_owned()),
    }
}

fn host<'a>(
    tls: &'a TlsListener,
    server_name: &str,
    explanation: &mut Explanation,
) -> Option<&'a TlsHost> {
    let taken = tls.select(server_name);
    let verdict = match taken {
        Some(host) => format!("{:?} for {}: {}", host.name, host.host, kind(&host.serve)),
        None => format!("none is for {}", shown(server_name)),
    };
    let all = tls.hosts().iter().map(|host| {
        let what = format!("{:?} {}", host.name, kind(&host.serve));
        let is_taken = taken.is_some_and(|taken| std::ptr::eq(taken, host));
        (what, &host.host, is_taken, None)
    });
    let candidates = by_name(all, taken.map(|host| &host.host), server_name);
    explanation.step("listener", verdict).candidates = candidates;
    taken
}

fn kind(serve: &TlsServe) -> &'static str {
    match serve {
        TlsServe::Passthrough(_) => "passthrough",
        TlsServe::Terminate(..) => "terminate",
        TlsServe::Http => "HTTPS",
    }
}

fn served(
    spec: &ListenerSpec,
    tls: &TlsListener,
    host: &TlsHost,
    server_name: &str,
    now: SystemTime,
    explanation: &mut Explanation,
) {
    let routes = match &host.serve {
        TlsServe::Passthrough(routes) => routes,
        TlsServe::Terminate(table, routes) => {
            certificate(table, server_name, now, explanation);
            routes
        }
        TlsServe::Http => {
            let table = tls.http.as_ref().and_then(|http| http.tls.as_deref());
            return ends_in_http(table, server_name, now, explanation);
        }
    };
    route(routes, server_name, explanation);
    match routes.select(server_name) {
        Some(frontend) => socket::carried(frontend, &arrival(spec, true), explanation),
        None => explanation.end(reset(Reason::NoRoute)),
    }
}

/// Some client, at the address of the socket.
fn arrival(spec: &ListenerSpec, has_socket: bool) -> Arrival {
    Arrival { key: spec.key, at: spec.key.addr.ip(), from: None, has_socket }
}

fn route(routes: &TlsRoutes, server_name: &str, explanation: &mut Explanation) {
    let taken = routes.select(server_name);
    // a route of several hosts is there several times
    let hosts = routes.routes().iter().filter(|(host, frontend)| {
        host.takes(server_name) && taken.is_some_and(|taken| Arc::ptr_eq(taken, frontend))
    });
    let best = hosts.map(|(host, _)| host).min_by_key(|host| breadth(host));
    let all = routes.routes().iter().map(|(host, frontend)| {
        let place = Place::new(&frontend.origin, "");
        (frontend.owner.to_string(), host, best.is_some_and(|best| std::ptr::eq(best, host)), place)
    });
    let candidates = by_name(all, best, server_name);
    let verdict = match taken {
        Some(frontend) => frontend.owner.to_string(),
        None => format!("none is for {}", shown(server_name)),
    };
    let step = explanation.step("route", verdict);
    step.place = taken.and_then(|frontend| Place::new(&frontend.origin, ""));
    step.candidates = candidates;
}

/// Orders hosts that take the same name, the most specific first.
fn breadth(host: &HostMatch) -> (u8, std::cmp::Reverse<usize>) {
    let (kind, name) = match host {
        HostMatch::Exact(name) => (0, name.len()),
        HostMatch::Wildcard(name) | HostMatch::Suffix(name) => (1, name.len()),
        HostMatch::Any => (2, 0),
    };
    (kind, std::cmp::Reverse(name))
}

/// Why each was taken or not, by its host.
fn by_name<'a>(
    all: impl Iterator<Item = (String, &'a HostMatch, bool, Option<Place>)>,
    best: Option<&HostMatch>,
    server_name: &str,
) -> Vec<Candidate> {
    let as_candidate = |(what, host, taken, place): (String, &HostMatch, bool, _)| Candidate {
        what: format!("{host} → {what}"),
        taken,
        why: match best {
            _ if taken => "the most specific that matches".to_owned(),
            Some(best) if best == host => "the same host, and it comes later".to_owned(),
            Some(best) if host.takes(server_name) => format!("{best} is more specific"),
            _ => format!("for {host}, not {}", shown(server_name)),
        },
        place,
    };
    all.map(as_candidate).collect()
}

fn ends_in_http(
    table: Option<&TlsTable>,
    server_name: &str,
    now: SystemTime,
    explanation: &mut Explanation,
) {
    match table {
        Some(table) => {
            certificate(table, server_name, now, explanation);
            explanation.end("TLS ends here: ask for https:// to see which rule takes a request");
        }
        None => explanation.end("it speaks no TLS: ask for http://"),
    }
}

/// Which certificate a server name gets, and what is asked of clients.
pub(super) fn certificate(
    table: &TlsTable,
    server_name: &str,
    now: SystemTime,
    explanation: &mut Explanation,
) {
    let name = Some(server_name);
    let entry = table.select(name);
    let Some((entry, certificate)) = entry.and_then(|it| Some((it, it.certificate(name)?))) else {
        explanation.step("certificate", "none: the handshake fails");
        return;
    };
    let how = match entry.host {
        HostMatch::Exact(_) => "by its exact name",
        HostMatch::Wildcard(_) | HostMatch::Suffix(_) => "by a wildcard",
        HostMatch::Any => "as the default: no other is for this name",
    };
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let left = certificate.not_after.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
    let days = left.div_euclid(86_400);
    let validity = if left < 0 { "expired".to_owned() } else { format!("{days} days left") };
    let names = certificate.names.join(", ");
    let verdict = format!("Secret {}, {how}; it names {names}; {validity}", certificate.secret);
    explanation.step("certificate", verdict).place = Place::new(&certificate.origin, "");
    if let Some(client_auth) = &entry.client_auth {
        explanation.step("client certificates", asked(client_auth));
    }
}

fn asked(client_auth: &ClientAuth) -> String {
    match client_auth.mode {
        ClientAuthMode::AllowValidOnly => {
            let count = client_auth.authorities.certificates.len();
            let authorities = if count == 1 { "the authority" } else { "one of the authorities" };
            format!("required, signed by {authorities} of the Gateway")
        }
        ClientAuthMode::AllowInsecureFallback => {
            "optional: clients are let in without one, and with any".to_owned()
        }
    }
}

fn reset(reason: Reason) -> String {
    format!("the connection is reset at once: {reason}")
}

fn shown(server_name: &str) -> &str {
    if server_name.is_empty() { "clients that send no server name" } else { server_name }
}
