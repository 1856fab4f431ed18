//! networking.k8s.io/v1 Ingress and IngressClass.

use std::sync::Arc;

use serde::Deserialize;

use super::meta::{Metadata, null_is_default};
use super::service::LoadBalancerStatus;

/// networking.k8s.io/v1 Ingress.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Ingress {
    /// The annotation `kubernetes.io/ingress.class` is the legacy class.
    #[serde(default)]
    pub metadata: Metadata,
    /// Hosts, paths, certificates.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: IngressSpec,
    /// Where it is published, as a controller wrote it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: IngressStatus,
}

/// `Ingress.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressSpec {
    /// Names an IngressClass.
    #[serde(default)]
    pub ingress_class_name: Option<Arc<str>>,
    /// For requests that no rule matches.
    #[serde(default)]
    pub default_backend: Option<IngressBackend>,
    /// Certificates by host.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tls: Vec<IngressTls>,
    /// Paths by host.
    #[serde(default, deserialize_with = "null_is_default")]
    pub rules: Vec<IngressRule>,
}

/// One entry of `Ingress.spec.tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressTls {
    /// Exact or `*.` hosts; empty: the default of the listener.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hosts: Vec<Arc<str>>,
    /// A `kubernetes.io/tls` Secret of the same namespace.
    #[serde(default)]
    pub secret_name: Option<Arc<str>>,
}

/// One entry of `Ingress.spec.rules`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressRule {
    /// Exact, `*.` wildcard of one label, or absent for every host.
    #[serde(default)]
    pub host: Option<Arc<str>>,
    /// Paths; absent: the rule only names a host.
    #[serde(default)]
    pub http: Option<HttpIngressRuleValue>,
}

/// `Ingress.spec.rules[].http`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HttpIngressRuleValue {
    /// At least one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub paths: Vec<HttpIngressPath>,
}

/// One entry of `Ingress.spec.rules[].http.paths`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpIngressPath {
    /// Starts with `/`.
    #[serde(default)]
    pub path: Option<Arc<str>>,
    /// `Exact`, `Prefix`, `ImplementationSpecific`; required.
    #[serde(default)]
    pub path_type: Option<Arc<str>>,
    /// Where matching requests go.
    #[serde(default, deserialize_with = "null_is_default")]
    pub backend: IngressBackend,
}

/// A Service port, or a typed object of the same namespace: exactly one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressBackend {
    /// A Service of the same namespace.
    #[serde(default)]
    pub service: Option<IngressServiceBackend>,
    /// Any other kind; rutter serves none and says so.
    #[serde(default)]
    pub resource: Option<TypedLocalObjectReference>,
}

/// `backend.service`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressServiceBackend {
    /// Name of the Service.
    #[serde(default)]
    pub name: Arc<str>,
    /// By name or by number: exactly one.
    #[serde(default, deserialize_with = "null_is_default")]
    pub port: ServiceBackendPort,
}

/// `backend.service.port`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ServiceBackendPort {
    /// Name of a Service port.
    #[serde(default)]
    pub name: Option<Arc<str>>,
    /// Number of a Service port.
    #[serde(default)]
    pub number: Option<i64>,
}

/// A reference to an object of any kind in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TypedLocalObjectReference {
    /// Empty for core.
    #[serde(default)]
    pub api_group: Option<Arc<str>>,
    /// Kind of the object.
    #[serde(default)]
    pub kind: Arc<str>,
    /// Name of the object.
    #[serde(default)]
    pub name: Arc<str>,
}

/// `Ingress.status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressStatus {
    /// Addresses that were published.
    #[serde(default, deserialize_with = "null_is_default")]
    pub load_balancer: LoadBalancerStatus,
}

/// networking.k8s.io/v1 IngressClass; cluster-scoped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressClass {
    /// The annotation `ingressclass.kubernetes.io/is-default-class` makes it the default.
    #[serde(default)]
    pub metadata: Metadata,
    /// Who implements it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: IngressClassSpec,
}

/// `IngressClass.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct IngressClassSpec {
    /// A domain-prefixed path such as `rutter.dev/ingress-controller`.
    #[serde(default)]
    pub controller: Arc<str>,
    /// Options of the implementation.
    #[serde(default)]
    pub parameters: Option<IngressClassParameters>,
}

/// `IngressClass.spec.parameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressClassParameters {
    /// Empty for core.
    #[serde(default)]
    pub api_group: Option<Arc<str>>,
    /// Kind of the object.
    #[serde(default)]
    pub kind: Arc<str>,
    /// Name of the object.
    #[serde(default)]
    pub name: Arc<str>,
    /// `Cluster` (default) or `Namespace`.
    #[serde(default)]
    pub scope: Option<Arc<str>>,
    /// With scope `Namespace`.
    #[serde(default)]
    pub namespace: Option<Arc<str>>,
}
