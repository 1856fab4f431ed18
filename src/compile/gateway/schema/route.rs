//! Routes of every kind.

use std::sync::Arc;

use super::{Checked, filter, is_field_name, is_section_name};
use crate::manifest::gateway::{
    BackendRef, GrpcMethodMatch, GrpcRouteSpec, HttpFilter, HttpPathMatch, HttpRouteRule,
    HttpRouteSpec, NamedMatch, ParentReference, SessionPersistence, TlsRouteSpec,
};

pub(super) fn http(spec: &HttpRouteSpec, checked: &mut Checked<'_, '_>) {
    parents(&spec.parent_refs, spec.use_default_gateways.as_deref(), checked);
    checked.at_most(16, "spec.hostnames", spec.hostnames.len());
    let rules = &spec.rules;
    let matches = rules.iter().map(|it| it.matches.len());
    counts(rules.len(), matches, checked);
    names(rules.iter().map(|it| it.name.as_ref()), checked);
    for (place, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{place}]");
        for (place, wanted) in rule.matches.iter().enumerate() {
            let field = format!("{field}.matches[{place}]");
            path(&wanted.path, &format!("{field}.path.value"), checked);
            fields(&wanted.headers, &format!("{field}.headers"), checked);
            fields(&wanted.query_params, &format!("{field}.queryParams"), checked);
        }
        shares(&rule.backend_refs, &field, checked);
        session(rule.session_persistence.as_ref(), &field, checked);
        together(rule, &field, checked);
        filter::all(&rule.filters, &format!("{field}.filters"), checked);
        let attempts = rule.retry.as_ref().and_then(|it| it.attempts);
        if attempts == Some(0) {
            let message = "0 attempts are no retry: at least 1";
            checked.warn(&format!("{field}.retry.attempts"), message);
        }
    }
}

pub(super) fn grpc(spec: &GrpcRouteSpec, checked: &mut Checked<'_, '_>) {
    parents(&spec.parent_refs, spec.use_default_gateways.as_deref(), checked);
    checked.at_most(16, "spec.hostnames", spec.hostnames.len());
    let rules = &spec.rules;
    counts(rules.len(), rules.iter().map(|it| it.matches.len()), checked);
    names(rules.iter().map(|it| it.name.as_ref()), checked);
    for (place, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{place}]");
        for (place, wanted) in rule.matches.iter().enumerate() {
            let field = format!("{field}.matches[{place}]");
            fields(&wanted.headers, &format!("{field}.headers"), checked);
            if let Some(wanted) = &wanted.method {
                method(wanted, &format!("{field}.method"), checked);
            }
        }
        shares(&rule.backend_refs, &field, checked);
        session(rule.session_persistence.as_ref(), &field, checked);
        filter::all(&rule.filters, &format!("{field}.filters"), checked);
    }
}

pub(super) fn tls(spec: &TlsRouteSpec, checked: &mut Checked<'_, '_>) {
    checked.at_least_one("spec.hostnames", spec.hostnames.len());
    checked.at_most(1024, "spec.hostnames", spec.hostnames.len());
    stream(spec, checked);
}

pub(super) fn stream(spec: &TlsRouteSpec, checked: &mut Checked<'_, '_>) {
    parents(&spec.parent_refs, spec.use_default_gateways.as_deref(), checked);
    for (place, rule) in spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{place}]");
        checked.at_least_one(&format!("{field}.backendRefs"), rule.backend_refs.len());
        shares(&rule.backend_refs, &field, checked);
    }
}

fn parents(refs: &[ParentReference], default: Option<&str>, checked: &mut Checked<'_, '_>) {
    let field = "spec.parentRefs";
    checked.at_most(32, field, refs.len());
    if default.is_some_and(|it| it != "None") {
        let message = "rutter has no default Gateways: name the parent";
        checked.note("spec.useDefaultGateways", message);
    }
    checked.distinct(refs, field, "", "the parent is there twice");
    let form = |it: &ParentReference| (it.section_name.is_some(), it.port.is_some());
    let parent = |it: &ParentReference| {
        (it.group.clone(), it.kind.clone(), it.namespace.clone(), it.name.clone())
    };
    let differs = |place: usize, it: &ParentReference| {
        let mut earlier = refs.iter().take(place);
        earlier.any(|other| parent(other) == parent(it) && form(other) != form(it))
    };
    if let Some((place, _)) = refs.iter().enumerate().find(|(place, it)| differs(*place, it)) {
        let message = "of several references to a parent all name a section, or all a port";
        checked.warn(&format!("{field}[{place}]"), message);
    }
}

fn counts(rules: usize, matches: impl Iterator<Item = usize>, checked: &mut Checked<'_, '_>) {
    checked.at_most(16, "spec.rules", rules);
    let mut total = 0;
    for (place, count) in matches.enumerate() {
        checked.at_most(64, &format!("spec.rules[{place}].matches"), count);
        total += count;
    }
    if total > 128 {
        let message = format!("{total} matches in all rules where at most 128 may be");
        checked.warn("spec.rules", &message);
    }
}

fn names<'n>(names: impl Iterator<Item = Option<&'n Arc<str>>>, checked: &mut Checked<'_, '_>) {
    let names: Vec<_> = names.collect();
    for (place, name) in names.iter().enumerate() {
        let Some(name) = name else { continue };
        let field = format!("spec.rules[{place}].name");
        if !is_section_name(name) {
            checked.warn(&field, &format!("{name:?} is no name of a rule"));
        }
        if names.iter().take(place).any(|earlier| *earlier == Some(name)) {
            checked.warn(&field, &format!("another rule is named {name:?}"));
        }
    }
}

/// A cluster takes the characters of RFC 3986 only.
fn path(written: &HttpPathMatch, field: &str, checked: &mut Checked<'_, '_>) {
    if written.value.len() > 1024 {
        checked.warn(field, "the path is longer than 1024 bytes");
    }
    if &*written.kind == "RegularExpression" || !written.value.starts_with('/') {
        return;
    }
    if written.value.contains(['?', '#']) {
        checked.warn(field, "a path ends before its query: nothing matches this");
    } else if !is_path(&written.value) {
        let message = format!("{:?} is no path of a URL: write it percent-encoded", written.value);
        checked.warn(field, &message);
    }
}

fn is_path(path: &str) -> bool {
    let of_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte);
    let mut parts = path.split('%');
    let is_plain = |part: &str| part.bytes().all(of_path);
    let is_encoded = |part: &str| {
        let digits = part.as_bytes().first_chunk::<2>();
        digits.is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit)) && is_plain(part)
    };
    parts.next().is_some_and(is_plain) && parts.all(is_encoded)
}

/// Header fields or query parameters that a request must have.
fn fields(wanted: &[NamedMatch], field: &str, checked: &mut Checked<'_, '_>) {
    checked.at_most(16, field, wanted.len());
    for (place, it) in wanted.iter().enumerate() {
        if !it.name.is_empty() && !is_field_name(&it.name) {
            let message = format!("{:?} is no name of a field", it.name);
            checked.warn(&format!("{field}[{place}].name"), &message);
        }
        if it.value.is_empty() {
            checked.warn(&format!("{field}[{place}]"), "the value is empty");
        }
    }
    let names: Vec<_> = wanted.iter().map(|it| it.name.to_ascii_lowercase()).collect();
    checked.distinct(&names, field, ".name", "the name is there twice: the first counts");
}

fn method(wanted: &GrpcMethodMatch, field: &str, checked: &mut Checked<'_, '_>) {
    if wanted.kind.as_deref().is_some_and(|kind| kind != "Exact") {
        return;
    }
    let is_identifier = |text: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let starts = text.bytes().next().is_some_and(|it| !it.is_ascii_digit());
        starts && text.bytes().all(inside)
    };
    let is_service = |text: &str| text.trim_start_matches('.').split('.').all(is_identifier);
    let service = wanted.service.as_deref().filter(|it| !it.is_empty());
    if let Some(service) = service.filter(|it| !is_service(it)) {
        let message = format!("{service:?} is no name of a service");
        checked.warn(&format!("{field}.service"), &message);
    }
    let method = wanted.method.as_deref().filter(|it| !it.is_empty());
    if let Some(method) = method.filter(|it| !is_identifier(it)) {
        let message = format!("{method:?} is no name of a method");
        checked.warn(&format!("{field}.method"), &message);
    }
}

fn shares(refs: &[BackendRef], field: &str, checked: &mut Checked<'_, '_>) {
    let field = format!("{field}.backendRefs");
    checked.at_most(16, &field, refs.len());
    for (place, share) in refs.iter().enumerate() {
        let field = format!("{field}[{place}]");
        if share.weight.is_some_and(|it| (1_000_001..=i64::from(u32::MAX)).contains(&it)) {
            checked.warn(&format!("{field}.weight"), "a weight is at most 1000000");
        }
        filter::all(&share.filters, &format!("{field}.filters"), checked);
    }
}

fn session(written: Option<&SessionPersistence>, field: &str, checked: &mut Checked<'_, '_>) {
    if let Some(written) = written {
        filter::session(written, &format!("{field}.sessionPersistence"), checked);
    }
}

/// Filters beside the rest of their rule.
fn together(rule: &HttpRouteRule, field: &str, checked: &mut Checked<'_, '_>) {
    let mut filters = rule.filters.iter().enumerate();
    let redirect = filters.find(|(_, it)| &*it.kind == "RequestRedirect");
    if let Some((place, _)) = redirect.filter(|_| !rule.backend_refs.is_empty()) {
        let message = "the rule redirects every request: its backendRefs get none";
        checked.warn(&format!("{field}.filters[{place}]"), message);
    }
    if rule.matches.len() > 1 {
        let of_shares = rule.backend_refs.iter().flat_map(|it| &it.filters);
        if rule.filters.iter().chain(of_shares).any(replaces_prefix) {
            let message =
                "replacePrefixMatch needs exactly one match: each replaces its own prefix";
            checked.warn(&format!("{field}.matches"), message);
        }
    }
}

fn replaces_prefix(filter: &HttpFilter) -> bool {
    let redirect = filter.request_redirect.as_ref().and_then(|it| it.path.as_ref());
    let rewrite = filter.url_rewrite.as_ref().and_then(|it| it.path.as_ref());
    redirect.or(rewrite).is_some_and(|it| it.replace_prefix_match.is_some())
}
