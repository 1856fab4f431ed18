//! Filters of HTTPRoute and GRPCRoute.

use std::sync::Arc;

use serde::Deserialize;

use super::{BackendRef, ExternalAuthFilter};
use crate::manifest::meta::null_is_default;

/// One step; the field that its type names is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpFilter {
    /// `RequestHeaderModifier`, `ResponseHeaderModifier`, `RequestMirror`, `RequestRedirect`,
    /// `URLRewrite`, `CORS`, `ExternalAuth` or `ExtensionRef`.
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// Changes of request fields.
    #[serde(default)]
    pub request_header_modifier: Option<HeaderFilter>,
    /// Changes of response fields.
    #[serde(default)]
    pub response_header_modifier: Option<HeaderFilter>,
    /// Copies.
    #[serde(default)]
    pub request_mirror: Option<RequestMirror>,
    /// An answer that sends the client elsewhere.
    #[serde(default)]
    pub request_redirect: Option<RedirectFilter>,
    /// Another host or path.
    #[serde(default)]
    pub url_rewrite: Option<UrlRewrite>,
    /// Cross-origin requests.
    #[serde(default)]
    pub cors: Option<CorsFilter>,
    /// Another server that is asked.
    #[serde(default)]
    pub external_auth: Option<ExternalAuthFilter>,
}

/// `set`, `add` and `remove` of header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HeaderFilter {
    /// Replaces.
    #[serde(default, deserialize_with = "null_is_default")]
    pub set: Vec<HttpHeader>,
    /// Appends.
    #[serde(default, deserialize_with = "null_is_default")]
    pub add: Vec<HttpHeader>,
    /// Takes away.
    #[serde(default, deserialize_with = "null_is_default")]
    pub remove: Vec<Arc<str>>,
}

/// Name and value of a header field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HttpHeader {
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// Its value.
    #[serde(default, deserialize_with = "null_is_default")]
    pub value: Arc<str>,
}

/// Where copies go, and how many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Required.
    #[serde(default)]
    pub backend_ref: Option<BackendRef>,
    /// Of 100; all if neither this nor `fraction` is set.
    #[serde(default)]
    pub percent: Option<i64>,
    /// A finer share.
    #[serde(default)]
    pub fraction: Option<Fraction>,
}

/// A share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Fraction {
    /// So many.
    #[serde(default)]
    pub numerator: i64,
    /// Of so many; 100 if absent.
    #[serde(default = "hundred")]
    pub denominator: i64,
}

fn hundred() -> i64 {
    100
}

/// Where a client is sent; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectFilter {
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Option<Arc<str>>,
    /// The host.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// The path.
    #[serde(default)]
    pub path: Option<PathModifier>,
    /// The port.
    #[serde(default)]
    pub port: Option<i64>,
    /// 302 if absent.
    #[serde(default)]
    pub status_code: Option<i64>,
}

/// Another path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// `ReplaceFullPath` or `ReplacePrefixMatch`.
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// The whole of it.
    #[serde(default)]
    pub replace_full_path: Option<Arc<str>>,
    /// What stands in place of the matched prefix.
    #[serde(default)]
    pub replace_prefix_match: Option<Arc<str>>,
}

/// Another host or path for the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct UrlRewrite {
    /// The host.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// The path.
    #[serde(default)]
    pub path: Option<PathModifier>,
}

/// Which scripts of other origins may use the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CorsFilter {
    /// `scheme://host`, with `*` as a whole or in front of the host.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_origins: Vec<Arc<str>>,
    /// Whether cookies may be sent.
    #[serde(default)]
    pub allow_credentials: Option<bool>,
    /// Methods, or `*`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_methods: Vec<Arc<str>>,
    /// Field names, or `*`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allow_headers: Vec<Arc<str>>,
    /// Response fields that scripts may read, or `*`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub expose_headers: Vec<Arc<str>>,
    /// Seconds; 5 if absent.
    #[serde(default)]
    pub max_age: Option<i64>,
}
