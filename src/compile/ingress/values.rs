//! Hosts and paths by the rules of the API server
//! (kubernetes: pkg/apis/networking/validation/validation.go).

use std::net::IpAddr;

use crate::compile::report::Subject;
use crate::manifest::{Code, Finding};
use crate::snapshot::{HostMatch, MatchPath};

/// Why the API server would refuse a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Refused {
    message: String,
    help: Option<String>,
}

impl Refused {
    pub(in crate::compile) fn because(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    /// With what to write instead.
    pub(super) fn or(mut self, instead: &str) -> Self {
        self.help = Some(format!("write {instead}"));
        self
    }

    pub(in crate::compile) fn finding(self, subject: Subject<'_>, field: &str) -> Finding {
        let mut finding = subject.error(Code::BadValue, field, self.message);
        finding.help = self.help;
        finding
    }
}

/// A host of a rule or of `tls`: a DNS name, or one with a leading `*.`; empty is every host.
/// Upper case, which the API server refuses, is read as lower case.
pub(in crate::compile) fn host(written: &str) -> Result<HostMatch, Refused> {
    if written.is_empty() {
        return Ok(HostMatch::Any);
    }
    let refuse = |why: &str| Refused::because(format!("{written:?} is no host: {why}"));
    let bare = written.trim_matches(['[', ']']);
    if bare.parse::<IpAddr>().is_ok() {
        return Err(refuse("an address is none").or("a name, or leave the host away for all"));
    }
    if let Some((name, port)) = written.rsplit_once(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return Err(refuse("the port does not belong to it").or(name));
    }
    let lower = written.to_ascii_lowercase();
    let (suffix, is_wildcard) = match lower.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (lower.as_str(), false),
    };
    if suffix.contains('*') {
        return Err(refuse("`*` stands for the whole first label only"));
    }
    if !is_subdomain(suffix) {
        return Err(refuse("labels are letters, digits and `-`, joined by `.`"));
    }
    Ok(if is_wildcard {
        HostMatch::Wildcard(suffix.into())
    } else {
        HostMatch::Exact(suffix.into())
    })
}

/// DNS-1123 subdomain.
fn is_subdomain(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

pub(super) const PATH_TYPES: [&str; 3] = ["Exact", "Prefix", "ImplementationSpecific"];

/// A path of one of the [`PATH_TYPES`]; `ImplementationSpecific` is `Prefix` here.
pub(in crate::compile) fn path(kind: &str, written: &str) -> Result<MatchPath, Refused> {
    let refuse = |why: &str| Refused::because(format!("{written:?} is no path: {why}"));
    if written.is_empty() && kind == "ImplementationSpecific" {
        return Ok(MatchPath::Prefix("".into()));
    }
    if !written.starts_with('/') {
        return Err(refuse("it must begin with `/`").or(&format!("/{written}")));
    }
    if kind == "ImplementationSpecific" {
        return Ok(prefix(written));
    }
    if let Some(part) = REFUSED_PARTS.iter().find(|part| written.contains(**part)) {
        return Err(refuse(&format!("it contains {part}")));
    }
    if written.ends_with("/.") || written.ends_with("/..") {
        return Err(refuse("it ends with a dot segment"));
    }
    Ok(if kind == "Exact" { MatchPath::Exact(written.into()) } else { prefix(written) })
}

const REFUSED_PARTS: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];

/// One trailing `/` is ignored.
fn prefix(written: &str) -> MatchPath {
    MatchPath::Prefix(written.strip_suffix('/').unwrap_or(written).into())
}

/// Why no request has this path, if it looks like something else than a path.
pub(super) fn never_matches(path: &str) -> Option<&'static str> {
    if path.contains(['?', '#']) {
        return Some("a path ends before its query: nothing matches this");
    }
    let is_pattern = path.ends_with("/*") || path.contains(['^', '|', '\\']) || path.contains(".*");
    is_pattern
        .then_some("patterns are taken letter by letter; pathType Prefix covers what is below")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_wildcards_of_one_label() {
        let exact = |host: &str| Some(HostMatch::Exact(host.into()));
        for (written, expected) in [
            ("", Some(HostMatch::Any)),
            ("shop.example.com", exact("shop.example.com")),
            ("Shop.Example.com", exact("shop.example.com")),
            ("localhost", exact("localhost")),
            ("1.example.com", exact("1.example.com")),
            ("*.example.com", Some(HostMatch::Wildcard("example.com".into()))),
            ("*", None),
            ("*.*.example.com", None),
            ("a.*.example.com", None),
            ("*example.com", None),
            ("10.0.0.1", None),
            ("[::1]", None),
            ("::1", None),
            ("shop.example.com:8080", None),
            ("shop..example.com", None),
            ("-shop.example.com", None),
            ("shop_1.example.com", None),
            ("shop.example.com/x", None),
        ] {
            assert_eq!(host(written).ok(), expected, "{written}");
        }
    }

    #[test]
    fn paths_are_checked_by_type() {
        let exact = |path: &str| Some(MatchPath::Exact(path.into()));
        let prefix = |path: &str| Some(MatchPath::Prefix(path.into()));
        for (kind, written, expected) in [
            ("Exact", "/foo", exact("/foo")),
            ("Exact", "/foo/", exact("/foo/")),
            ("Exact", "/", exact("/")),
            ("Prefix", "/", prefix("")),
            ("Prefix", "/foo/", prefix("/foo")),
            ("ImplementationSpecific", "", prefix("")),
            ("ImplementationSpecific", "/a//b", prefix("/a//b")),
            ("ImplementationSpecific", "a", None),
            ("Prefix", "", None),
            ("Prefix", "foo", None),
            ("Prefix", "/a//b", None),
            ("Prefix", "/a/./b", None),
            ("Exact", "/a/../b", None),
            ("Exact", "/a/..", None),
            ("Exact", "/a/.", None),
            ("Exact", "/a%2Fb", None),
        ] {
            assert_eq!(path(kind, written).ok(), expected, "{kind} {written}");
        }
    }
}
