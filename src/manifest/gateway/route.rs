//! What routes of every kind share.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{GROUP, HttpFilter};
use crate::manifest::meta::null_is_default;

/// A Gateway, ListenerSet or Service that a route wants to attach to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReference {
    /// `gateway.networking.k8s.io` if absent; empty for core.
    #[serde(default = "gateway_group")]
    pub group: Arc<str>,
    /// `Gateway` if absent.
    #[serde(default = "gateway_kind")]
    pub kind: Arc<str>,
    /// That of the route if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Arc<str>>,
    /// Required.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// The name of a listener; absent: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section_name: Option<Arc<str>>,
    /// The port of listeners; absent: all that fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
}

/// Where requests of a rule go, and which share of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// Empty for core.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: Arc<str>,
    /// `Service` if absent.
    #[serde(default = "service_kind")]
    pub kind: Arc<str>,
    /// That of the route if absent; another one needs a ReferenceGrant.
    #[serde(default)]
    pub namespace: Option<Arc<str>>,
    /// Required.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// Required for a Service.
    #[serde(default)]
    pub port: Option<i64>,
    /// Share among the backends of the rule; 1 if absent.
    #[serde(default)]
    pub weight: Option<i64>,
    /// What is done to requests of this share (HTTPRoute and GRPCRoute).
    #[serde(default, deserialize_with = "null_is_default")]
    pub filters: Vec<HttpFilter>,
}

/// A Secret, ConfigMap or other object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// Empty for core.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: Arc<str>,
    /// What it is depends on the field if it is absent.
    #[serde(default)]
    pub kind: Option<Arc<str>>,
    /// That of the object that holds the reference if absent.
    #[serde(default)]
    pub namespace: Option<Arc<str>>,
    /// Required.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
}

fn gateway_group() -> Arc<str> {
    GROUP.into()
}

fn gateway_kind() -> Arc<str> {
    "Gateway".into()
}

fn service_kind() -> Arc<str> {
    "Service".into()
}

/// One match, of everything: what a rule has that names none.
pub(super) fn one_match<T: Default>() -> Vec<T> {
    vec![T::default()]
}

/// An empty list of matches, or `null`, is as good as none.
pub(super) fn none_is_one_match<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    let written = Option::<Vec<T>>::deserialize(deserializer)?;
    Ok(written.filter(|it| !it.is_empty()).unwrap_or_else(one_match))
}
