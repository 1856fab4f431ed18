//! A backend for every port of every Service, with the endpoints that new work goes to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoints::ServiceEndpoint;
use super::services::{CheckedService, Port, ServiceType};
use crate::snapshot::{Backend, BackendId, Endpoint, EndpointId};

/// The backends of every Service, in the order of Services and their ports.
pub(super) type Backends = Vec<Vec<Arc<Backend>>>;

/// Builds them. ExternalName Services have none: their ports have no effect.
pub(super) fn build(
    services: &[CheckedService<'_>],
    endpoints: &[Vec<ServiceEndpoint>],
) -> Backends {
    let of_service = |(service, endpoints): (&CheckedService<'_>, &Vec<ServiceEndpoint>)| {
        if service.exposure == ServiceType::ExternalName {
            return Vec::new();
        }
        let of_port = |(place, port)| Arc::new(backend(service, place, port, endpoints));
        service.ports.iter().enumerate().map(of_port).collect()
    };
    services.iter().zip(endpoints).map(of_service).collect()
}

/// The same by identity, for the snapshot.
pub(super) fn by_id(backends: Backends) -> BTreeMap<BackendId, Arc<Backend>> {
    backends.into_iter().flatten().map(|backend| (backend.id.clone(), backend)).collect()
}

fn backend(
    service: &CheckedService<'_>,
    place: usize,
    port: &Port,
    endpoints: &[ServiceEndpoint],
) -> Backend {
    let id =
        BackendId { service: service.key.clone(), port: port.label(), transport: port.transport };
    let endpoints = by_address(place, endpoints);
    let usable = usable(&endpoints);
    Backend { id, port: port.number, app_protocol: port.app_protocol, endpoints, usable }
}

/// One endpoint an address. Of several (a Pod in two slices), one that is not terminating wins,
/// as in kube-proxy's `endpointslicecache.go`.
fn by_address(place: usize, endpoints: &[ServiceEndpoint]) -> Vec<Arc<Endpoint>> {
    let mut by_address: BTreeMap<SocketAddr, Endpoint> = BTreeMap::new();
    for endpoint in endpoints {
        let Some(Some(number)) = endpoint.ports.get(place) else { continue };
        let addr = SocketAddr::new(endpoint.ip, *number);
        if by_address.get(&addr).is_some_and(|known| !known.terminating) {
            continue;
        }
        let endpoint = Endpoint {
            id: EndpointId(addr),
            ready: endpoint.ready,
            serving: endpoint.serving,
            terminating: endpoint.terminating,
            pod: endpoint.pod.clone(),
            node: endpoint.node.clone(),
            zone: endpoint.zone.clone(),
        };
        by_address.insert(addr, endpoint);
    }
    by_address.into_values().map(Arc::new).collect()
}

/// The ready ones; if none is ready, those that serve while terminating (KEP-1669).
fn usable(endpoints: &[Arc<Endpoint>]) -> Vec<Arc<Endpoint>> {
    let ready: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.ready).cloned().collect();
    if !ready.is_empty() {
        return ready;
    }
    let leaving = |endpoint: &&Arc<Endpoint>| endpoint.serving && endpoint.terminating;
    endpoints.iter().filter(leaving).cloned().collect()
}
