//! The way of a request: listener, certificate, route, action, endpoint.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Candidate, Explanation, HttpQuestion, Place, TlsQuestion, rule, tls};
use crate::manifest::finding::Severity;
use crate::manifest::{Code, Finding, Kind};
use crate::snapshot::matching::{Asked, FieldMatch, MatchValue, Missed, Verdict, canonical_path};
use crate::snapshot::{
    HttpListener, ListenerSpec, MatchPath, Reason, Rule, Serve, Snapshot, SocketKey, Transport,
    VirtualHost,
};

pub(super) fn explain(
    snapshot: &Snapshot,
    question: &HttpQuestion,
    findings: &[Finding],
    now: SystemTime,
    explanation: &mut Explanation,
) {
    let Some((key, listener)) = listener(snapshot, question, explanation) else {
        return without(snapshot, question, findings, now, explanation);
    };
    if let Some(table) = &listener.tls {
        tls::certificate(table, &question.host, now, explanation);
    }
    let path = match canonical_path(&question.path) {
        Ok(path) => path,
        Err(error) => {
            explanation.step("path", format!("{:?} is refused: {error}", question.path));
            return explanation.fail(Reason::BadRequest, "");
        }
    };
    let rule = route(listener, question, &path, explanation);
    outside(findings, explanation);
    match rule {
        Some(rule) => rule::explain(&rule, question, &path, key.addr.port(), explanation),
        None => explanation.fail(Reason::NoRoute, "no rule takes it"),
    }
}

/// No listener takes requests there. One that goes by the server name may take the connection.
fn without(
    snapshot: &Snapshot,
    question: &HttpQuestion,
    findings: &[Finding],
    now: SystemTime,
    explanation: &mut Explanation,
) {
    outside(findings, explanation);
    let port = question.port.unwrap_or(443);
    let goes_by_name = |(key, spec): (&SocketKey, &Arc<_>)| key.addr.port() == port && is_tls(spec);
    if question.is_https && snapshot.listeners.iter().any(goes_by_name) {
        let question = TlsQuestion { host: question.host.clone(), port };
        return tls::explain(snapshot, &question, now, explanation);
    }
    explanation.end("the client cannot connect");
}

fn is_tls(spec: &ListenerSpec) -> bool {
    matches!(spec.serve, Serve::Tls(_))
}

/// Routes and listeners that take part in nothing, and why not.
fn outside(findings: &[Finding], explanation: &mut Explanation) {
    let is_outside = |finding: &&Finding| {
        let kind = finding.object.as_ref().map(|object| object.kind);
        let is_ours = kind.is_some_and(|kind| OUTSIDE.contains(&kind));
        is_ours && finding.severity != Severity::Note && CODES.contains(&finding.code)
    };
    let candidate = |finding: &Finding| Candidate {
        what: finding.object.as_ref().map(ToString::to_string).unwrap_or_default(),
        taken: false,
        why: finding.message.clone(),
        place: Place::new(&finding.origin, &finding.field),
    };
    let candidates: Vec<_> = findings.iter().filter(is_outside).map(candidate).collect();
    if !candidates.is_empty() {
        let verdict = format!("{} take no part", candidates.len());
        explanation.step("left out", verdict).candidates = candidates;
    }
}

/// What requests could have gone by.
const OUTSIDE: [Kind; 5] =
    [Kind::Gateway, Kind::ListenerSet, Kind::HttpRoute, Kind::GrpcRoute, Kind::Ingress];

/// What keeps it from taking part.
const CODES: [Code; 7] = [
    Code::MissingClass,
    Code::MissingParent,
    Code::NotAttached,
    Code::Conflict,
    Code::AddressClash,
    Code::NeverMatches,
    Code::RouteConflict,
];

fn listener<'a>(
    snapshot: &'a Snapshot,
    question: &HttpQuestion,
    explanation: &mut Explanation,
) -> Option<(SocketKey, &'a HttpListener)> {
    let (mut found, mut candidates) = (None, Vec::new());
    let streams = snapshot.listeners.iter().filter(|(key, _)| key.transport == Transport::Tcp);
    for (key, spec) in streams {
        let (what, why) = match (spec.serve.http(), &spec.serve) {
            (Some(http), _) => {
                (format!("{key} ({})", http.name), refusal(snapshot, *key, http, question))
            }
            // of the many sockets of Services only one that the URL means is of interest
            (None, _) if !is_meant(*key, question) => continue,
            (None, Serve::Frontend(frontend)) => (
                format!("{key} ({} of {})", frontend.exposure, frontend.owner),
                Some("L4: every request goes there, whatever its host".to_owned()),
            ),
            (None, Serve::Health(check)) => (
                format!("{key} (health check)"),
                Some(format!("it tells the health of Service {}", check.service)),
            ),
            (None, Serve::Http(_) | Serve::Tls(_)) => {
                (key.to_string(), Some("TLS is not looked into".to_owned()))
            }
        };
        let taken = why.is_none();
        if let (true, Some(http)) = (taken, spec.serve.http()) {
            // of several Gateways the one that has a rule for the request is meant
            let is_better = has_rule(http, question) && !found.is_some_and(|(_, has)| has);
            if found.is_none() || is_better {
                found = Some(((*key, &**http), is_better));
            }
        }
        let why = why.unwrap_or_else(|| "scheme and port are these".to_owned());
        candidates.push(Candidate { what, taken, why, place: None });
    }
    let found = found.map(|(found, _)| found);
    let verdict = match found {
        Some((_, listener)) => format!("{:?}", listener.name),
        None => "nobody listens for HTTP there".to_owned(),
    };
    explanation.step("listener", verdict).candidates = candidates;
    found
}

fn has_rule(http: &HttpListener, question: &HttpQuestion) -> bool {
    let Ok(path) = canonical_path(&question.path) else { return false };
    let host = http.select(&question.host);
    host.is_some_and(|host| host.routes.select(&asked(question, &path)).is_some())
}

fn asked<'a>(
    question: &'a HttpQuestion,
    path: &'a str,
) -> Asked<'a, impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone> {
    let fields = question.headers.iter();
    Asked {
        host: &question.host,
        path,
        method: &question.method,
        query: &question.query,
        fields: fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    }
}

fn refusal(
    snapshot: &Snapshot,
    key: SocketKey,
    http: &HttpListener,
    question: &HttpQuestion,
) -> Option<String> {
    match (http.tls.is_some(), question.is_https) {
        (true, false) => return Some("it speaks TLS only".to_owned()),
        (false, true) => return Some("it speaks no TLS".to_owned()),
        _ => {}
    }
    if let Ok(ip) = question.host.parse::<std::net::IpAddr>() {
        if snapshot.is_astray(key, ip) {
            return Some(format!("{ip} is virtual: only Services answer there"));
        }
        if ip != key.addr.ip() && !key.addr.ip().is_unspecified() {
            return Some(format!("the URL says {ip}"));
        }
    }
    // a URL without a port means the published one, whatever it is on this machine
    let port = question.port.filter(|port| *port != key.addr.port())?;
    Some(format!("the URL says port {port}"))
}

fn is_meant(key: SocketKey, question: &HttpQuestion) -> bool {
    let port = question.port.unwrap_or(if question.is_https { 443 } else { 80 });
    question.host.parse().is_ok_and(|ip: std::net::IpAddr| ip == key.addr.ip())
        && key.addr.port() == port
}

/// The listener of the socket that the host belongs to, and why not another.
fn virtual_host<'a>(
    listener: &'a HttpListener,
    question: &HttpQuestion,
    explanation: &mut Explanation,
) -> Option<&'a Arc<VirtualHost>> {
    let selected = listener.select(&question.host);
    if listener.hosts().len() < 2 && selected.is_some() {
        return selected;
    }
    let candidate = |host: &Arc<VirtualHost>| {
        let taken = selected.is_some_and(|it| Arc::ptr_eq(it, host));
        let why = match (taken, host.host.takes(&question.host)) {
            (true, _) => "the most specific host that matches".to_owned(),
            (false, true) => "it matches, but another host is more specific".to_owned(),
            (false, false) => format!("for host {}, not {}", host.host, question.host),
        };
        Candidate { what: format!("{} ({})", host.name, host.host), taken, why, place: None }
    };
    let verdict = match selected {
        Some(host) => format!("{} by host {}", host.name, host.host),
        None => format!("no listener of this socket is for {}", question.host),
    };
    explanation.step("host", verdict).candidates = listener.hosts().iter().map(candidate).collect();
    selected
}

fn route(
    listener: &HttpListener,
    question: &HttpQuestion,
    path: &str,
    explanation: &mut Explanation,
) -> Option<Arc<Rule>> {
    let asked = asked(question, path);
    let host = virtual_host(listener, question, explanation)?;
    let mut candidates: Vec<_> = host.routes.candidates(&asked).collect();
    let selected = candidates.iter().find(|(_, verdict)| *verdict == Verdict::Selected);
    let selected = selected.map(|(rule, _)| *rule);
    let verdict = match selected {
        Some(rule) => format!("{} by host {} and path {}", rule.route, rule.host, rule.path),
        None => format!("none of {} rules", candidates.len()),
    };
    let step = explanation.step("route", verdict);
    step.place = selected.and_then(|rule| Place::new(&rule.origin, &rule.field));
    let as_candidate = |(rule, verdict): &(&Arc<Rule>, Verdict<'_>)| Candidate {
        what: format!("{} {} → {}", rule.host, rule.path, rule.route),
        taken: *verdict == Verdict::Selected,
        why: why(rule, *verdict, selected.map(|it| &**it), &question.host, path),
        place: Place::new(&rule.origin, &rule.field),
    };
    // what nearly matched is of more interest than what did not
    candidates.sort_by_key(|(_, verdict)| distance(*verdict));
    step.candidates = candidates.iter().map(as_candidate).collect();
    selected.cloned()
}

/// How far a rule was from being taken.
fn distance(verdict: Verdict<'_>) -> u8 {
    match verdict {
        Verdict::Selected => 0,
        Verdict::LessSpecific => 1,
        Verdict::Missed(_) => 2,
        Verdict::OtherPath => 3,
        Verdict::OtherHost => 4,
    }
}

fn why(rule: &Rule, verdict: Verdict<'_>, best: Option<&Rule>, host: &str, path: &str) -> String {
    match verdict {
        Verdict::Selected => "the most specific that matches".to_owned(),
        Verdict::OtherHost => format!("for host {}, not {host}", rule.host),
        Verdict::OtherPath => match &rule.path {
            MatchPath::Prefix(prefix) if path.starts_with(&**prefix) => {
                format!("{path} continues the last element of {prefix}")
            }
            MatchPath::Exact(exact) => format!("{path} is not exactly {exact}"),
            MatchPath::Prefix(_) | MatchPath::Fallback => {
                format!("{path} is not below {}", rule.path)
            }
            MatchPath::Regex(pattern) => format!("{path} does not match {pattern}"),
        },
        Verdict::Missed(missed) => asks_for(rule, missed),
        Verdict::LessSpecific => match best {
            Some(best) if (&best.host, &best.path) == (&rule.host, &rule.path) => {
                format!("the same host and path as {}, which comes first", best.route)
            }
            Some(best) if best.host == rule.host => format!("{} is more specific", best.path),
            Some(best) => format!("host {} is more specific", best.host),
            None => "less specific".to_owned(),
        },
    }
}

/// What a rule asks for that the request lacks.
fn asks_for(rule: &Rule, missed: Missed<'_>) -> String {
    let field = |what: &str, field: &FieldMatch| match &field.value {
        MatchValue::Exact(value) => format!("it asks for the {what} {}: {value}", field.name),
        MatchValue::Regex(pattern) => {
            format!("it asks for the {what} {} to match {pattern}", field.name)
        }
    };
    match missed {
        Missed::Method => {
            format!("it asks for the method {}", rule.predicates.method.as_deref().unwrap_or("?"))
        }
        Missed::Header(it) => field("header field", it),
        Missed::Query(it) => field("query parameter", it),
    }
}
