//! Services → names (Kubernetes DNS specification 1.1.0).

mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::manifest::{ObjectKey, Origin};
use crate::snapshot::zone::PodNames;
use crate::snapshot::{SortedMap, Zone};
use crate::store::{Objects, Stored};

use super::allocate::Allocations;
use super::backends::{Backends, ServiceBackends};
use super::clients;
use super::corefile::{Names, PodMode};
use super::differing::differing;
use super::endpoints;
use super::services::{CheckedService, Services};
use super::settings::Settings;

pub(super) use service::endpoints as endpoint_names;
use service::{Naming, ServiceNames};

/// Only the names of Services that have changed are made anew where what is held tells of the others.
pub(super) fn build(
    objects: &Objects,
    services: &Services<'_>,
    backends: &Backends<'_>,
    names: &Names,
    settings: &Settings,
    allocations: &Allocations,
    held: &Allocations,
) -> Arc<Zone> {
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
    match changed_services(&zone, services, names, allocations, held) {
        Some(changed) => {
            let before = held.backends.zone();
            zone.services = before.services.clone();
            zone.origins = before.origins.clone();
            zone.reverse = before.reverse.clone();
            for key in changed {
                let of =
                    |(place, service)| naming.of(&zone.namespaces, service, backends.of(place));
                let now = services.find(&key).and_then(of);
                let origin = objects.services.get(&key).map(|stored| &stored.origin);
                rename(&mut zone, &naming, key, now.zip(origin));
            }
        }
        None => name_all(&mut zone, &naming, services, backends),
    }
    Arc::new(zone)
}

fn name_all(
    zone: &mut Zone,
    naming: &Naming<'_>,
    services: &Services<'_>,
    backends: &Backends<'_>,
) {
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
}

/// The Services whose names may not be those of the zone before. `None`: all, because it was made
/// differently, or there are nearly as many.
fn changed_services(
    zone: &Zone,
    services: &Services<'_>,
    names: &Names,
    allocations: &Allocations,
    held: &Allocations,
) -> Option<BTreeSet<ObjectKey>> {
    let (before, now) = (&held.backends, &allocations.backends);
    let is_same_way = before.names().is_some_and(|before| names.names_services_as(before))
        && before.zone().namespaces == zone.namespaces;
    if !is_same_way {
        return None;
    }
    let moved = differing(&held.cluster_ips, &allocations.cluster_ips, PartialEq::eq);
    let mut changed: BTreeSet<_> = moved.into_iter().cloned().collect();
    changed.extend(now.changed_since(before));
    // two that differ in case only have one name
    let mut keys = services.iter().map(|it| it.key).chain(&changed);
    let is_lower = keys.all(|key| is_lower(&key.namespace) && is_lower(&key.name));
    let are_few = changed.len() * FEW <= services.iter().len();
    (is_lower && are_few).then_some(changed)
}

/// Up to one in so many, it costs less to put names in their places than to sort all.
const FEW: usize = 8;

/// In the place of the names that a Service had: those that it has now, if any, and where it is
/// written.
fn rename(
    zone: &mut Zone,
    naming: &Naming<'_>,
    key: ObjectKey,
    now: Option<(ServiceNames, &Origin)>,
) {
    let key = Arc::new(key);
    let before = zone.services.get(&key);
    let before = before.map(|before| naming.reverse(&key, before)).unwrap_or_default();
    for entry in before {
        zone.reverse.remove(&entry);
    }
    let Some((ServiceNames { key, answer, reverse }, origin)) = now else {
        zone.services.remove(&key);
        zone.origins.remove(&key);
        return;
    };
    zone.services.insert(ObjectKey::clone(&key), answer);
    if zone.origins.get(&key) != Some(origin) {
        zone.origins.insert(ObjectKey::clone(&key), origin.clone());
    }
    for entry in reverse {
        zone.reverse.insert(entry, ());
    }
}

/// The names of a Service of which only the endpoints have changed, in a zone that has those that
/// it had before.
pub(super) fn follow(
    zone: &mut Zone,
    service: &CheckedService<'_>,
    now: &ServiceBackends,
    allocations: &Allocations,
    names: &Names,
) {
    let naming = Naming::new(names, allocations);
    if let Some(now) = naming.of(&zone.namespaces, service, Some(now)) {
        let key = ObjectKey::clone(&now.key);
        rename(zone, &naming, key, Some((now, &service.stored.origin)));
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
    if is_lower(name) { name.clone() } else { name.to_ascii_lowercase().into() }
}

fn is_lower(name: &str) -> bool {
    !name.bytes().any(|b| b.is_ascii_uppercase())
}
