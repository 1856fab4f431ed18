//! Services → names (Kubernetes DNS specification 1.1.0).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::ObjectKey;
use crate::snapshot::{Zone, ZoneEndpoint, ZonePort, ZoneService};
use crate::store::{Objects, Stored};

use super::address::parse_ip;
use super::allocate::Allocations;
use super::backends::Backends;
use super::clients;
use super::endpoints::Member;
use super::services::{CheckedService, Exposed, Services};
use super::settings::Settings;

pub(super) fn build(
    objects: &Objects,
    services: &Services<'_>,
    backends: &Backends,
    allocations: &Allocations,
    settings: &Settings,
) -> Zone {
    let mut zone = Zone {
        domain: settings.cluster_domain.clone(),
        ttl: settings.dns_ttl,
        namespaces: namespaces(objects),
        services: BTreeMap::new(),
        origins: BTreeMap::new(),
        reverse: BTreeMap::new(),
        reverse_zones: [&settings.service_cidrs[..], &settings.pod_cidrs].concat(),
        hosts: settings.dns_hosts.hosts.clone(),
        forward: settings.dns_forward.clone(),
        clients: clients::build(objects, settings),
        search_domains: settings.dns_search.clone(),
    };
    let virtual_ips: BTreeSet<IpAddr> =
        allocations.cluster_ips.values().flatten().copied().collect();
    for (place, service) in services.iter().enumerate() {
        let answer = match service.exposed {
            Exposed::ExternalName => external(service),
            Exposed::Headless => {
                let members = backends.of(place).map_or(&[][..], |backends| &backends.members);
                Some(ZoneService::Headless { endpoints: endpoints(members) })
            }
            Exposed::ClusterIp | Exposed::NodePort | Exposed::LoadBalancer => {
                let addresses = allocations.cluster_ips.get(service.key);
                let addresses = addresses.cloned().unwrap_or_default();
                Some(ZoneService::ClusterIp { addresses, ports: named_ports(service) })
            }
        };
        if let Some(answer) = answer {
            add(&mut zone, service, answer, &virtual_ips);
        }
    }
    zone
}

/// A virtual address is that of its Service, also where it is the endpoint of another.
fn add(
    zone: &mut Zone,
    service: &CheckedService<'_>,
    answer: ZoneService,
    virtual_ips: &BTreeSet<IpAddr>,
) {
    let (namespace, name) = (lower(&service.key.namespace), lower(&service.key.name));
    let origin = service.stored.origin.clone();
    zone.origins.insert((namespace.clone(), name.clone()), origin);
    let full = format!("{name}.{namespace}.svc.{}", zone.domain);
    match &answer {
        ZoneService::ClusterIp { addresses, .. } => {
            let full: Arc<str> = full.into();
            for ip in addresses {
                zone.reverse.entry(*ip).or_default().push(full.clone());
            }
        }
        ZoneService::Headless { endpoints } => {
            for endpoint in endpoints.iter().filter(|it| !virtual_ips.contains(&it.address)) {
                let name = format!("{}.{full}", endpoint.hostname);
                zone.reverse.entry(endpoint.address).or_default().push(name.into());
            }
        }
        ZoneService::External { .. } => {}
    }
    zone.services.entry(namespace).or_default().insert(name, answer);
}

/// An address is no name: such a Service has no record.
fn external(service: &CheckedService<'_>) -> Option<ZoneService> {
    let name = service.spec().external_name.as_deref()?.trim_end_matches('.');
    let is_name = !name.is_empty() && parse_ip(name).is_none();
    is_name.then(|| ZoneService::External { name: name.to_ascii_lowercase().into() })
}

fn named_ports(service: &CheckedService<'_>) -> Vec<ZonePort> {
    let named = service.ports.iter().filter(|port| !port.name.is_empty());
    let port = |port: &super::services::CheckedPort| ZonePort {
        name: lower(&port.name),
        transport: port.transport,
        port: port.number,
    };
    named.map(port).collect()
}

/// The ready members by address and hostname; what several slices say of one is joined.
fn endpoints(members: &[Member]) -> Vec<ZoneEndpoint> {
    let mut ports = BTreeMap::<(IpAddr, Arc<str>), BTreeSet<ZonePort>>::new();
    for member in members.iter().filter(|member| member.ready) {
        let hostname = match &member.hostname {
            Some(hostname) => lower(hostname),
            None => dashed(member.address).into(),
        };
        let named = member.ports.iter().filter(|port| !port.name.is_empty());
        let named = named.map(|port| ZonePort {
            name: lower(&port.name),
            transport: port.transport,
            port: port.number,
        });
        ports.entry((member.address, hostname)).or_default().extend(named);
    }
    let endpoint = |((address, hostname), ports): (_, BTreeSet<ZonePort>)| ZoneEndpoint {
        hostname,
        address,
        ports: ports.into_iter().collect(),
    };
    ports.into_iter().map(endpoint).collect()
}

/// `10-0-0-1`; `2001-db8--1`; an end in `-`, which no host name has, gets a `0` (CoreDNS).
fn dashed(ip: IpAddr) -> String {
    let mut name = ip.to_string().replace(['.', ':'], "-");
    if name.ends_with('-') {
        name.push('0');
    }
    name
}

/// Namespaces that are written as objects, and those of other objects.
fn namespaces(objects: &Objects) -> BTreeSet<Arc<str>> {
    let mut names: BTreeSet<Arc<str>> =
        objects.namespaces.keys().map(|key| lower(&key.name)).collect();
    add_namespaces(&objects.pods, &mut names);
    add_namespaces(&objects.services, &mut names);
    add_namespaces(&objects.endpoint_slices, &mut names);
    add_namespaces(&objects.endpoints, &mut names);
    add_namespaces(&objects.ingresses, &mut names);
    add_namespaces(&objects.gateways, &mut names);
    add_namespaces(&objects.http_routes, &mut names);
    add_namespaces(&objects.grpc_routes, &mut names);
    add_namespaces(&objects.secrets, &mut names);
    add_namespaces(&objects.config_maps, &mut names);
    names
}

/// Objects are ordered by namespace, so each is added once.
fn add_namespaces<T>(objects: &BTreeMap<ObjectKey, Stored<T>>, names: &mut BTreeSet<Arc<str>>) {
    let mut last: Option<&Arc<str>> = None;
    for key in objects.keys() {
        if last != Some(&key.namespace) {
            names.insert(lower(&key.namespace));
            last = Some(&key.namespace);
        }
    }
}

/// Names are compared in lower case; almost always they are already.
pub(super) fn lower(name: &Arc<str>) -> Arc<str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return name.to_ascii_lowercase().into();
    }
    name.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_labels_as_coredns_writes_them() {
        for (ip, expected) in
            [("1.2.3.4", "1-2-3-4"), ("2001:db8::1", "2001-db8--1"), ("2001:db8::", "2001-db8--0")]
        {
            assert_eq!(dashed(ip.parse().expect("an address")), expected);
        }
    }
}
