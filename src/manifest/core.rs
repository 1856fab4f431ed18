//! The plain kinds of core/v1: Namespace, Node, Secret, ConfigMap.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::meta::{Metadata, null_is_default};

/// core/v1 Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Name and labels.
    #[serde(default)]
    pub metadata: Metadata,
}

/// core/v1 Node: where endpoints run, in which zone, and whether load balancers may be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// The label `topology.kubernetes.io/zone` is the node's zone.
    #[serde(default)]
    pub metadata: Metadata,
    /// Who is kept away from it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: NodeSpec,
    /// Addresses and health of the node.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: NodeStatus,
}

/// `Node.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeSpec {
    /// What keeps Pods away; some of it says that the node is about to go.
    #[serde(default, deserialize_with = "null_is_default")]
    pub taints: Vec<Taint>,
}

/// One entry of `Node.spec.taints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Taint {
    /// `ToBeDeletedByClusterAutoscaler`, `node.kubernetes.io/not-ready`, …
    #[serde(default)]
    pub key: Arc<str>,
}

/// `Node.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeStatus {
    /// In the order of preference.
    #[serde(default, deserialize_with = "null_is_default")]
    pub addresses: Vec<NodeAddress>,
    /// `Ready` says whether its kubelet is alive.
    #[serde(default, deserialize_with = "null_is_default")]
    pub conditions: Vec<NodeCondition>,
}

/// One entry of `Node.status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeCondition {
    /// `Ready`, `MemoryPressure`, …
    #[serde(rename = "type", default)]
    pub kind: Arc<str>,
    /// `True`, `False`, `Unknown`.
    #[serde(default)]
    pub status: Arc<str>,
}

/// One entry of `Node.status.addresses`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP`, `Hostname`, …
    #[serde(rename = "type", default)]
    pub kind: Arc<str>,
    /// An address or a name.
    #[serde(default)]
    pub address: Arc<str>,
}

/// core/v1 Secret. Values are never printed: `Debug` shows the keys only.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// `kubernetes.io/tls`, `Opaque` (the default), …
    #[serde(rename = "type", default)]
    pub kind: Option<Arc<str>>,
    /// Base64 as written; `compile` decodes what it uses.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: BTreeMap<Arc<str>, Arc<str>>,
    /// Plain text; wins over `data` (the API server merges it so).
    #[serde(default, deserialize_with = "null_is_default")]
    pub string_data: BTreeMap<Arc<str>, Arc<str>>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("metadata", &self.metadata)
            .field("kind", &self.kind)
            .field("data", &self.data.keys())
            .field("string_data", &self.string_data.keys())
            .finish()
    }
}

/// core/v1 ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ConfigMap {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Text by key.
    #[serde(default, deserialize_with = "null_is_default")]
    pub data: BTreeMap<Arc<str>, Arc<str>>,
}
