//! What a request is for: host and path, in the one form that rules are matched by.
//!
//! What goes to the endpoint is the canonical path with the query as sent: the same that was
//! matched, so that no spelling leads past a rule. The `Host` goes on as the client wrote it.

use std::borrow::Cow;

use crate::snapshot::matching::canonical_path;

/// The target of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Canonical path; `*` for a request about the server itself.
    pub(super) path: Cow<'a, str>,
    /// Query with its `?`, as sent; may be empty.
    pub(super) query: &'a str,
    /// Host and port of the absolute form, which wins over `Host` (RFC 9112 section 3.2.2).
    pub(super) authority: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Parses the target of a request line: origin form, absolute form, or `*` for OPTIONS.
    pub(super) fn parse(target: &'a str, method: &str) -> Option<Self> {
        if target == "*" && method == "OPTIONS" {
            return Some(Self { path: Cow::Borrowed("*"), query: "", authority: None });
        }
        if target.starts_with('/') {
            return Self::at(None, target);
        }
        let (scheme, rest) = target.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        Self::at(Some(authority), rest)
    }

    /// The target of a path and query, which begins with `/`, `?` or nothing.
    pub(super) fn at(authority: Option<&'a str>, path_and_query: &'a str) -> Option<Self> {
        let end = memchr::memchr(b'?', path_and_query.as_bytes());
        let end = end.unwrap_or(path_and_query.len());
        let (path, query) = path_and_query.split_at_checked(end)?;
        let path = canonical_path(if path.is_empty() { "/" } else { path }).ok()?;
        let visible = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        visible.then_some(Self { path, query, authority })
    }

    /// The path that rules are matched by.
    pub(super) fn matched(&self) -> &str {
        if self.path == "*" { "/" } else { &self.path }
    }
}

/// The host of an authority in the form that rules are matched by: lower case, without port and
/// without the dot of an absolute name. `None`: not a host (RFC 9110 section 7.2), for example a
/// list, with user information, or with a path.
pub(super) fn canonical_host(authority: &str) -> Option<Cow<'_, str>> {
    let (host, port) = split_port(authority)?;
    let known_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    if !known_port || !is_host(host) {
        return None;
    }
    let host = host.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some(Cow::Owned(host.to_ascii_lowercase()));
    }
    Some(Cow::Borrowed(host))
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let (address, rest) = authority.split_at_checked(authority.find(']')?.checked_add(1)?)?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((address, Some(port))),
            None => rest.is_empty().then_some((address, None)),
        };
    }
    let Some(end) = memchr::memchr(b':', authority.as_bytes()) else {
        return Some((authority, None));
    };
    let (host, port) = authority.split_at_checked(end)?;
    let port = port.strip_prefix(':').filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((host, Some(port)))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    // as if a label had just ended
    let mut last = b'.';
    let names = host.bytes().all(|byte| {
        let before = std::mem::replace(&mut last, byte);
        match byte {
            b'.' => before != b'.',
            _ => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'),
        }
    });
    names && (1..=253).contains(&host.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plane::l7::forwarded::Options;
    use crate::plane::l7::h1::Name;

    proptest! {
        #[test]
        fn whatever_is_sent_is_taken_or_refused(text in "\\PC{0,30}", bytes: Vec<u8>) {
            let _ = canonical_host(&text);
            for method in ["GET", "OPTIONS"] {
                let _ = Target::parse(&text, method);
                let _ = Target::parse(&format!("http://{text}"), method);
                let _ = Target::parse(&format!("/{text}"), method);
            }
            let names = [Name::Connection, Name::Upgrade, Name::Te, Name::RequestId];
            let _ = Options::of(names.into_iter().map(|name| (name, &b""[..], &*bytes)));
        }

        #[test]
        fn a_host_stays_what_it_is(text in "[A-Za-z0-9.:_\\[\\]-]{1,20}") {
            if let Some(host) = canonical_host(&text) {
                let again = canonical_host(&host);
                prop_assert_eq!(again.as_deref(), Some(&*host));
            }
        }
    }

    #[test]
    fn hosts_are_lower_case_without_port_and_final_dot() {
        let rows = [
            ("example.com", Some("example.com")),
            ("Example.COM:8080", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("127.0.0.1:80", Some("127.0.0.1")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("a_b.example", Some("a_b.example")),
            ("", None),
            ("a,b", None),
            ("a b", None),
            ("user@a", None),
            ("a/b", None),
            ("a:b", None),
            ("a:80:80", None),
            ("a:99999", None),
            ("a:", None),
            (".a", None),
            ("a..", None),
            ("a..b", None),
            (".", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[x]", None),
            ("a%20b", None),
        ];
        for (authority, expected) in rows {
            assert_eq!(canonical_host(authority).as_deref(), expected, "{authority}");
        }
    }

    #[test]
    fn targets_are_taken_apart() {
        let rows = [
            ("/a?b=c", "GET", Some(("/a", "?b=c", None))),
            ("/a?b=/../c", "GET", Some(("/a", "?b=/../c", None))),
            ("http://h:1/x?y", "GET", Some(("/x", "?y", Some("h:1")))),
            ("HTTP://h", "GET", Some(("/", "", Some("h")))),
            ("http://h?q", "GET", Some(("/", "?q", Some("h")))),
            ("*", "OPTIONS", Some(("*", "", None))),
            ("*", "GET", None),
            ("h:443", "GET", None),
            ("ftp://h/", "GET", None),
            ("/a#b", "GET", None),
            ("/a?#b", "GET", None),
        ];
        for (target, method, expected) in rows {
            let parsed = Target::parse(target, method);
            let parsed = parsed.as_ref().map(|it| (&*it.path, it.query, it.authority));
            assert_eq!(parsed, expected, "{method} {target}");
        }
    }
}
