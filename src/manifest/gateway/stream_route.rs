//! TLSRoute, TCPRoute, UDPRoute: what is not looked into.

use std::sync::Arc;

use serde::Deserialize;

use super::{BackendRef, ParentReference};
use crate::manifest::meta::{Metadata, null_is_default};

/// TLS connections by server name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TlsRoute {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Parents, names, rules.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: TlsRouteSpec,
}

/// TCP connections by port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct TcpRoute {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Parents and rules; it has no names.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: TlsRouteSpec,
}

/// Datagrams by port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct UdpRoute {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Parents and rules; it has no names.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: TlsRouteSpec,
}

/// The `spec` of all three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRouteSpec {
    /// What it attaches to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub parent_refs: Vec<ParentReference>,
    /// Server names (TLSRoute).
    #[serde(default, deserialize_with = "null_is_default")]
    pub hostnames: Vec<Arc<str>>,
    /// Which default Gateways it attaches to (GEP-3793): not served.
    #[serde(default)]
    pub use_default_gateways: Option<Arc<str>>,
    /// Exactly one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rules: Vec<StreamRouteRule>,
}

/// One entry of `spec.rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteRule {
    /// For people and policies.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Where to.
    #[serde(default, deserialize_with = "null_is_default")]
    pub backend_refs: Vec<BackendRef>,
}
