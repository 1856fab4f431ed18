//! One object of any kind, and where it was written.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::core::{ConfigMap, Namespace, Node, Secret};
use super::endpoints::{EndpointSlice, Endpoints};
use super::gateway::{
    BackendTlsPolicy, BackendTrafficPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute,
    ListenerSet, ReferenceGrant, TcpRoute, TlsRoute, UdpRoute,
};
use super::ingress::{Ingress, IngressClass};
use super::meta::{Metadata, ObjectKey};
use super::pod::Pod;
use super::pool::{CiliumLoadBalancerIpPool, IpAddressPool};
use super::service::Service;

/// The kinds that rutter reads, in the order in which a report lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Kind {
    /// core/v1, cluster-scoped.
    Namespace,
    /// core/v1, cluster-scoped.
    Node,
    /// core/v1.
    Pod,
    /// core/v1.
    Service,
    /// discovery.k8s.io/v1.
    EndpointSlice,
    /// core/v1, deprecated.
    Endpoints,
    /// networking.k8s.io/v1.
    Ingress,
    /// networking.k8s.io/v1, cluster-scoped.
    IngressClass,
    /// gateway.networking.k8s.io/v1, cluster-scoped.
    GatewayClass,
    /// gateway.networking.k8s.io/v1.
    Gateway,
    /// gateway.networking.k8s.io/v1.
    ListenerSet,
    /// gateway.networking.k8s.io/v1.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// gateway.networking.k8s.io/v1.
    #[serde(rename = "GRPCRoute")]
    GrpcRoute,
    /// gateway.networking.k8s.io/v1.
    #[serde(rename = "TLSRoute")]
    TlsRoute,
    /// gateway.networking.k8s.io/v1.
    #[serde(rename = "TCPRoute")]
    TcpRoute,
    /// gateway.networking.k8s.io/v1.
    #[serde(rename = "UDPRoute")]
    UdpRoute,
    /// gateway.networking.k8s.io/v1.
    ReferenceGrant,
    /// gateway.networking.k8s.io/v1.
    #[serde(rename = "BackendTLSPolicy")]
    BackendTlsPolicy,
    /// gateway.networking.x-k8s.io/v1alpha1.
    #[serde(rename = "XBackendTrafficPolicy")]
    BackendTrafficPolicy,
    /// metallb.io/v1beta1.
    #[serde(rename = "IPAddressPool")]
    IpAddressPool,
    /// cilium.io/v2, cluster-scoped.
    #[serde(rename = "CiliumLoadBalancerIPPool")]
    CiliumLoadBalancerIpPool,
    /// core/v1.
    Secret,
    /// core/v1.
    ConfigMap,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 23] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::EndpointSlice,
        Self::Endpoints,
        Self::Ingress,
        Self::IngressClass,
        Self::GatewayClass,
        Self::Gateway,
        Self::ListenerSet,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::TcpRoute,
        Self::UdpRoute,
        Self::ReferenceGrant,
        Self::BackendTlsPolicy,
        Self::BackendTrafficPolicy,
        Self::IpAddressPool,
        Self::CiliumLoadBalancerIpPool,
        Self::Secret,
        Self::ConfigMap,
    ];

    /// The `kind:` of the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Ingress => "Ingress",
            Self::IngressClass => "IngressClass",
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::ListenerSet => "ListenerSet",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::UdpRoute => "UDPRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::BackendTrafficPolicy => "XBackendTrafficPolicy",
            Self::IpAddressPool => "IPAddressPool",
            Self::CiliumLoadBalancerIpPool => "CiliumLoadBalancerIPPool",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// The `apiVersion:` that rutter reads.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Ingress | Self::IngressClass => "networking.k8s.io/v1",
            Self::GatewayClass
            | Self::Gateway
            | Self::ListenerSet
            | Self::HttpRoute
            | Self::GrpcRoute
            | Self::TlsRoute
            | Self::TcpRoute
            | Self::UdpRoute
            | Self::ReferenceGrant
            | Self::BackendTlsPolicy => "gateway.networking.k8s.io/v1",
            Self::BackendTrafficPolicy => "gateway.networking.x-k8s.io/v1alpha1",
            Self::IpAddressPool => "metallb.io/v1beta1",
            Self::CiliumLoadBalancerIpPool => "cilium.io/v2",
            Self::Namespace
            | Self::Node
            | Self::Pod
            | Self::Service
            | Self::Endpoints
            | Self::Secret
            | Self::ConfigMap => "v1",
        }
    }

    /// Further versions of the same group that are read as if they were
    /// [`api_version`](Self::api_version): those that some release of the CRDs serves with the
    /// same fields.
    pub fn older_versions(self) -> &'static [&'static str] {
        match self {
            Self::GatewayClass | Self::Gateway | Self::HttpRoute => &["v1beta1"],
            Self::ReferenceGrant => &["v1beta1", "v1alpha2"],
            Self::GrpcRoute | Self::TcpRoute | Self::UdpRoute => &["v1alpha2"],
            Self::CiliumLoadBalancerIpPool => &["v2alpha1"],
            Self::TlsRoute => &["v1alpha2", "v1alpha3"],
            Self::BackendTlsPolicy => &["v1alpha3"],
            Self::Namespace
            | Self::Node
            | Self::Pod
            | Self::Service
            | Self::EndpointSlice
            | Self::Endpoints
            | Self::Ingress
            | Self::IngressClass
            | Self::ListenerSet
            | Self::BackendTrafficPolicy
            | Self::IpAddressPool
            | Self::Secret
            | Self::ConfigMap => &[],
        }
    }

    /// The group of [`api_version`](Self::api_version); empty for core.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether objects of this kind live in a namespace.
    pub fn is_namespaced(self) -> bool {
        let cluster = [
            Self::Namespace,
            Self::Node,
            Self::IngressClass,
            Self::GatewayClass,
            Self::CiliumLoadBalancerIpPool,
        ];
        !cluster.contains(&self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Kind, namespace and name: one object among all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    #[serde(flatten)]
    pub key: ObjectKey,
}

impl ObjectRef {
    /// A reference to the object of that kind and key.
    pub fn new(kind: Kind, key: ObjectKey) -> Self {
        Self { kind, key }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// Where an object was written: enough to find any of its fields again with
/// [`super::yaml::locate`].
///
/// Objects of an API server have an empty `file`; they are named by kind, namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Path as the user would type it.
    pub file: Arc<str>,
    /// First line of the object's document (or list item), from 1; 0 when there is no file, or
    /// for the file as a whole.
    pub line: u32,
    /// Which document of the file, from 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub document: u32,
    /// Which item of a `kind: List` document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_first(document: &u32) -> bool {
    *document == 0
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A decoded object of any kind that rutter reads; shared, so that passing it on copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum Object {
    Namespace(Arc<Namespace>),
    Node(Arc<Node>),
    Pod(Arc<Pod>),
    Service(Arc<Service>),
    EndpointSlice(Arc<EndpointSlice>),
    Endpoints(Arc<Endpoints>),
    Ingress(Arc<Ingress>),
    IngressClass(Arc<IngressClass>),
    GatewayClass(Arc<GatewayClass>),
    Gateway(Arc<Gateway>),
    ListenerSet(Arc<ListenerSet>),
    HttpRoute(Arc<HttpRoute>),
    GrpcRoute(Arc<GrpcRoute>),
    TlsRoute(Arc<TlsRoute>),
    TcpRoute(Arc<TcpRoute>),
    UdpRoute(Arc<UdpRoute>),
    ReferenceGrant(Arc<ReferenceGrant>),
    BackendTlsPolicy(Arc<BackendTlsPolicy>),
    BackendTrafficPolicy(Arc<BackendTrafficPolicy>),
    IpAddressPool(Arc<IpAddressPool>),
    CiliumLoadBalancerIpPool(Arc<CiliumLoadBalancerIpPool>),
    Secret(Arc<Secret>),
    ConfigMap(Arc<ConfigMap>),
}

impl Object {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Namespace(_) => Kind::Namespace,
            Self::Node(_) => Kind::Node,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Endpoints(_) => Kind::Endpoints,
            Self::Ingress(_) => Kind::Ingress,
            Self::IngressClass(_) => Kind::IngressClass,
            Self::GatewayClass(_) => Kind::GatewayClass,
            Self::Gateway(_) => Kind::Gateway,
            Self::ListenerSet(_) => Kind::ListenerSet,
            Self::HttpRoute(_) => Kind::HttpRoute,
            Self::GrpcRoute(_) => Kind::GrpcRoute,
            Self::TlsRoute(_) => Kind::TlsRoute,
            Self::TcpRoute(_) => Kind::TcpRoute,
            Self::UdpRoute(_) => Kind::UdpRoute,
            Self::ReferenceGrant(_) => Kind::ReferenceGrant,
            Self::BackendTlsPolicy(_) => Kind::BackendTlsPolicy,
            Self::BackendTrafficPolicy(_) => Kind::BackendTrafficPolicy,
            Self::IpAddressPool(_) => Kind::IpAddressPool,
            Self::CiliumLoadBalancerIpPool(_) => Kind::CiliumLoadBalancerIpPool,
            Self::Secret(_) => Kind::Secret,
            Self::ConfigMap(_) => Kind::ConfigMap,
        }
    }

    /// Its metadata.
    pub fn metadata(&self) -> &Metadata {
        match self {
            Self::Namespace(object) => &object.metadata,
            Self::Node(object) => &object.metadata,
            Self::Pod(object) => &object.metadata,
            Self::Service(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::Endpoints(object) => &object.metadata,
            Self::Ingress(object) => &object.metadata,
            Self::IngressClass(object) => &object.metadata,
            Self::GatewayClass(object) => &object.metadata,
            Self::Gateway(object) => &object.metadata,
            Self::ListenerSet(object) => &object.metadata,
            Self::HttpRoute(object) => &object.metadata,
            Self::GrpcRoute(object) => &object.metadata,
            Self::TlsRoute(object) => &object.metadata,
            Self::TcpRoute(object) => &object.metadata,
            Self::UdpRoute(object) => &object.metadata,
            Self::ReferenceGrant(object) => &object.metadata,
            Self::BackendTlsPolicy(object) => &object.metadata,
            Self::BackendTrafficPolicy(object) => &object.metadata,
            Self::IpAddressPool(object) => &object.metadata,
            Self::CiliumLoadBalancerIpPool(object) => &object.metadata,
            Self::Secret(object) => &object.metadata,
            Self::ConfigMap(object) => &object.metadata,
        }
    }

    /// Its metadata, for defaulting.
    pub fn metadata_mut(&mut self) -> &mut Metadata {
        match self {
            Self::Namespace(object) => &mut Arc::make_mut(object).metadata,
            Self::Node(object) => &mut Arc::make_mut(object).metadata,
            Self::Pod(object) => &mut Arc::make_mut(object).metadata,
            Self::Service(object) => &mut Arc::make_mut(object).metadata,
            Self::EndpointSlice(object) => &mut Arc::make_mut(object).metadata,
            Self::Endpoints(object) => &mut Arc::make_mut(object).metadata,
            Self::Ingress(object) => &mut Arc::make_mut(object).metadata,
            Self::IngressClass(object) => &mut Arc::make_mut(object).metadata,
            Self::GatewayClass(object) => &mut Arc::make_mut(object).metadata,
            Self::Gateway(object) => &mut Arc::make_mut(object).metadata,
            Self::ListenerSet(object) => &mut Arc::make_mut(object).metadata,
            Self::HttpRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::GrpcRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::TlsRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::TcpRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::UdpRoute(object) => &mut Arc::make_mut(object).metadata,
            Self::ReferenceGrant(object) => &mut Arc::make_mut(object).metadata,
            Self::BackendTlsPolicy(object) => &mut Arc::make_mut(object).metadata,
            Self::BackendTrafficPolicy(object) => &mut Arc::make_mut(object).metadata,
            Self::IpAddressPool(object) => &mut Arc::make_mut(object).metadata,
            Self::CiliumLoadBalancerIpPool(object) => &mut Arc::make_mut(object).metadata,
            Self::Secret(object) => &mut Arc::make_mut(object).metadata,
            Self::ConfigMap(object) => &mut Arc::make_mut(object).metadata,
        }
    }

    /// Kind, namespace and name.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.kind(), self.metadata().key())
    }
}
