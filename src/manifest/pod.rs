//! core/v1 Pod: what a selector needs to make endpoints (see `compile`).

use std::sync::Arc;

use serde::Deserialize;

use super::meta::{Metadata, null_is_default};

/// core/v1 Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Pod {
    /// Labels are what Services select; `deletionTimestamp` means terminating.
    #[serde(default)]
    pub metadata: Metadata,
    /// Containers and names.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: PodSpec,
    /// Addresses and readiness.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: PodStatus,
}

/// `Pod.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Containers, in order; the first port of a name wins.
    #[serde(default, deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
    /// Those with `restartPolicy: Always` are sidecars, whose ports count too.
    #[serde(default, deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container>,
    /// First label of the pod's name in DNS, with [`PodSpec::subdomain`].
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// Name of the headless Service that publishes the hostname.
    #[serde(default)]
    pub subdomain: Option<Arc<str>>,
    /// The node it runs on.
    #[serde(default)]
    pub node_name: Option<Arc<str>>,
    /// Whether it has the address of its node, which many share.
    #[serde(default, deserialize_with = "null_is_default")]
    pub host_network: bool,
    /// What its resolver does besides what all do.
    #[serde(default)]
    pub dns_config: Option<PodDnsConfig>,
}

/// `PodSpec.dnsConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PodDnsConfig {
    /// Search domains, added behind those that every Pod has.
    #[serde(default, deserialize_with = "null_is_default")]
    pub searches: Vec<Arc<str>>,
}

/// A container and its declared ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container {
    /// Unique in the pod.
    #[serde(default)]
    pub name: Arc<str>,
    /// Declared ports; a named `targetPort` is looked up here.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<ContainerPort>,
    /// `Always` makes an init container a sidecar.
    #[serde(default)]
    pub restart_policy: Option<Arc<str>>,
}

/// One entry of `Container.ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// What a named `targetPort` refers to.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// 1–65535.
    #[serde(default)]
    pub container_port: i64,
    /// `TCP` when absent.
    #[serde(default)]
    pub protocol: Option<Arc<str>>,
}

/// `Pod.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Succeeded` and `Failed` pods are never endpoints.
    #[serde(default)]
    pub phase: Option<Arc<str>>,
    /// The primary address.
    #[serde(default, rename = "podIP")]
    pub pod_ip: Option<Arc<str>>,
    /// All addresses; the first equals [`PodStatus::pod_ip`].
    #[serde(default, rename = "podIPs", deserialize_with = "null_is_default")]
    pub pod_ips: Vec<PodIp>,
    /// The condition `Ready` decides whether the pod serves.
    #[serde(default, deserialize_with = "null_is_default")]
    pub conditions: Vec<PodCondition>,
}

/// One entry of `Pod.status.podIPs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PodIp {
    /// An IPv4 or IPv6 address.
    #[serde(default)]
    pub ip: Arc<str>,
}

/// One entry of `Pod.status.conditions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PodCondition {
    /// `Ready`, `PodScheduled`, …
    #[serde(rename = "type", default)]
    pub kind: Arc<str>,
    /// `True`, `False`, `Unknown`.
    #[serde(default)]
    pub status: Arc<str>,
}
