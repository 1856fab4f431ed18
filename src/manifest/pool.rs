//! Pools of addresses for LoadBalancers, as their users have them already: MetalLB's
//! `IPAddressPool` and Cilium's `CiliumLoadBalancerIPPool`.

use std::sync::Arc;

use serde::Deserialize;

use super::Kind;
use super::meta::{LabelSelector, Metadata, null_is_default};

/// metallb.io/v1beta1 IPAddressPool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IpAddressPool {
    /// Services ask for the pool by its name.
    #[serde(default)]
    pub metadata: Metadata,
    /// Which addresses, and who gets them.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: IpAddressPoolSpec,
}

/// `IPAddressPool.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpAddressPoolSpec {
    /// CIDRs, or ranges as `FIRST-LAST`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub addresses: Vec<Arc<str>>,
    /// `false`: only for those that ask for the pool, or for an address of it. `true` if absent.
    #[serde(default)]
    pub auto_assign: Option<bool>,
    /// Nobody gets an IPv4 address that ends in 0 or 255.
    #[serde(default, rename = "avoidBuggyIPs", deserialize_with = "null_is_default")]
    pub avoid_buggy_ips: bool,
    /// For whom the pool is; for everybody if absent.
    #[serde(default)]
    pub service_allocation: Option<ServiceAllocation>,
}

/// `IPAddressPool.spec.serviceAllocation`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAllocation {
    /// The lowest is asked first; those with 0, or without any, come last.
    #[serde(default)]
    pub priority: Option<i64>,
    /// Services of these namespaces, or of those that …
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespaces: Vec<Arc<str>>,
    /// … one of these selects.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Services that one of these selects.
    #[serde(default, deserialize_with = "null_is_default")]
    pub service_selectors: Vec<LabelSelector>,
}

/// cilium.io/v2 CiliumLoadBalancerIPPool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CiliumLoadBalancerIpPool {
    /// Its name; the object belongs to the cluster.
    #[serde(default)]
    pub metadata: Metadata,
    /// Which addresses, and who gets them.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: CiliumLoadBalancerIpPoolSpec,
}

/// `CiliumLoadBalancerIPPool.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CiliumLoadBalancerIpPoolSpec {
    /// Its addresses.
    #[serde(default, deserialize_with = "null_is_default")]
    pub blocks: Vec<IpBlock>,
    /// What `blocks` was called before Cilium 1.15.
    #[serde(default, deserialize_with = "null_is_default")]
    pub cidrs: Vec<IpBlock>,
    /// For whom the pool is; for everybody if absent. The labels
    /// `io.kubernetes.service.namespace` and `io.kubernetes.service.name` stand for the metadata.
    #[serde(default)]
    pub service_selector: Option<LabelSelector>,
    /// Nobody gets a new address of it; who has one keeps it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub disabled: bool,
    /// `No`: the first and the last address of each CIDR are not given. `Yes` if absent.
    #[serde(default, rename = "allowFirstLastIPs")]
    pub allow_first_last_ips: Option<Arc<str>>,
}

/// A CIDR, or a range: one address if it has no end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IpBlock {
    /// A CIDR.
    #[serde(default)]
    pub cidr: Option<Arc<str>>,
    /// The first address.
    #[serde(default)]
    pub start: Option<Arc<str>>,
    /// The last one.
    #[serde(default)]
    pub stop: Option<Arc<str>>,
}

/// The fields of the mapping at `path` of the CRDs; empty where rutter does not know of any.
pub(super) fn fields(kind: Kind, path: &str) -> &'static [&'static str] {
    match (kind, path) {
        (Kind::IpAddressPool, "spec") => {
            &["addresses", "autoAssign", "avoidBuggyIPs", "serviceAllocation"]
        }
        (Kind::IpAddressPool, "spec.serviceAllocation") => {
            &["priority", "namespaces", "namespaceSelectors", "serviceSelectors"]
        }
        (Kind::CiliumLoadBalancerIpPool, "spec") => {
            &["blocks", "cidrs", "serviceSelector", "disabled", "allowFirstLastIPs"]
        }
        (Kind::CiliumLoadBalancerIpPool, "spec.blocks[]" | "spec.cidrs[]") => {
            &["cidr", "start", "stop"]
        }
        (
            _,
            "spec.serviceSelector"
            | "spec.serviceAllocation.namespaceSelectors[]"
            | "spec.serviceAllocation.serviceSelectors[]",
        ) => &["matchLabels", "matchExpressions"],
        (
            _,
            "spec.serviceSelector.matchExpressions[]"
            | "spec.serviceAllocation.namespaceSelectors[].matchExpressions[]"
            | "spec.serviceAllocation.serviceSelectors[].matchExpressions[]",
        ) => &["key", "operator", "values"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
