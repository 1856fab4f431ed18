//! The objects by kind and key.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::core::{ConfigMap, Namespace, Node, Secret};
use crate::manifest::endpoints::{EndpointSlice, Endpoints};
use crate::manifest::gateway::{
    BackendTlsPolicy, BackendTrafficPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute,
    ListenerSet, ReferenceGrant, TcpRoute, TlsRoute, UdpRoute,
};
use crate::manifest::ingress::{Ingress, IngressClass};
use crate::manifest::pod::Pod;
use crate::manifest::pool::{CiliumLoadBalancerIpPool, IpAddressPool};
use crate::manifest::service::Service;
use crate::manifest::{Kind, Object, ObjectKey, ObjectRef, Origin};
use crate::source::Sourced;

/// One object as kept: shared, so that a compile copies nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored<T> {
    /// The object.
    pub object: Arc<T>,
    /// Where it is written.
    pub origin: Origin,
    /// It is the last good version of a text that is broken now.
    pub stale: bool,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), origin: self.origin.clone(), stale: self.stale }
    }
}

/// Every object, each kind ordered by namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field holds the kind of its name")]
pub struct Objects {
    pub namespaces: BTreeMap<ObjectKey, Stored<Namespace>>,
    pub nodes: BTreeMap<ObjectKey, Stored<Node>>,
    pub pods: BTreeMap<ObjectKey, Stored<Pod>>,
    pub services: BTreeMap<ObjectKey, Stored<Service>>,
    pub endpoint_slices: BTreeMap<ObjectKey, Stored<EndpointSlice>>,
    pub endpoints: BTreeMap<ObjectKey, Stored<Endpoints>>,
    pub ingresses: BTreeMap<ObjectKey, Stored<Ingress>>,
    pub ingress_classes: BTreeMap<ObjectKey, Stored<IngressClass>>,
    pub gateway_classes: BTreeMap<ObjectKey, Stored<GatewayClass>>,
    pub gateways: BTreeMap<ObjectKey, Stored<Gateway>>,
    pub listener_sets: BTreeMap<ObjectKey, Stored<ListenerSet>>,
    pub http_routes: BTreeMap<ObjectKey, Stored<HttpRoute>>,
    pub grpc_routes: BTreeMap<ObjectKey, Stored<GrpcRoute>>,
    pub tls_routes: BTreeMap<ObjectKey, Stored<TlsRoute>>,
    pub tcp_routes: BTreeMap<ObjectKey, Stored<TcpRoute>>,
    pub udp_routes: BTreeMap<ObjectKey, Stored<UdpRoute>>,
    pub reference_grants: BTreeMap<ObjectKey, Stored<ReferenceGrant>>,
    pub backend_tls_policies: BTreeMap<ObjectKey, Stored<BackendTlsPolicy>>,
    pub backend_traffic_policies: BTreeMap<ObjectKey, Stored<BackendTrafficPolicy>>,
    pub ip_address_pools: BTreeMap<ObjectKey, Stored<IpAddressPool>>,
    pub cilium_pools: BTreeMap<ObjectKey, Stored<CiliumLoadBalancerIpPool>>,
    pub secrets: BTreeMap<ObjectKey, Stored<Secret>>,
    pub config_maps: BTreeMap<ObjectKey, Stored<ConfigMap>>,
}

impl Objects {
    /// Puts an object in the place of its kind and key.
    pub fn apply(&mut self, sourced: &Sourced) {
        match &sourced.object {
            Object::Namespace(object) => put(&mut self.namespaces, object, sourced),
            Object::Node(object) => put(&mut self.nodes, object, sourced),
            Object::Pod(object) => put(&mut self.pods, object, sourced),
            Object::Service(object) => put(&mut self.services, object, sourced),
            Object::EndpointSlice(object) => put(&mut self.endpoint_slices, object, sourced),
            Object::Endpoints(object) => put(&mut self.endpoints, object, sourced),
            Object::Ingress(object) => put(&mut self.ingresses, object, sourced),
            Object::IngressClass(object) => put(&mut self.ingress_classes, object, sourced),
            Object::GatewayClass(object) => put(&mut self.gateway_classes, object, sourced),
            Object::Gateway(object) => put(&mut self.gateways, object, sourced),
            Object::ListenerSet(object) => put(&mut self.listener_sets, object, sourced),
            Object::HttpRoute(object) => put(&mut self.http_routes, object, sourced),
            Object::GrpcRoute(object) => put(&mut self.grpc_routes, object, sourced),
            Object::TlsRoute(object) => put(&mut self.tls_routes, object, sourced),
            Object::TcpRoute(object) => put(&mut self.tcp_routes, object, sourced),
            Object::UdpRoute(object) => put(&mut self.udp_routes, object, sourced),
            Object::ReferenceGrant(object) => put(&mut self.reference_grants, object, sourced),
            Object::BackendTlsPolicy(object) => {
                put(&mut self.backend_tls_policies, object, sourced)
            }
            Object::BackendTrafficPolicy(object) => {
                put(&mut self.backend_traffic_policies, object, sourced)
            }
            Object::IpAddressPool(object) => put(&mut self.ip_address_pools, object, sourced),
            Object::CiliumLoadBalancerIpPool(object) => {
                put(&mut self.cilium_pools, object, sourced)
            }
            Object::Secret(object) => put(&mut self.secrets, object, sourced),
            Object::ConfigMap(object) => put(&mut self.config_maps, object, sourced),
        }
    }

    /// Takes an object away; nothing happens if it is not there.
    pub fn remove(&mut self, reference: &ObjectRef) {
        let key = &reference.key;
        match reference.kind {
            Kind::Namespace => drop(self.namespaces.remove(key)),
            Kind::Node => drop(self.nodes.remove(key)),
            Kind::Pod => drop(self.pods.remove(key)),
            Kind::Service => drop(self.services.remove(key)),
            Kind::EndpointSlice => drop(self.endpoint_slices.remove(key)),
            Kind::Endpoints => drop(self.endpoints.remove(key)),
            Kind::Ingress => drop(self.ingresses.remove(key)),
            Kind::IngressClass => drop(self.ingress_classes.remove(key)),
            Kind::GatewayClass => drop(self.gateway_classes.remove(key)),
            Kind::Gateway => drop(self.gateways.remove(key)),
            Kind::ListenerSet => drop(self.listener_sets.remove(key)),
            Kind::HttpRoute => drop(self.http_routes.remove(key)),
            Kind::GrpcRoute => drop(self.grpc_routes.remove(key)),
            Kind::TlsRoute => drop(self.tls_routes.remove(key)),
            Kind::TcpRoute => drop(self.tcp_routes.remove(key)),
            Kind::UdpRoute => drop(self.udp_routes.remove(key)),
            Kind::ReferenceGrant => drop(self.reference_grants.remove(key)),
            Kind::BackendTlsPolicy => drop(self.backend_tls_policies.remove(key)),
            Kind::BackendTrafficPolicy => drop(self.backend_traffic_policies.remove(key)),
            Kind::IpAddressPool => drop(self.ip_address_pools.remove(key)),
            Kind::CiliumLoadBalancerIpPool => drop(self.cilium_pools.remove(key)),
            Kind::Secret => drop(self.secrets.remove(key)),
            Kind::ConfigMap => drop(self.config_maps.remove(key)),
        }
    }

    /// How many objects of a kind there are, and how many of them are stale.
    pub fn count(&self, kind: Kind) -> Count {
        match kind {
            Kind::Namespace => Count::of(&self.namespaces),
            Kind::Node => Count::of(&self.nodes),
            Kind::Pod => Count::of(&self.pods),
            Kind::Service => Count::of(&self.services),
            Kind::EndpointSlice => Count::of(&self.endpoint_slices),
            Kind::Endpoints => Count::of(&self.endpoints),
            Kind::Ingress => Count::of(&self.ingresses),
            Kind::IngressClass => Count::of(&self.ingress_classes),
            Kind::GatewayClass => Count::of(&self.gateway_classes),
            Kind::Gateway => Count::of(&self.gateways),
            Kind::ListenerSet => Count::of(&self.listener_sets),
            Kind::HttpRoute => Count::of(&self.http_routes),
            Kind::GrpcRoute => Count::of(&self.grpc_routes),
            Kind::TlsRoute => Count::of(&self.tls_routes),
            Kind::TcpRoute => Count::of(&self.tcp_routes),
            Kind::UdpRoute => Count::of(&self.udp_routes),
            Kind::ReferenceGrant => Count::of(&self.reference_grants),
            Kind::BackendTlsPolicy => Count::of(&self.backend_tls_policies),
            Kind::BackendTrafficPolicy => Count::of(&self.backend_traffic_policies),
            Kind::IpAddressPool => Count::of(&self.ip_address_pools),
            Kind::CiliumLoadBalancerIpPool => Count::of(&self.cilium_pools),
            Kind::Secret => Count::of(&self.secrets),
            Kind::ConfigMap => Count::of(&self.config_maps),
        }
    }

    /// As [`count`](Self::count), of all kinds together.
    pub fn total(&self) -> Count {
        Kind::ALL.into_iter().map(|kind| self.count(kind)).fold(Count::default(), |sum, count| {
            Count { all: sum.all + count.all, stale: sum.stale + count.stale }
        })
    }
}

/// How many objects there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Stale ones too.
    pub all: usize,
    /// Those that serve in an older version because their text is broken.
    pub stale: usize,
}

impl Count {
    fn of<T>(stored: &BTreeMap<ObjectKey, Stored<T>>) -> Self {
        Self { all: stored.len(), stale: stored.values().filter(|it| it.stale).count() }
    }
}

fn put<T>(place: &mut BTreeMap<ObjectKey, Stored<T>>, object: &Arc<T>, sourced: &Sourced) {
    let Sourced { object: of_any_kind, origin, stale } = sourced;
    let stored = Stored { object: object.clone(), origin: origin.clone(), stale: *stale };
    place.insert(of_any_kind.metadata().key(), stored);
}
