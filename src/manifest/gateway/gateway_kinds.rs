//! GatewayClass, Gateway, ListenerSet.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{GROUP, GatewayTls, ObjectReference, ParentReference};
use crate::manifest::meta::{LabelSelector, Metadata, null_is_default};

/// Who serves Gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GatewayClass {
    /// Its name.
    #[serde(default)]
    pub metadata: Metadata,
    /// Its controller.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: GatewayClassSpec,
}

/// `GatewayClass.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassSpec {
    /// A domain and a path.
    #[serde(default, deserialize_with = "null_is_default")]
    pub controller_name: Arc<str>,
    /// Options of the controller.
    #[serde(default)]
    pub parameters_ref: Option<ParametersReference>,
}

/// An object with options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ParametersReference {
    /// Its group.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: Arc<str>,
    /// Its kind.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// Its namespace, of a GatewayClass.
    #[serde(default)]
    pub namespace: Option<Arc<str>>,
}

/// Addresses and listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Gateway {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// What it listens for.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: GatewaySpec,
}

/// `Gateway.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Names a GatewayClass.
    #[serde(default, deserialize_with = "null_is_default")]
    pub gateway_class_name: Arc<str>,
    /// Listeners.
    #[serde(default, deserialize_with = "null_is_default")]
    pub listeners: Vec<Listener>,
    /// Where; none: chosen for it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub addresses: Vec<GatewayAddress>,
    /// What is made for it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub infrastructure: GatewayInfrastructure,
    /// Which ListenerSets may attach.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_listeners: AllowedListeners,
    /// Client certificates, and that for backends.
    #[serde(default)]
    pub tls: Option<GatewayTls>,
    /// Which routes it takes that name no Gateway (GEP-3793): not served.
    #[serde(default)]
    pub default_scope: Option<Arc<str>>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GatewayAddress {
    /// `IPAddress` if absent, or `Hostname`.
    #[serde(rename = "type")]
    pub kind: Arc<str>,
    /// Absent: any.
    pub value: Option<Arc<str>>,
}

impl Default for GatewayAddress {
    fn default() -> Self {
        Self { kind: "IPAddress".into(), value: None }
    }
}

/// Labels and annotations of what is made for a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfrastructure {
    /// Labels.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Annotations.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<Arc<str>, Arc<str>>,
    /// Options of the controller.
    #[serde(default)]
    pub parameters_ref: Option<ParametersReference>,
}

/// `Gateway.spec.allowedListeners`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AllowedListeners {
    /// `None` if absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespaces: RouteNamespaces,
}

/// One listener of a Gateway or ListenerSet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// What `sectionName` names.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// Exact or `*.`; absent: every host.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// 1 to 65535.
    #[serde(default)]
    pub port: i64,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub protocol: Arc<str>,
    /// Certificates (HTTPS, TLS).
    #[serde(default)]
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_routes: AllowedRoutes,
}

/// `tls` of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// `Terminate` if absent, or `Passthrough`.
    #[serde(default)]
    pub mode: Option<Arc<str>>,
    /// Secrets of type `kubernetes.io/tls`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub certificate_refs: Vec<ObjectReference>,
    /// Options of the controller.
    #[serde(default, deserialize_with = "null_is_default")]
    pub options: BTreeMap<Arc<str>, Arc<str>>,
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AllowedRoutes {
    /// `Same` if absent.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespaces: RouteNamespaces,
    /// Kinds; none: all that the protocol can carry.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kinds: Vec<RouteGroupKind>,
}

/// Namespaces, by a word or by labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RouteNamespaces {
    /// `All`, `Same`, `Selector`, `None`; what it is if absent depends on the field.
    #[serde(default)]
    pub from: Option<Arc<str>>,
    /// For `Selector`.
    #[serde(default)]
    pub selector: Option<LabelSelector>,
}

/// A kind of route.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RouteGroupKind {
    /// `gateway.networking.k8s.io` if absent.
    #[serde(default = "gateway_group")]
    pub group: Arc<str>,
    /// `HTTPRoute` and the like.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
}

fn gateway_group() -> Arc<str> {
    GROUP.into()
}

/// Further listeners for a Gateway (GEP-1713).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ListenerSet {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Which Gateway, which listeners.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: ListenerSetSpec,
}

/// `ListenerSet.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway.
    #[serde(default)]
    pub parent_ref: Option<ParentReference>,
    /// Listeners.
    #[serde(default, deserialize_with = "null_is_default")]
    pub listeners: Vec<Listener>,
}
