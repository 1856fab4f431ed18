//! Filters and session persistence.

use super::{Checked, is_field_name};
use crate::manifest::gateway::{
    CorsFilter, ExternalAuthFilter, HeaderFilter, HttpFilter, SessionPersistence,
};
use crate::snapshot::HeaderModifier;

/// The filters at `field`.
pub(super) fn all(filters: &[HttpFilter], field: &str, checked: &mut Checked<'_, '_>) {
    checked.at_most(16, field, filters.len());
    for (place, filter) in filters.iter().enumerate() {
        let field = format!("{field}[{place}]");
        members(filter, &field, checked);
        if let Some(written) = &filter.request_header_modifier {
            headers(written, &format!("{field}.requestHeaderModifier"), checked);
        }
        if let Some(written) = &filter.response_header_modifier {
            headers(written, &format!("{field}.responseHeaderModifier"), checked);
        }
        if let Some(written) = &filter.cors {
            cors(written, &format!("{field}.cors"), checked);
        }
        if let Some(written) = &filter.external_auth {
            external_auth(written, &format!("{field}.externalAuth"), checked);
        }
    }
}

/// A filter has the member of its type, and no other.
fn members(filter: &HttpFilter, field: &str, checked: &mut Checked<'_, '_>) {
    let members = [
        (
            "RequestHeaderModifier",
            "requestHeaderModifier",
            filter.request_header_modifier.is_some(),
        ),
        (
            "ResponseHeaderModifier",
            "responseHeaderModifier",
            filter.response_header_modifier.is_some(),
        ),
        ("RequestMirror", "requestMirror", filter.request_mirror.is_some()),
        ("RequestRedirect", "requestRedirect", filter.request_redirect.is_some()),
        ("URLRewrite", "urlRewrite", filter.url_rewrite.is_some()),
        ("CORS", "cors", filter.cors.is_some()),
        ("ExternalAuth", "externalAuth", filter.external_auth.is_some()),
    ];
    for (kind, member, is_set) in members {
        if is_set && !filter.kind.is_empty() && *filter.kind != *kind {
            let message =
                format!("a filter of type {:?} has no {member}: it is not done", filter.kind);
            checked.warn(&format!("{field}.{member}"), &message);
        }
    }
}

fn headers(written: &HeaderFilter, field: &str, checked: &mut Checked<'_, '_>) {
    for (part, list) in [("set", &written.set), ("add", &written.add)] {
        let field = format!("{field}.{part}");
        checked.at_most(16, &field, list.len());
        if let Some(place) = list.iter().position(|it| it.value.is_empty()) {
            checked.warn(&format!("{field}[{place}]"), "the value is empty");
        }
        let names: Vec<_> = list.iter().map(|it| it.name.to_ascii_lowercase()).collect();
        checked.distinct(&names, &field, ".name", "the name is there twice");
        for (place, it) in list.iter().enumerate() {
            reserved(&it.name, &format!("{field}[{place}].name"), checked);
        }
    }
    checked.at_most(16, &format!("{field}.remove"), written.remove.len());
    for (place, name) in written.remove.iter().enumerate() {
        reserved(name, &format!("{field}.remove[{place}]"), checked);
    }
}

/// A field that no filter changes.
fn reserved(name: &str, field: &str, checked: &mut Checked<'_, '_>) {
    if HeaderModifier::is_reserved(name) {
        let message = match name.eq_ignore_ascii_case("host") {
            true => "a filter of type URLRewrite changes the host: this does nothing".to_owned(),
            false => format!("rutter itself writes the field {name}: this does nothing"),
        };
        checked.note(field, &message);
    }
}

fn cors(written: &CorsFilter, field: &str, checked: &mut Checked<'_, '_>) {
    checked.at_most(64, &format!("{field}.allowOrigins"), written.allow_origins.len());
    for (place, method) in written.allow_methods.iter().enumerate() {
        let field = format!("{field}.allowMethods[{place}]");
        checked.one_of(&CORS_METHODS, &field, Some(method));
    }
    for (part, list) in
        [("allowHeaders", &written.allow_headers), ("exposeHeaders", &written.expose_headers)]
    {
        let field = format!("{field}.{part}");
        checked.at_most(64, &field, list.len());
        for (place, name) in list.iter().enumerate().filter(|(_, name)| !is_field_name(name)) {
            let message = format!("{name:?} is no name of a header field");
            checked.warn(&format!("{field}[{place}]"), &message);
        }
    }
}

fn external_auth(written: &ExternalAuthFilter, field: &str, checked: &mut Checked<'_, '_>) {
    let members =
        [("GRPC", "grpc", written.grpc.is_some()), ("HTTP", "http", written.http.is_some())];
    for (protocol, member, is_set) in members {
        let field = format!("{field}.{member}");
        match (&*written.protocol == protocol, is_set) {
            (true, false) => {
                checked.warn(&field, &format!("protocol {protocol} needs {member}, were it {{}}"));
            }
            (false, true) => {
                let message = format!("protocol {} has no {member}", written.protocol);
                checked.warn(&field, &message);
            }
            _ => {}
        }
    }
}

/// A session at `field`.
pub(super) fn session(written: &SessionPersistence, field: &str, checked: &mut Checked<'_, '_>) {
    if written.kind.as_deref() == Some("Header") && written.cookie_config.is_some() {
        checked.warn(&format!("{field}.cookieConfig"), "sessions of type Header have no cookie");
    }
    if written.session_name.as_deref().is_some_and(|it| it.len() > 128) {
        checked.warn(&format!("{field}.sessionName"), "the name is longer than 128 characters");
    }
}

const CORS_METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "*"];
