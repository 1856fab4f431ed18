//! GRPCRoute.

use std::sync::Arc;

use serde::Deserialize;

use super::route::{none_is_one_match, one_match};
use super::{BackendRef, HttpFilter, NamedMatch, ParentReference, SessionPersistence};
use crate::manifest::meta::{Metadata, null_is_default};

/// gRPC calls by host, service, method and metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GrpcRoute {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Parents, hosts, rules.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: GrpcRouteSpec,
}

/// `GRPCRoute.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteSpec {
    /// What it attaches to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub parent_refs: Vec<ParentReference>,
    /// Hosts; none: those of the listener.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hostnames: Vec<Arc<str>>,
    /// Which default Gateways it attaches to (GEP-3793): not served.
    #[serde(default)]
    pub use_default_gateways: Option<Arc<str>>,
    /// Rules.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rules: Vec<GrpcRouteRule>,
}

/// One entry of `GRPCRoute.spec.rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// For people and policies.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Any of them; absent: every call.
    #[serde(default = "one_match", deserialize_with = "none_is_one_match")]
    pub matches: Vec<GrpcRouteMatch>,
    /// What is done on the way.
    #[serde(default, deserialize_with = "null_is_default")]
    pub filters: Vec<HttpFilter>,
    /// Where to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub backend_refs: Vec<BackendRef>,
    /// Whether clients stay with their endpoint (experimental).
    #[serde(default)]
    pub session_persistence: Option<SessionPersistence>,
}

/// What a call must have: all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GrpcRouteMatch {
    /// Service and method; absent: any.
    #[serde(default)]
    pub method: Option<GrpcMethodMatch>,
    /// Metadata.
    #[serde(default, deserialize_with = "null_is_default")]
    pub headers: Vec<NamedMatch>,
}

/// Service and method: at least one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GrpcMethodMatch {
    /// `Exact` if absent, or `RegularExpression`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// `package.Service`.
    #[serde(default)]
    pub service: Option<Arc<str>>,
    /// Its method.
    #[serde(default)]
    pub method: Option<Arc<str>>,
}
