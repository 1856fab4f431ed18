//! Hosts and paths of rules, by the validation of the Ingress API
//! (Kubernetes `pkg/apis/networking/validation/validation.go`).

use std::net::IpAddr;
use std::sync::Arc;

use crate::snapshot::{HostMatch, MatchPath};

/// A host of a rule: exact, a wildcard of one label, or every host.
pub(super) fn host(text: &str) -> Result<HostMatch, String> {
    if text.is_empty() {
        return Ok(HostMatch::Any);
    }
    let lower = text.to_ascii_lowercase();
    if text.parse::<IpAddr>().is_ok() {
        return Err(format!("host {text:?} is an address; a host is a name"));
    }
    if text.contains(':') {
        return Err(format!("host {text:?} has a port; hosts are names only"));
    }
    let (wildcard, name) = match lower.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, lower.as_str()),
    };
    if name.contains('*') {
        return Err(format!(
            "host {text:?}: a wildcard is the whole first label, as in *.example.com"
        ));
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(format!("host {text:?} is not a DNS name"));
    }
    Ok(if wildcard { HostMatch::Wildcard(name.into()) } else { HostMatch::Exact(name.into()) })
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// A path of a rule. `ImplementationSpecific` is a prefix, as with ingress-nginx.
pub(super) fn path(kind: &str, text: &str) -> Result<MatchPath, String> {
    let is_free = kind == "ImplementationSpecific";
    if text.is_empty() && is_free {
        return Ok(MatchPath::Prefix("".into()));
    }
    if !text.starts_with('/') {
        return Err(format!("path {text:?} does not begin with /"));
    }
    let forbidden = ["//", "/./", "/../", "%2f", "%2F"].into_iter().find(|it| text.contains(it));
    let forbidden = forbidden.or_else(|| ["/..", "/."].into_iter().find(|it| text.ends_with(it)));
    if let Some(part) = forbidden.filter(|_| !is_free) {
        return Err(format!("path {text:?} contains {part:?}"));
    }
    Ok(match kind {
        "Exact" => MatchPath::Exact(text.into()),
        _ => MatchPath::Prefix(prefix(text)),
    })
}

/// One trailing `/` says nothing.
fn prefix(text: &str) -> Arc<str> {
    text.strip_suffix('/').unwrap_or(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_wildcards_of_one_label() {
        assert_eq!(host(""), Ok(HostMatch::Any));
        assert_eq!(host("Shop.Example.com"), Ok(HostMatch::Exact("shop.example.com".into())));
        assert_eq!(host("*.example.com"), Ok(HostMatch::Wildcard("example.com".into())));
        for bad in ["10.0.0.1", "::1", "a.test:80", "*", "*.*.a", "a.*.b", "-a.test", "a..b", "a_b"]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn paths_follow_the_validation_of_the_api() {
        assert_eq!(path("Exact", "/foo/"), Ok(MatchPath::Exact("/foo/".into())));
        assert_eq!(path("Prefix", "/foo/"), Ok(MatchPath::Prefix("/foo".into())));
        assert_eq!(path("Prefix", "/"), Ok(MatchPath::Prefix("".into())));
        assert_eq!(path("ImplementationSpecific", ""), Ok(MatchPath::Prefix("".into())));
        for bad in ["", "foo", "/a//b", "/a/./b", "/a/../b", "/a%2fb", "/a%2Fb", "/a/..", "/a/."] {
            assert!(path("Prefix", bad).is_err(), "{bad}");
            assert!(path("Exact", bad).is_err(), "{bad}");
        }
    }
}
