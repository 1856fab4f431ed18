//! discovery.k8s.io/v1 EndpointSlice, and core/v1 Endpoints, which are mirrored into slices.

use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::meta::{Metadata, null_is_default};
use super::{Labels, shared};

/// discovery.k8s.io/v1 EndpointSlice; joined to its Service by the label
/// `kubernetes.io/service-name` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// The label `kubernetes.io/service-name` names the Service.
    #[serde(default)]
    pub metadata: Metadata,
    /// `IPv4`, `IPv6` or `FQDN` (ignored).
    #[serde(default, deserialize_with = "shared::or_empty")]
    pub address_type: Arc<str>,
    /// The endpoints, each on every port of the slice.
    #[serde(default, deserialize_with = "null_is_default")]
    pub endpoints: Vec<SliceEndpoint>,
    /// The ports; join Service ports by name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<EndpointPort>,
}

/// One entry of `EndpointSlice.endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SliceEndpoint {
    /// The first of `addresses`: the others have no meaning.
    #[serde(default, rename = "addresses", deserialize_with = "first")]
    pub address: Option<Arc<str>>,
    /// Absent: ready, serving, not terminating.
    #[serde(default, deserialize_with = "null_is_default")]
    pub conditions: EndpointConditions,
    /// First label of its name in DNS.
    #[serde(default, deserialize_with = "shared::option")]
    pub hostname: Option<Arc<str>>,
    /// The node it runs on.
    #[serde(default, deserialize_with = "shared::option")]
    pub node_name: Option<Arc<str>>,
    /// The pod behind it.
    #[serde(default)]
    pub target_ref: Option<Box<ObjectReference>>,
    /// The zone it runs in.
    #[serde(default, deserialize_with = "shared::option")]
    pub zone: Option<Arc<str>>,
    /// For which zones and nodes it is meant (topology aware routing).
    #[serde(default)]
    pub hints: Option<Box<EndpointHints>>,
    /// Topology of v1beta1, kept by the API server.
    #[serde(default, deserialize_with = "null_is_default")]
    pub deprecated_topology: Labels,
}

fn first<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    Ok(null_is_default::<D, Vec<Arc<str>>>(deserializer)?.into_iter().next())
}

/// `EndpointSlice.endpoints[].conditions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct EndpointConditions {
    /// Absent means true.
    #[serde(default)]
    pub ready: Option<bool>,
    /// Absent means true.
    #[serde(default)]
    pub serving: Option<bool>,
    /// Absent means false.
    #[serde(default)]
    pub terminating: Option<bool>,
}

/// `EndpointSlice.endpoints[].hints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointHints {
    /// Zones that should use the endpoint.
    #[serde(default, deserialize_with = "null_is_default")]
    pub for_zones: Vec<Hint>,
    /// Nodes that should use the endpoint.
    #[serde(default, deserialize_with = "null_is_default")]
    pub for_nodes: Vec<Hint>,
}

/// One zone or node of [`EndpointHints`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Hint {
    /// Its name.
    #[serde(default, deserialize_with = "shared::or_empty")]
    pub name: Arc<str>,
}

/// One entry of `EndpointSlice.ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPort {
    /// Joins the Service port; empty for a single unnamed one.
    #[serde(default, deserialize_with = "shared::option")]
    pub name: Option<Arc<str>>,
    /// Already resolved by whoever wrote the slice; absent or 0 is ignored.
    #[serde(default)]
    pub port: Option<i64>,
    /// `TCP` when absent.
    #[serde(default, deserialize_with = "shared::option")]
    pub protocol: Option<Arc<str>>,
    /// Copied from the Service port.
    #[serde(default, deserialize_with = "shared::option")]
    pub app_protocol: Option<Arc<str>>,
}

/// core/v1 ObjectReference, as used in `targetRef`: which object, and not which version of it. There
/// is one an endpoint, and an identity that nobody reads is as large as the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// `Pod`.
    #[serde(default, deserialize_with = "shared::option")]
    pub kind: Option<Arc<str>>,
    /// Namespace of the pod.
    #[serde(default, deserialize_with = "shared::option")]
    pub namespace: Option<Arc<str>>,
    /// Name of the pod.
    #[serde(default, deserialize_with = "shared::option")]
    pub name: Option<Arc<str>>,
}

/// core/v1 Endpoints, deprecated since 1.33; same name as its Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Endpoints {
    /// Name and namespace equal the Service's.
    #[serde(default)]
    pub metadata: Metadata,
    /// Each: addresses × ports.
    #[serde(default, deserialize_with = "null_is_default")]
    pub subsets: Vec<EndpointSubset>,
}

/// One entry of `Endpoints.subsets`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSubset {
    /// Ready ones.
    #[serde(default, deserialize_with = "null_is_default")]
    pub addresses: Vec<EndpointAddress>,
    /// Those that are not ready.
    #[serde(default, deserialize_with = "null_is_default")]
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// Ports by Service port name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<EndpointPort>,
}

/// One entry of `Endpoints.subsets[].addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointAddress {
    /// The address.
    #[serde(default)]
    pub ip: Arc<str>,
    /// First label of its name in DNS.
    #[serde(default, deserialize_with = "shared::option")]
    pub hostname: Option<Arc<str>>,
    /// The node it runs on.
    #[serde(default, deserialize_with = "shared::option")]
    pub node_name: Option<Arc<str>>,
    /// The pod behind it.
    #[serde(default)]
    pub target_ref: Option<Box<ObjectReference>>,
}
