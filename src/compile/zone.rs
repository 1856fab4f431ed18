//! Names of Services and endpoints (Kubernetes DNS specification 1.1.0).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::allocate::Addresses;
use super::endpoints::ServiceEndpoint;
use super::services::{CheckedService, ServiceType};
use super::settings::Settings;
use crate::snapshot::{Zone, ZoneEndpoint, ZonePort, ZoneService};
use crate::store::Objects;

/// Builds the zone.
pub(super) fn build(
    objects: &Objects,
    services: &[CheckedService<'_>],
    endpoints: &[Vec<ServiceEndpoint>],
    addresses: &[Addresses],
    settings: &Settings,
) -> Zone {
    let mut zone = Zone {
        domain: settings.cluster_domain.clone(),
        ttl: settings.dns_ttl,
        namespaces: namespaces(objects),
        ..Zone::default()
    };
    for ((service, endpoints), addresses) in services.iter().zip(endpoints).zip(addresses) {
        let Some(answer) = answer(service, endpoints, addresses) else { continue };
        add_reverse(&mut zone, service, &answer);
        let namespace = zone.services.entry(service.key.namespace.clone()).or_default();
        namespace.insert(service.key.name.clone(), answer);
    }
    zone
}

/// Namespaces that are written, and those that something is in.
fn namespaces(objects: &Objects) -> BTreeSet<Arc<str>> {
    let written = objects.namespaces.keys().map(|key| key.name.clone());
    let of_services = objects.services.keys().map(|key| key.namespace.clone());
    let of_pods = objects.pods.keys().map(|key| key.namespace.clone());
    written.chain(of_services).chain(of_pods).collect()
}

fn answer(
    service: &CheckedService<'_>,
    endpoints: &[ServiceEndpoint],
    addresses: &Addresses,
) -> Option<ZoneService> {
    match service.exposure {
        ServiceType::ExternalName => external(service),
        ServiceType::Headless => {
            Some(ZoneService::Headless { endpoints: headless(service, endpoints) })
        }
        ServiceType::ClusterIp | ServiceType::NodePort | ServiceType::LoadBalancer => {
            let ports = service.ports.iter().filter(|port| !port.name.is_empty());
            let ports = ports.map(|port| ZonePort {
                name: port.name.to_ascii_lowercase().into(),
                transport: port.transport,
                port: port.number,
            });
            let addresses = addresses.cluster_ips.clone();
            Some(ZoneService::ClusterIp { addresses, ports: ports.collect() })
        }
    }
}

/// A name that looks like an address gives no record.
fn external(service: &CheckedService<'_>) -> Option<ZoneService> {
    let name = service.object.spec.external_name.as_deref()?;
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let is_name = !name.is_empty() && name.parse::<IpAddr>().is_err();
    is_name.then(|| ZoneService::External { name: name.into() })
}

/// The ready endpoints, by address; of an address that is there twice the first counts.
fn headless(service: &CheckedService<'_>, endpoints: &[ServiceEndpoint]) -> Vec<ZoneEndpoint> {
    let mut by_address: BTreeMap<IpAddr, ZoneEndpoint> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.ready) {
        by_address.entry(endpoint.ip).or_insert_with(|| zone_endpoint(service, endpoint));
    }
    by_address.into_values().collect()
}

fn zone_endpoint(service: &CheckedService<'_>, endpoint: &ServiceEndpoint) -> ZoneEndpoint {
    let named = service.ports.iter().zip(&endpoint.ports).filter(|(port, _)| !port.name.is_empty());
    let ports = named.filter_map(|(port, number)| {
        let name = port.name.to_ascii_lowercase().into();
        Some(ZonePort { name, transport: port.transport, port: (*number)? })
    });
    let hostname = endpoint.hostname.as_deref().map(str::to_ascii_lowercase);
    ZoneEndpoint {
        hostname: hostname.unwrap_or_else(|| dashed(endpoint.ip)).into(),
        address: endpoint.ip,
        ports: ports.collect(),
    }
}

/// `1-2-3-4`; of IPv6 every `:` is a `-`, and a `0` follows a last one, because no label may end
/// in a dash.
fn dashed(ip: IpAddr) -> String {
    let text = ip.to_string().replace(['.', ':'], "-");
    if text.ends_with('-') { text + "0" } else { text }
}

fn add_reverse(zone: &mut Zone, service: &CheckedService<'_>, answer: &ZoneService) {
    let name = format!("{}.{}.svc.{}", service.key.name, service.key.namespace, zone.domain);
    match answer {
        ZoneService::ClusterIp { addresses, .. } => {
            let name: Arc<str> = name.into();
            for ip in addresses {
                zone.reverse.entry(*ip).or_default().push(name.clone());
            }
        }
        ZoneService::Headless { endpoints } => {
            for endpoint in endpoints {
                let name = format!("{}.{name}", endpoint.hostname).into();
                zone.reverse.entry(endpoint.address).or_default().push(name);
            }
        }
        ZoneService::External { .. } => {}
    }
}
