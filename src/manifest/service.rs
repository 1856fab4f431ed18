//! core/v1 Service.

use std::sync::Arc;

use serde::Deserialize;

use super::meta::{IntOrString, Metadata, null_is_default};
use super::{Labels, shared};

/// core/v1 Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Service {
    /// The label `service.kubernetes.io/service-proxy-name` gives the Service to another proxy.
    #[serde(default)]
    pub metadata: Metadata,
    /// What the user wants.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: ServiceSpec,
    /// What a load balancer gave.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: ServiceStatus,
}

/// `Service.spec`; every field of core/v1, so that an unknown one is a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP` when absent.
    #[serde(rename = "type", default, deserialize_with = "shared::option")]
    pub kind: Option<Arc<str>>,
    /// The primary virtual address, or `None` for headless.
    #[serde(default, rename = "clusterIP", deserialize_with = "shared::option")]
    pub cluster_ip: Option<Arc<str>>,
    /// One address a family.
    #[serde(default, rename = "clusterIPs", deserialize_with = "shared::list")]
    pub cluster_ips: Vec<Arc<str>>,
    /// `IPv4`, `IPv6`; the order follows [`ServiceSpec::cluster_ips`].
    #[serde(default, deserialize_with = "shared::list")]
    pub ip_families: Vec<Arc<str>>,
    /// `SingleStack` (default), `PreferDualStack`, `RequireDualStack`.
    #[serde(default, deserialize_with = "shared::option")]
    pub ip_family_policy: Option<Arc<str>>,
    /// Several need names.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<ServicePort>,
    /// Absent or empty: endpoints are written by the user.
    #[serde(default, deserialize_with = "null_is_default")]
    pub selector: Labels,
    /// The name behind an `ExternalName` Service.
    #[serde(default)]
    pub external_name: Option<Arc<str>>,
    /// Addresses that some outside routing brings to the nodes.
    #[serde(default, rename = "externalIPs", deserialize_with = "null_is_default")]
    pub external_ips: Vec<Arc<str>>,
    /// `None` (default) or `ClientIP`.
    #[serde(default, deserialize_with = "shared::option")]
    pub session_affinity: Option<Arc<str>>,
    /// The time-out of `ClientIP` affinity.
    #[serde(default)]
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// Wanted load balancer address (deprecated upstream, read as a request).
    #[serde(default, rename = "loadBalancerIP")]
    pub load_balancer_ip: Option<Arc<str>>,
    /// Who provides the load balancer.
    #[serde(default, deserialize_with = "shared::option")]
    pub load_balancer_class: Option<Arc<str>>,
    /// CIDRs that may reach the load balancer address.
    #[serde(default, deserialize_with = "null_is_default")]
    pub load_balancer_source_ranges: Vec<Arc<str>>,
    /// `false`: a LoadBalancer without NodePorts.
    #[serde(default)]
    pub allocate_load_balancer_node_ports: Option<bool>,
    /// `Cluster` (default) or `Local`.
    #[serde(default, deserialize_with = "shared::option")]
    pub external_traffic_policy: Option<Arc<str>>,
    /// `Cluster` (default) or `Local`.
    #[serde(default, deserialize_with = "shared::option")]
    pub internal_traffic_policy: Option<Arc<str>>,
    /// Port of the health check for `externalTrafficPolicy: Local`.
    #[serde(default)]
    pub health_check_node_port: Option<i64>,
    /// Pods that are not ready are endpoints too.
    #[serde(default, deserialize_with = "null_is_default")]
    pub publish_not_ready_addresses: bool,
    /// `PreferSameZone`, `PreferSameNode`, `PreferClose`.
    #[serde(default, deserialize_with = "shared::option")]
    pub traffic_distribution: Option<Arc<str>>,
}

/// One entry of `Service.spec.ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Required when there are several; joins EndpointSlice ports.
    #[serde(default, deserialize_with = "shared::option")]
    pub name: Option<Arc<str>>,
    /// 1–65535 on the virtual address.
    #[serde(default)]
    pub port: i64,
    /// `TCP` when absent; `UDP`, `SCTP`.
    #[serde(default, deserialize_with = "shared::option")]
    pub protocol: Option<Arc<str>>,
    /// IANA name or `kubernetes.io/…` (KEP-3726).
    #[serde(default, deserialize_with = "shared::option")]
    pub app_protocol: Option<Arc<str>>,
    /// Port of the pod, by number or by name; equals `port` when absent.
    #[serde(default)]
    pub target_port: Option<IntOrString>,
    /// Port on every node; allocated when absent.
    #[serde(default)]
    pub node_port: Option<i64>,
}

/// `Service.spec.sessionAffinityConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SessionAffinityConfig {
    /// For `ClientIP`.
    #[serde(default, rename = "clientIP")]
    pub client_ip: Option<ClientIpConfig>,
}

/// `Service.spec.sessionAffinityConfig.clientIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientIpConfig {
    /// 1–86400, 10800 when absent.
    #[serde(default)]
    pub timeout_seconds: Option<i64>,
}

/// `Service.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Addresses that the load balancer has.
    #[serde(default, deserialize_with = "null_is_default")]
    pub load_balancer: LoadBalancerStatus,
}

/// `status.loadBalancer` of Service and Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LoadBalancerStatus {
    /// One entry an address.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ingress: Vec<LoadBalancerIngress>,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerIngress {
    /// An address.
    #[serde(default)]
    pub ip: Option<Arc<str>>,
    /// A name; ignored by a proxy.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// `VIP` (default) or `Proxy`.
    #[serde(default)]
    pub ip_mode: Option<Arc<str>>,
    /// State a port, as controllers report it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ports: Vec<PortStatus>,
}

/// One entry of `status.loadBalancer.ingress[].ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PortStatus {
    /// The port.
    #[serde(default)]
    pub port: i64,
    /// Its protocol.
    #[serde(default)]
    pub protocol: Arc<str>,
    /// Why it does not work.
    #[serde(default)]
    pub error: Option<Arc<str>>,
}
