//! `metadata`, and how one object names another.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Labels, shared};

/// Namespace and name: what identifies an object of one kind.
///
/// Cluster-scoped objects have an empty namespace. The order (namespace, then name) is the
/// tie-breaker of the Gateway API and of this project wherever creation times are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectKey {
    /// `metadata.namespace`; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl ObjectKey {
    /// A key of a namespaced object.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// A key of a cluster-scoped object.
    pub fn cluster(name: impl Into<Arc<str>>) -> Self {
        Self::new("", name)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            return f.write_str(&self.name);
        }
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// `ObjectMeta` (meta/v1), the fields that a service proxy reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Unique within namespace and kind.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// Empty for cluster-scoped kinds; `default` is filled in by the decoder for the others.
    #[serde(default, deserialize_with = "shared::or_empty")]
    pub namespace: Arc<str>,
    /// What selectors match.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: Labels,
    /// Options that have no field.
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: Labels,
    /// RFC 3339, set by the API server; the first key of every precedence rule.
    #[serde(default)]
    pub creation_timestamp: Option<Arc<str>>,
    /// RFC 3339; set while a Pod is terminating.
    #[serde(default)]
    pub deletion_timestamp: Option<Arc<str>>,
    /// Echoed as `observedGeneration` in conditions.
    #[serde(default)]
    pub generation: Option<i64>,
}

impl Metadata {
    /// Namespace and name as one key.
    pub fn key(&self) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The value of an annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(AsRef::as_ref)
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(AsRef::as_ref)
    }
}

/// Labels that an object must have (meta/v1): all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Names and values.
    #[serde(default, deserialize_with = "null_is_default")]
    pub match_labels: Labels,
    /// Names and sets of values.
    #[serde(default, deserialize_with = "null_is_default")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// A name and a set of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LabelRequirement {
    /// The name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub key: Arc<str>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub operator: Arc<str>,
    /// The values.
    #[serde(default, deserialize_with = "null_is_default")]
    pub values: Vec<Arc<str>>,
}

/// `field:` without a value is absent to Kubernetes, so it is absent to us: the default.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// `IntOrString`: a port by number or by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number; whether it is a port (1–65535) is for `compile` to say.
    Int(i64),
    /// A name.
    String(Arc<str>),
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::String(name) => name.fmt(f),
        }
    }
}
