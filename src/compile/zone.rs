//! Services → names (Kubernetes DNS specification 1.1.0).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::manifest::ObjectKey;
use crate::snapshot::zone::PodNames;
use crate::snapshot::{Zone, ZoneEndpoint, ZonePort, ZoneService};
use crate::store::{Objects, Stored};

use super::address::parse_ip;
use super::allocate::Allocations;
use super::backends::Backends;
use super::clients;
use super::corefile::{Names, PodMode};
use super::endpoints::{self, Member};
use super::services::{CheckedService, Exposed, Services};
use super::settings::Settings;

pub(super) fn build(
    objects: &Objects,
    services: &Services<'_>,
    backends: &Backends,
    allocations: &Allocations,
    settings: &Settings,
    names: &Names,
) -> Zone {
    let mut zone = Zone {
        domain: names.domain.clone(),
        ttl: names.ttl,
        namespaces: namespaces(objects),
        services: BTreeMap::new(),
        origins: BTreeMap::new(),
        reverse: BTreeMap::new(),
        reverse_zones: reverse_zones(settings, names),
        hosts: names.hosts.clone(),
        forward: names.forward.clone(),
        fallthrough: names.fallthrough.clone(),
        pods: PodNames::Disabled,
        rewrites: names.rewrites.clone(),
        clients: clients::build(objects, settings),
        search_domains: settings.dns_search.clone(),
    };
    zone.namespaces.retain(|namespace| names.has_namespace(namespace, objects));
    zone.pods = pods(objects, &zone, names.pods);
    let virtual_ips: BTreeSet<IpAddr> =
        allocations.cluster_ips.values().flatten().copied().collect();
    for (place, service) in services.iter().enumerate() {
        let label = |name: &str| service.stored.object.metadata.label(name);
        let is_served = zone.namespaces.contains(&lower(&service.key.namespace));
        if !is_served || !names.selects(label) {
            continue;
        }
        let backends = backends.of(place);
        let answer = match service.exposed {
            Exposed::ExternalName => external(service),
            Exposed::Headless => {
                let members = backends.filter(|_| names.endpoints);
                let members = members.map_or(&[][..], |backends| &backends.members);
                let endpoints = endpoints(members, names.pod_hostnames);
                Some(ZoneService::Headless { endpoints })
            }
            Exposed::ClusterIp | Exposed::NodePort | Exposed::LoadBalancer => {
                let addresses = allocations.cluster_ips.get(service.key);
                let addresses = addresses.cloned().unwrap_or_default();
                Some(ZoneService::ClusterIp { addresses, ports: named_ports(service) })
            }
        };
        let is_empty = !backends.is_some_and(|backends| backends.is_ready);
        if let Some(answer) = answer {
            add(&mut zone, service, answer, &virtual_ips, is_empty && !names.empty_services);
        }
    }
    zone.reverse.retain(|ip, _| names.reverse.iter().any(|net| net.contains(ip)));
    zone
}

/// Addresses that nobody else is asked about: those of the cluster, or all that are answered where
/// nothing falls through.
fn reverse_zones(settings: &Settings, names: &Names) -> Vec<IpNet> {
    if names.is_all_reverse {
        return names.reverse.clone();
    }
    let mut own = [&settings.service_cidrs[..], &settings.pod_cidrs].concat();
    own.retain(|own| names.reverse.iter().any(|net| net.contains(own)));
    own
}

fn pods(objects: &Objects, zone: &Zone, mode: PodMode) -> PodNames {
    match mode {
        PodMode::Disabled => return PodNames::Disabled,
        PodMode::Insecure => return PodNames::Insecure,
        PodMode::Verified => {}
    }
    let mut pods = BTreeMap::<Arc<str>, BTreeSet<IpAddr>>::new();
    for (key, stored) in &objects.pods {
        let namespace = lower(&key.namespace);
        let phase = stored.object.status.phase.as_deref();
        let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
        if !has_ended && zone.namespaces.contains(&namespace) {
            pods.entry(namespace).or_default().extend(endpoints::addresses(&stored.object));
        }
    }
    PodNames::Verified(pods)
}

/// A virtual address is that of its Service, also where it is the endpoint of another. `is_hidden`:
/// only its addresses have names.
fn add(
    zone: &mut Zone,
    service: &CheckedService<'_>,
    answer: ZoneService,
    virtual_ips: &BTreeSet<IpAddr>,
    is_hidden: bool,
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
        ZoneService::External { .. } | ZoneService::Empty => {}
    }
    let is_hidden = is_hidden && matches!(answer, ZoneService::ClusterIp { .. });
    let answer = if is_hidden { ZoneService::Empty } else { answer };
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
fn endpoints(members: &[Member], pod_hostnames: bool) -> Vec<ZoneEndpoint> {
    let mut ports = BTreeMap::<(IpAddr, Arc<str>), BTreeSet<ZonePort>>::new();
    for member in members.iter().filter(|member| member.ready) {
        let pod = || member.pod.as_ref().filter(|pod| pod_hostnames && pod.len() < LONGEST_POD);
        let hostname = match member.hostname.as_ref().or_else(pod) {
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

/// Longer ones are no label.
const LONGEST_POD: usize = 64;

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
