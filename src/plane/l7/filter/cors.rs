//! Cross-origin requests (GEP-1767; fetch.spec.whatwg.org, CORS protocol).
//!
//! A preflight is answered here and never reaches an endpoint. What an endpoint says about CORS
//! itself is replaced, so that the rule alone decides. An origin that is not allowed gets no
//! fields, and its browser refuses.

use std::sync::Arc;

use crate::plane::l7::forwarded::Request;
use crate::plane::l7::h1::Name;
use crate::plane::l7::respond::OwnAnswer;
use crate::snapshot::{Cors, Filter, HeaderModifier};

/// What the response must say; the answer to a preflight is the error.
pub(in crate::plane::l7) fn of<'a, F>(
    filters: &[Filter],
    request: &Request<'a, F>,
) -> Result<Option<HeaderModifier>, OwnAnswer>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    let cors = filters
        .iter()
        .find_map(|filter| if let Filter::Cors(cors) = filter { Some(cors) } else { None });
    let (Some(cors), Some(origin)) = (cors, field(request, "origin")) else { return Ok(None) };
    let allowed = cors.allow_origins.iter().any(|allowed| takes(allowed, origin));
    let method = field(request, "access-control-request-method");
    if let (true, Some(method)) = (request.method == "OPTIONS", method) {
        let asked = field(request, "access-control-request-headers").unwrap_or_default();
        let answer = OwnAnswer::new(204);
        let fields = if allowed { preflight(cors, origin, method, asked) } else { Vec::new() };
        return Err(fields
            .into_iter()
            .fold(answer, |answer, (name, value)| answer.field(name, value)));
    }
    let fields = if allowed { common(cors, origin) } else { Vec::new() };
    let (vary, set): (Vec<_>, Vec<_>) = fields
        .into_iter()
        .map(|(name, value)| (Arc::<str>::from(name), Arc::<str>::from(value)))
        .partition(|(name, _)| &**name == "vary");
    let is_set = |name: &str| set.iter().any(|(known, _)| **known == *name);
    let remove = NAMES.iter().filter(|name| !is_set(name)).map(|name| Arc::from(*name)).collect();
    Ok(Some(HeaderModifier { set, add: vary, remove }))
}

type Fields = Vec<(&'static str, String)>;

/// What the answer to a preflight says.
fn preflight(cors: &Cors, origin: &str, method: &str, asked: &str) -> Fields {
    let mut fields = common(cors, origin);
    let methods = listed(&cors.allow_methods, method, cors.allow_credentials);
    let names = listed(&cors.allow_headers, asked, cors.allow_credentials);
    if !methods.is_empty() {
        fields.push(("access-control-allow-methods", methods));
    }
    if !names.is_empty() {
        fields.push(("access-control-allow-headers", names));
    }
    fields.push(("access-control-max-age", cors.max_age.to_string()));
    fields
}

/// What every response says, that to a preflight as well (as the conformance suite wants it).
fn common(cors: &Cors, origin: &str) -> Fields {
    let is_star = !cors.allow_credentials && cors.allow_origins.iter().any(|it| &**it == "*");
    let allowed = if is_star { "*" } else { origin };
    let mut fields = vec![("access-control-allow-origin", allowed.to_owned())];
    if !is_star {
        // a cache must not give one origin the answer of another
        fields.push(("vary", "Origin".to_owned()));
    }
    if cors.allow_credentials {
        fields.push(("access-control-allow-credentials", "true".to_owned()));
    }
    if !cors.expose_headers.is_empty() {
        // with credentials the star is a name like any other
        fields.push(("access-control-expose-headers", cors.expose_headers.join(", ")));
    }
    fields
}

/// A list as the browser takes it; with credentials a star means nothing to it, so that what it
/// asked for is said instead.
fn listed(allowed: &[Arc<str>], asked: &str, credentials: bool) -> String {
    let is_star = allowed.iter().any(|it| &**it == "*");
    match (is_star, credentials) {
        (true, true) => asked.to_owned(),
        (true, false) => "*".to_owned(),
        (false, _) => allowed.join(", "),
    }
}

/// Whether an origin is allowed: the same, `*`, or below a wildcard host.
fn takes(allowed: &str, origin: &str) -> bool {
    if allowed == "*" || allowed.eq_ignore_ascii_case(origin) {
        return true;
    }
    let Some((start, end)) = allowed.split_once('*') else { return false };
    let (origin, start) = (origin.to_ascii_lowercase(), start.to_ascii_lowercase());
    let inner =
        origin.strip_prefix(&start).and_then(|it| it.strip_suffix(&*end.to_ascii_lowercase()));
    inner.is_some_and(|it| !it.is_empty() && !it.contains(['/', ':', '@']))
}

fn field<'a, F>(request: &Request<'a, F>, wanted: &str) -> Option<&'a str>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    let mut fields = request.fields.clone();
    let found = fields.find(|(_, name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
    std::str::from_utf8(found?.2).ok()
}

/// What an endpoint may say about CORS.
const NAMES: [&str; 4] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-max-age",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_the_same_or_below_a_wildcard() {
        let rows = [
            ("*", "https://a.test", true),
            ("https://a.test", "https://a.test", true),
            ("https://a.test", "HTTPS://A.test", true),
            ("https://a.test", "http://a.test", false),
            ("https://a.test", "https://a.test:8443", false),
            ("https://*.a.test", "https://x.a.test", true),
            ("https://*.a.test", "https://x.y.a.test", true),
            ("https://*.a.test", "https://a.test", false),
            ("https://*.a.test", "https://evil/.a.test", false),
            ("https://*", "https://a.test", true),
            ("https://*:8443", "https://a.test:8443", true),
            ("http://*", "https://a.test", false),
        ];
        for (allowed, origin, expected) in rows {
            assert_eq!(takes(allowed, origin), expected, "{allowed} {origin}");
        }
    }

    #[test]
    fn a_star_is_spelled_out_where_credentials_are_sent() {
        let star: Vec<Arc<str>> = vec!["*".into()];
        let names: Vec<Arc<str>> = vec!["GET".into(), "POST".into()];
        assert_eq!(listed(&star, "PUT", false), "*");
        assert_eq!(listed(&star, "PUT", true), "PUT");
        assert_eq!(listed(&names, "PUT", true), "GET, POST");
    }
}
