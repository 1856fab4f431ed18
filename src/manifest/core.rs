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

/// core/v1 Node: where endpoints run, and in which zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// The label `topology.kubernetes.io/zone` is the node's zone.
    #[serde(default)]
    pub metadata: Metadata,
    /// Addresses of the node.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: NodeStatus,
}

/// `Node.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeStatus {
    /// In the order of preference.
    #[serde(default, deserialize_with = "null_is_default")]
    pub addresses: Vec<NodeAddress>,
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
