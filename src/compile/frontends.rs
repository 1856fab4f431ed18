//! Every address and port at which a Service is reached on L4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::allocate::Addresses;
use super::backends::Backends;
use super::findings::Findings;
use super::listeners::Listeners;
use super::services::{CheckedService, Port};
use super::settings::{NodePortAddresses, Settings};
use crate::manifest::{Code, Severity};
use crate::snapshot::{Backend, Exposure, Frontend, Serve, SocketKey};

/// Adds a listener for each of them.
pub(super) fn add(
    listeners: &mut Listeners,
    services: &[CheckedService<'_>],
    backends: &Backends,
    addresses: &[Addresses],
    settings: &Settings,
    findings: &mut Findings,
) {
    for ((service, backends), addresses) in services.iter().zip(backends).zip(addresses) {
        find_unserved(service, addresses, settings, findings);
        for (place, (port, backend)) in service.ports.iter().zip(backends).enumerate() {
            for (exposure, addr) in places(service, place, port, addresses, settings) {
                let key = SocketKey { transport: port.transport, addr };
                let serve = serve(service, port, backend, exposure);
                listeners.add(key, serve, &service.subject, &port.field(), findings);
            }
        }
    }
}

fn places(
    service: &CheckedService<'_>,
    place: usize,
    port: &Port,
    addresses: &Addresses,
    settings: &Settings,
) -> Vec<(Exposure, SocketAddr)> {
    if !service.is_virtual() {
        return Vec::new();
    }
    let at = |exposure| move |ip: IpAddr| (exposure, SocketAddr::new(ip, port.number));
    let cluster = addresses.cluster_ips.iter().copied().map(at(Exposure::ClusterIp));
    let balanced = addresses.load_balancer_ips.iter().copied().map(at(Exposure::LoadBalancer));
    let external = &service.object.spec.external_ips;
    let external =
        external.iter().filter_map(|text| text.parse().ok()).map(at(Exposure::ExternalIp));
    let node_port = addresses.node_ports.get(place).copied().flatten();
    let nodes = node_port.into_iter().flat_map(|number| {
        let at_node = move |ip| (Exposure::NodePort, SocketAddr::new(ip, number));
        node_addresses(settings).into_iter().map(at_node)
    });
    cluster.chain(balanced).chain(external).chain(nodes).collect()
}

fn node_addresses(settings: &Settings) -> Vec<IpAddr> {
    match &settings.nodeport_addresses {
        NodePortAddresses::All => {
            vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()]
        }
        NodePortAddresses::Only(addresses) => addresses.clone(),
    }
}

fn serve(
    service: &CheckedService<'_>,
    port: &Port,
    backend: &Arc<Backend>,
    exposure: Exposure,
) -> Serve {
    Serve::Frontend(Arc::new(Frontend {
        service: service.key.clone(),
        exposure,
        backend: backend.clone(),
        origin: service.subject.origin.clone(),
        field: port.field().into(),
    }))
}

/// A virtual address that is neither loopback nor in the service CIDR can be served only where
/// the system has it.
fn find_unserved(
    service: &CheckedService<'_>,
    addresses: &Addresses,
    settings: &Settings,
    findings: &mut Findings,
) {
    let is_ours = |ip: &IpAddr| settings.service_cidrs.iter().any(|cidr| cidr.contains(ip));
    let foreign = addresses.cluster_ips.iter().filter(|ip| !ip.is_loopback() && !is_ours(ip));
    for ip in foreign {
        let message =
            format!("{ip} is outside of the service CIDR and served only if this host has it");
        let help = "leave clusterIP out to get an address that always works".to_owned();
        let adding = findings.add(&service.subject);
        adding.push(Severity::Note, Code::UnservedAddress, "spec.clusterIP", message, Some(help));
    }
}
