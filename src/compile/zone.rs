//! Services → names (Kubernetes DNS specification 1.1.0).

mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::manifest::ObjectKey;
use crate::snapshot::zone::PodNames;
use crate::snapshot::{SortedMap, Zone};
use crate::store::{Objects, Stored};

use super::allocate::Allocations;
use super::backends::{Backends, ServiceBackends};
use super::clients;
use super::corefile::{Names, PodMode};
use super::endpoints;
use super::services::{CheckedService, Services};
use super::settings::Settings;

pub(super) use service::endpoints as endpoint_names;
use service::{Naming, ServiceNames};

pub(super) fn build(
    objects: &Objects,
    services: &Services<'_>,
    backends: &Backends<'_>,
    allocations: &Allocations,
    settings: &Settings,
    names: &Names,
) -> Zone {
    let mut zone = Zone {
        domain: names.domain.clone(),
        ttl: names.ttl,
        namespaces: namespaces(objects),
        services: SortedMap::default(),
        origins: SortedMap::default(),
        reverse: SortedMap::default(),
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
    let naming = Naming::new(names, allocations);
    let (mut named, mut origins, mut reverse) = (Vec::new(), Vec::new(), Vec::new());
    for (place, service) in services.iter().enumerate() {
        let of_service = naming.of(&zone.namespaces, service, backends.of(place));
        let Some(ServiceNames { key, answer, reverse: of_addresses }) = of_service else {
            continue;
        };
        origins.push((ObjectKey::clone(&key), service.stored.origin.clone()));
        named.push((ObjectKey::clone(&key), answer));
        reverse.extend(of_addresses);
    }
    // in place: there are as many as endpoints
    reverse.sort_unstable();
    reverse.dedup();
    zone.services = named.into_iter().collect();
    zone.origins = origins.into_iter().collect();
    zone.reverse = reverse.into_iter().map(|entry| (entry, ())).collect();
    zone
}

/// The names of a Service of which only the endpoints have changed, in a zone that has those that
/// it had before.
pub(super) fn rename(
    zone: &mut Zone,
    service: &CheckedService<'_>,
    before: &ServiceBackends,
    now: &ServiceBackends,
    allocations: &Allocations,
    names: &Names,
) {
    let naming = Naming::new(names, allocations);
    let of = |backends| naming.of(&zone.namespaces, service, Some(backends));
    let (before, now) = (of(before), of(now));
    for entry in before.into_iter().flat_map(|it| it.reverse) {
        zone.reverse.remove(&entry);
    }
    if let Some(ServiceNames { key, answer, reverse }) = now {
        zone.services.insert(ObjectKey::clone(&key), answer);
        for entry in reverse {
            zone.reverse.insert(entry, ());
        }
    }
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
