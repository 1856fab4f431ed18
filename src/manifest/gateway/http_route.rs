//! HTTPRoute.

use std::sync::Arc;

use serde::Deserialize;

use super::route::{none_is_one_match, one_match};
use super::{BackendRef, HttpFilter, ParentReference, SessionPersistence};
use crate::manifest::meta::{Metadata, null_is_default};

/// HTTP requests by host, path, header fields, query and method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HttpRoute {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Parents, hosts, rules.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: HttpRouteSpec,
}

/// `HTTPRoute.spec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// What it attaches to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub parent_refs: Vec<ParentReference>,
    /// Hosts; none: those of the listener.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hostnames: Vec<Arc<str>>,
    /// Which default Gateways it attaches to (GEP-3793): not served.
    #[serde(default)]
    pub use_default_gateways: Option<Arc<str>>,
    /// Absent: one that takes everything, and has no backend.
    #[serde(default = "one_rule")]
    pub rules: Vec<HttpRouteRule>,
}

impl Default for HttpRouteSpec {
    fn default() -> Self {
        Self {
            parent_refs: Vec::new(),
            hostnames: Vec::new(),
            use_default_gateways: None,
            rules: one_rule(),
        }
    }
}

fn one_rule() -> Vec<HttpRouteRule> {
    vec![HttpRouteRule::default()]
}

/// One entry of `HTTPRoute.spec.rules`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// For people and policies.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Any of them; absent: every request.
    #[serde(default = "one_match", deserialize_with = "none_is_one_match")]
    pub matches: Vec<HttpRouteMatch>,
    /// What is done on the way.
    #[serde(default, deserialize_with = "null_is_default")]
    pub filters: Vec<HttpFilter>,
    /// Where to; none: 500, unless a filter answers.
    #[serde(default, deserialize_with = "null_is_default")]
    pub backend_refs: Vec<BackendRef>,
    /// Whether clients stay with their endpoint (experimental).
    #[serde(default)]
    pub session_persistence: Option<SessionPersistence>,
    /// How long it may take.
    #[serde(default, deserialize_with = "null_is_default")]
    pub timeouts: HttpTimeouts,
    /// Further attempts (experimental).
    #[serde(default)]
    pub retry: Option<HttpRetry>,
}

impl Default for HttpRouteRule {
    fn default() -> Self {
        Self {
            name: None,
            matches: one_match(),
            filters: Vec::new(),
            backend_refs: Vec::new(),
            session_persistence: None,
            timeouts: HttpTimeouts::default(),
            retry: None,
        }
    }
}

/// What a request must have: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// Prefix `/` if absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub path: HttpPathMatch,
    /// Header fields.
    #[serde(default, deserialize_with = "null_is_default")]
    pub headers: Vec<NamedMatch>,
    /// Query parameters.
    #[serde(default, deserialize_with = "null_is_default")]
    pub query_params: Vec<NamedMatch>,
    /// The method.
    #[serde(default)]
    pub method: Option<Arc<str>>,
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HttpPathMatch {
    /// `Exact`, `PathPrefix` or `RegularExpression`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Begins with `/`, unless it is a regular expression.
    pub value: Arc<str>,
}

impl Default for HttpPathMatch {
    fn default() -> Self {
        Self { kind: "PathPrefix".into(), value: "/".into() }
    }
}

/// A header field or query parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NamedMatch {
    /// `Exact` if absent, or `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// Its value, or the expression.
    #[serde(default, deserialize_with = "null_is_default")]
    pub value: Arc<str>,
}

/// Durations of GEP-2257, such as `500ms` or `1m30s`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpTimeouts {
    /// Of the whole request.
    #[serde(default)]
    pub request: Option<Arc<str>>,
    /// Of one attempt.
    #[serde(default)]
    pub backend_request: Option<Arc<str>>,
}

/// Further attempts (GEP-1731).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HttpRetry {
    /// Statuses that are not wanted.
    #[serde(default, deserialize_with = "null_is_default")]
    pub codes: Vec<i64>,
    /// How many.
    #[serde(default)]
    pub attempts: Option<i64>,
    /// How long to wait before each.
    #[serde(default)]
    pub backoff: Option<Arc<str>>,
}
