//! The way of a request: listener, certificate, route, action, endpoint.

use std::sync::Arc;
use std::time::SystemTime;

use super::{Candidate, Explanation, HttpQuestion, Place, tls};
use crate::snapshot::matching::{Asked, FieldMatch, MatchValue, Missed, Verdict, canonical_path};
use crate::snapshot::{
    Action, Backend, HttpListener, MatchPath, Reason, Rule, Serve, Snapshot, SocketKey,
};

pub(super) fn explain(
    snapshot: &Snapshot,
    question: &HttpQuestion,
    now: SystemTime,
    explanation: &mut Explanation,
) {
    let Some(listener) = listener(snapshot, question, explanation) else { return };
    if let Some(table) = &listener.tls {
        tls::certificate(table, &question.host, now, explanation);
    }
    let path = match canonical_path(&question.path) {
        Ok(path) => path,
        Err(error) => {
            explanation.step("path", format!("{:?} is refused: {error}", question.path));
            return fail(Reason::BadRequest, "", explanation);
        }
    };
    let Some(rule) = route(listener, question, &path, explanation) else {
        return fail(Reason::NoRoute, "no rule takes it", explanation);
    };
    match &rule.action {
        Action::Fail(failure) => fail(failure.reason, &failure.detail, explanation),
        Action::Redirect(redirect) => {
            explanation.end(format!("the client is redirected ({})", redirect.status));
        }
        Action::Forward(backends) => {
            for weighted in backends {
                match &weighted.target {
                    Ok(target) => forward(&target.backend, explanation),
                    Err(failure) => fail(failure.reason, &failure.detail, explanation),
                }
            }
        }
    }
}

fn fail(reason: Reason, detail: &str, explanation: &mut Explanation) {
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    explanation.end(format!("the client gets {} {reason}{detail}", reason.status()));
}

fn forward(backend: &Arc<Backend>, explanation: &mut Explanation) {
    let step = explanation.step("service", format!("{}, port {}", backend.id, backend.port));
    step.place = Place::new(&backend.origin, &backend.field);
    explanation.endpoints(backend);
    if backend.usable.is_empty() {
        return fail(Reason::NoReadyEndpoint, &backend.id.to_string(), explanation);
    }
    explanation.end(format!("it goes to an endpoint of {}", backend.id));
}

fn listener<'a>(
    snapshot: &'a Snapshot,
    question: &HttpQuestion,
    explanation: &mut Explanation,
) -> Option<&'a HttpListener> {
    let (mut found, mut candidates) = (None, Vec::new());
    for (key, spec) in &snapshot.listeners {
        let (what, why) = match (spec.serve.http(), &spec.serve) {
            (Some(http), _) => (format!("{key} ({})", http.name), refusal(*key, http, question)),
            // of the many sockets of Services only one that the URL means is of interest
            (None, _) if !is_meant(*key, question) => continue,
            (None, Serve::Frontend(frontend)) => (
                format!("{key} ({} of {})", frontend.exposure, frontend.owner),
                Some("L4: every request goes there, whatever its host".to_owned()),
            ),
            (None, Serve::Http(_) | Serve::Tls(_)) => {
                (key.to_string(), Some("TLS is not looked into".to_owned()))
            }
        };
        let taken = why.is_none();
        if let (true, None, Some(http)) = (taken, found, spec.serve.http()) {
            found = Some(&**http);
        }
        let why = why.unwrap_or_else(|| "scheme and port are these".to_owned());
        candidates.push(Candidate { what, taken, why, place: None });
    }
    let verdict = match found {
        Some(listener) => format!("{:?}", listener.name),
        None => "nobody listens for HTTP there".to_owned(),
    };
    explanation.step("listener", verdict).candidates = candidates;
    if found.is_none() {
        explanation.end("the client cannot connect");
    }
    found
}

fn refusal(key: SocketKey, http: &HttpListener, question: &HttpQuestion) -> Option<String> {
    match (http.tls.is_some(), question.is_https) {
        (true, false) => return Some("it speaks TLS only".to_owned()),
        (false, true) => return Some("it speaks no TLS".to_owned()),
        _ => {}
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

fn route(
    listener: &HttpListener,
    question: &HttpQuestion,
    path: &str,
    explanation: &mut Explanation,
) -> Option<Arc<Rule>> {
    let fields = question.headers.iter();
    let asked = Asked {
        host: &question.host,
        path,
        method: &question.method,
        query: &question.query,
        fields: fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())),
    };
    let Some(host) = listener.select(&question.host) else {
        explanation.step("host", format!("no listener of this socket is for {}", question.host));
        return None;
    };
    let candidates: Vec<_> = host.routes.candidates(&asked).collect();
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
    step.candidates = candidates.iter().map(as_candidate).collect();
    // what matched is of more interest than what did not
    step.candidates.sort_by_key(|candidate| !candidate.taken);
    selected.cloned()
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
