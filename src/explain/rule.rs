//! What a rule does with a request: filters with before and after, limits, shares.

use super::{Candidate, Explanation, HttpQuestion, Place};
use crate::snapshot::{
    Action, Algorithm, Authorities, Backend, Balancing, EndpointSet, ExternalAuthProtocol, Filter,
    HashKey, HeaderModifier, PathRewrite, Protocol, Reason, Redirect, Rewrite, Rule,
    SessionCarrier, SessionPersistence, Target, UpstreamTls, WeightedBackend,
};

/// The request as it stands after the filters so far.
struct Request {
    host: String,
    path: String,
    headers: Vec<(String, String)>,
}

/// Tells what becomes of a request that a rule has taken, up to the endpoints.
pub(super) fn explain(
    rule: &Rule,
    question: &HttpQuestion,
    path: &str,
    own_port: u16,
    explanation: &mut Explanation,
) {
    let mut request = Request {
        host: question.host.clone(),
        path: path.to_owned(),
        headers: question.headers.clone(),
    };
    filters("filters", rule, &rule.filters, &mut request, explanation);
    limits(rule, explanation);
    let sent = |redirect: &Redirect, host: &str| {
        let scheme = if question.is_https { "https" } else { "http" };
        let location = redirect.location(scheme, host, own_port, path, &question.query);
        format!("the client is sent to {location} ({})", redirect.status)
    };
    match &rule.action {
        Action::Fail(failure) => explanation.fail(failure.reason, &failure.detail),
        Action::Redirect(redirect) => explanation.end(sent(redirect, &request.host)),
        Action::Forward(shares) => forward(rule, shares, &request, sent, explanation),
    }
}

fn filters(
    title: &'static str,
    rule: &Rule,
    filters: &[Filter],
    request: &mut Request,
    explanation: &mut Explanation,
) {
    if filters.is_empty() {
        return;
    }
    let candidates = filters.iter().map(|filter| {
        let (what, why) = step(filter, request);
        Candidate { what: what.to_owned(), taken: true, why, place: None }
    });
    let candidates = candidates.collect();
    let step = explanation.step(title, format!("{} on the way", filters.len()));
    step.candidates = candidates;
    step.place = Place::new(&rule.origin, &rule.field);
}

/// The name of a filter and what it does to this request.
fn step(filter: &Filter, request: &mut Request) -> (&'static str, String) {
    match filter {
        Filter::RequestHeaders(modifier) => {
            ("RequestHeaderModifier", change(modifier, &mut request.headers))
        }
        Filter::ResponseHeaders(modifier) => {
            ("ResponseHeaderModifier", change(modifier, &mut Vec::new()))
        }
        Filter::Redirect(redirect) => {
            ("RequestRedirect", format!("the client is sent elsewhere ({})", redirect.status))
        }
        Filter::Rewrite(rewrite) => ("URLRewrite", apply(rewrite, request)),
        Filter::Mirror(mirror) => {
            let (share, of, to) = (mirror.numerator, mirror.denominator, &mirror.target.backend.id);
            ("RequestMirror", format!("{share} of {of} requests are copied to {to}"))
        }
        Filter::Cors(cors) => {
            let origin =
                request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("origin"));
            let origins = cors.allow_origins.join(", ");
            (
                "CORS",
                match origin {
                    Some((_, origin)) => format!("origin {origin}; allowed: {origins}"),
                    None => format!("the request names no origin; allowed: {origins}"),
                },
            )
        }
        Filter::ExternalAuth(auth) => {
            let how = match &auth.protocol {
                ExternalAuthProtocol::Grpc => "by gRPC",
                ExternalAuthProtocol::Http { .. } => "by HTTP",
            };
            (
                "ExternalAuth",
                match &auth.target {
                    Ok(target) => format!("{} is asked {how} before it goes on", target.backend.id),
                    Err(failure) => format!("nothing passes: {}", failure.detail),
                },
            )
        }
    }
}

/// Before and after of each field, in the order of the planes: set, add, remove.
fn change(modifier: &HeaderModifier, headers: &mut Vec<(String, String)>) -> String {
    let is = |name: &str| {
        let name = name.to_owned();
        move |known: &(String, String)| known.0.eq_ignore_ascii_case(&name)
    };
    let mut changes = Vec::new();
    for (name, value) in &modifier.set {
        let before = headers.iter().find(|it| is(name)(it)).map(|(_, before)| before.clone());
        headers.retain(|it| !is(name)(it));
        headers.push((name.to_string(), value.to_string()));
        changes.push(match before {
            Some(before) => format!("{name}: {before} → {value}"),
            None => format!("{name}: {value} (set)"),
        });
    }
    for (name, value) in &modifier.add {
        headers.push((name.to_string(), value.to_string()));
        changes.push(format!("{name}: {value} (added)"));
    }
    for name in &modifier.remove {
        let before = headers.iter().find(|it| is(name)(it)).map(|(_, before)| before.clone());
        headers.retain(|it| !is(name)(it));
        changes.push(match before {
            Some(before) => format!("{name}: {before} → (removed)"),
            None => format!("{name} (removed where it is)"),
        });
    }
    changes.join("; ")
}

fn apply(rewrite: &Rewrite, request: &mut Request) -> String {
    let mut changes = Vec::new();
    if let Some(host) = &rewrite.host {
        changes.push(format!("host {} → {host}", request.host));
        request.host = host.to_string();
    }
    if let Some(path) = &rewrite.path {
        let after = path.apply(&request.path);
        let how = match path {
            PathRewrite::Full(_) => "all of it",
            PathRewrite::Prefix { .. } => "its prefix",
        };
        changes.push(format!("path {} → {after} ({how})", request.path));
        request.path = after;
    }
    changes.join("; ")
}

/// Time limits, retries and sessions, where the rule says something.
fn limits(rule: &Rule, explanation: &mut Explanation) {
    let time = |limit: std::time::Duration| match limit.is_zero() {
        true => "without limit".to_owned(),
        false => format!("{limit:?}"),
    };
    let mut said = Vec::new();
    said.extend(rule.timeouts.request.map(|it| format!("the whole: {}", time(it))));
    said.extend(rule.timeouts.backend.map(|it| format!("each attempt: {}", time(it))));
    if let Some(retry) = &rule.retry {
        let codes: Vec<_> = retry.codes.iter().map(u16::to_string).collect();
        let codes = if codes.is_empty() { "failures".to_owned() } else { codes.join(", ") };
        let (attempts, backoff) = (retry.attempts, retry.backoff);
        said.push(format!("up to {attempts} retries on {codes}, {backoff:?} apart"));
    }
    said.extend(rule.session.as_ref().map(|session| persistence(session)));
    if !said.is_empty() {
        explanation.step("limits", said.join("; "));
    }
}

fn persistence(session: &SessionPersistence) -> String {
    let carrier = match session.carrier {
        SessionCarrier::Cookie { .. } => "cookie",
        SessionCarrier::Header => "header field",
    };
    format!("the {carrier} {} keeps a client with its endpoint", session.name)
}

fn forward(
    rule: &Rule,
    shares: &[WeightedBackend],
    request: &Request,
    sent: impl Fn(&Redirect, &str) -> String,
    explanation: &mut Explanation,
) {
    by_weight(shares, Place::new(&rule.origin, &rule.field), explanation);
    let mut outcomes = Vec::new();
    for share in shares.iter().filter(|share| share.weight > 0) {
        let mut request = Request {
            host: request.host.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
        };
        let redirect = share.filters.iter().find_map(|filter| match filter {
            Filter::Redirect(redirect) => Some(redirect),
            Filter::RequestHeaders(_)
            | Filter::ResponseHeaders(_)
            | Filter::Rewrite(_)
            | Filter::Mirror(_)
            | Filter::Cors(_)
            | Filter::ExternalAuth(_) => None,
        });
        outcomes.push(match (&share.target, redirect) {
            (Ok(_), Some(redirect)) => sent(redirect, &request.host),
            (Ok(target), None) => {
                let backend = &target.backend;
                filters("filters of the backend", rule, &share.filters, &mut request, explanation);
                service(target, explanation);
                outcome(backend)
            }
            (Err(failure), _) => refused(failure.reason, &failure.detail),
        });
    }
    outcomes.dedup();
    explanation.end(outcomes.join("; or "));
}

/// The shares, where there are several.
pub(super) fn by_weight(
    shares: &[WeightedBackend],
    place: Option<Place>,
    explanation: &mut Explanation,
) {
    if shares.len() < 2 {
        return;
    }
    let total = shares.iter().map(|share| u64::from(share.weight)).sum();
    let candidates = shares.iter().map(|share| weighted(share, total)).collect();
    let step = explanation.step("backends", format!("one of {}, by weight", shares.len()));
    step.place = place;
    step.candidates = candidates;
}

fn weighted(share: &WeightedBackend, total: u64) -> Candidate {
    let percent = u64::from(share.weight).saturating_mul(100).checked_div(total).unwrap_or(0);
    let (what, fate) = match &share.target {
        Ok(target) => (target.backend.id.to_string(), String::new()),
        Err(failure) => {
            let status = failure.reason.status();
            (format!("{status} {}", failure.reason), format!(": {}", failure.detail))
        }
    };
    let why = format!("weight {} ({percent} %){fate}", share.weight);
    Candidate { what, taken: share.weight > 0, why, place: None }
}

fn service(target: &Target, explanation: &mut Explanation) {
    let backend = &target.backend;
    let protocol = match (target.protocol, &target.tls) {
        (Protocol::Http1, None) => "",
        (Protocol::Http2, _) => ", HTTP/2",
        (Protocol::Http1, Some(_)) => ", HTTP/1.1",
    };
    let verdict = format!("{}, port {}{protocol}", backend.id, backend.port);
    let step = explanation.step("service", verdict);
    step.place = Place::new(&backend.origin, &backend.field);
    if let Some(tls) = &target.tls {
        explanation.step("TLS to the backend", secured(tls));
    }
    let said = said(&backend.balancing);
    if !said.is_empty() {
        explanation.step("endpoints", said.join("; "));
    }
    explanation.endpoints_by(backend, EndpointSet::Cluster, chosen(&backend.balancing));
}

/// What else the Service says about its endpoints.
fn said(balancing: &Balancing) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(limits) = &balancing.limits {
        said.extend(limits.per_service.map(|most| format!("{most} requests at a time")));
        said.extend(limits.per_endpoint.map(|most| format!("{most} requests at a time for each")));
        said.push(format!("{} more wait for {:?}", limits.queue, limits.queue_time));
    }
    if let Some(check) = &balancing.check {
        said.push(format!("checked by {} every {:?}", check.question, check.interval));
    }
    said
}

/// Which of the endpoints a request gets.
fn chosen(balancing: &Balancing) -> String {
    let text = match &balancing.algorithm {
        Algorithm::PeakEwma => "the faster and less busy of two random ones",
        Algorithm::RoundRobin => "one after the other",
        Algorithm::LeastRequest => "the less busy of two random ones",
        Algorithm::Random => "a random one",
        Algorithm::Maglev(HashKey::Source) => "the same for every request of a client",
        Algorithm::Maglev(HashKey::Header(name)) => {
            return format!("the same for equal values of the header field {name}");
        }
        Algorithm::Maglev(HashKey::Cookie(name)) => {
            return format!("the same for equal values of the cookie {name}");
        }
    };
    text.to_owned()
}

fn secured(tls: &UpstreamTls) -> String {
    let trusted = match &tls.authorities {
        Authorities::System => "the authorities of the system".to_owned(),
        Authorities::Bundle(bundle) => {
            format!("{} authorities of its own", bundle.certificates.len())
        }
    };
    let names = match tls.names.len() {
        0 => format!("a certificate for {}", tls.server_name),
        _ => "a certificate with one of the names of the policy".to_owned(),
    };
    let client = tls.client.as_ref().map(|it| format!("; Secret {} is shown", it.secret));
    let client = client.unwrap_or_default();
    format!("server name {}, {names}, signed by {trusted}{client}", tls.server_name)
}

fn outcome(backend: &Backend) -> String {
    if backend.usable.is_empty() {
        return refused(Reason::NoReadyEndpoint, &backend.id.to_string());
    }
    format!("it goes to an endpoint of {}", backend.id)
}

/// What a client gets in place of an answer.
pub(super) fn refused(reason: Reason, detail: &str) -> String {
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!("the client gets {} {reason}{detail}", reason.status())
}
