//! A change of EndpointSlices alone → the next snapshot, without compiling everything again.
//!
//! Endpoints come and go all day, everything else a few times. What a slice can change is known: the
//! backends of its Service, the listeners that lead to them, its names and the clients that it
//! tells of. Where more may follow from it, [`patch`] says so and everything is compiled: a rule
//! leads to the Service, something is wrong or was, Pods or Endpoints are behind it as well, or it
//! has ranges of ports.
//!
//! Invariant: the outcome is that of [`compile`](super::compile), which a property test holds it to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::manifest::ObjectKey;
use crate::manifest::endpoints::EndpointSlice;
use crate::snapshot::{Snapshot, Zone};
use crate::store::{Objects, Stored};

use super::allocate::Allocations;
use super::announce;
use super::backends::{Remembered, ServiceBackends};
use super::clients;
use super::endpoints::{keep_families, of_slices, service_of};
use super::listeners;
use super::report::Findings;
use super::services::{CheckedService, Exposed};
use super::settings::Settings;
use super::zone;

/// Slices that came, changed or went, by the Service that they name or named.
pub type SliceChanges = BTreeMap<ObjectKey, BTreeSet<ObjectKey>>;

/// What a Service was, and what it is now.
struct Patch<'a> {
    service: CheckedService<'a>,
    before: Remembered,
    slices: Vec<(&'a ObjectKey, &'a Stored<EndpointSlice>)>,
    now: Arc<ServiceBackends>,
}

/// The snapshot after `before`, and `held` as the next change needs it. `None`, and `held` as it was:
/// everything has to be compiled.
pub fn patch(
    objects: &Objects,
    settings: &Settings,
    held: &mut Allocations,
    before: &Snapshot,
    changes: &SliceChanges,
) -> Option<Snapshot> {
    let names = held.backends.names()?.clone();
    let read = |(key, slices)| Patch::read(objects, settings, held, key, slices);
    let patches: Vec<Patch<'_>> = changes.iter().map(read).collect::<Option<_>>()?;
    let mut snapshot = before.clone();
    let mut zone = Zone::clone(&snapshot.zone);
    for patch in &patches {
        let (service, was) = (&patch.service, patch.before.built());
        for (old, new) in was.replaced_by(&patch.now) {
            let is_reached = snapshot.backends.get(&old.id).is_some_and(|it| Arc::ptr_eq(it, old));
            if is_reached {
                snapshot.backends.insert(new.id.clone(), new.clone());
            }
        }
        listeners::lead_to(&mut snapshot.listeners, service, was, &patch.now, held, settings);
        zone::follow(&mut zone, service, &patch.now, held, &names);
        for (key, slice) in patch.before.slices() {
            clients::of_slice(&key, slice).for_each(|it| zone.clients.remove(&it));
        }
        for (key, stored) in &patch.slices {
            clients::of_slice(key, &stored.object).for_each(|it| zone.clients.add(it));
        }
    }
    snapshot.zone = Arc::new(zone);
    let is_announced = |patch: &Patch<'_>| patch.service.exposed == Exposed::LoadBalancer;
    if patches.iter().any(is_announced) {
        let Snapshot { listeners, load_balancers, .. } = &snapshot;
        let decided = announce::decide(objects, settings, listeners, load_balancers);
        snapshot.announcements = Arc::new(decided);
    }
    for Patch { service, slices, now, .. } in patches {
        held.backends.replace(Remembered::new(&service, Some(&slices), now));
    }
    held.backends.keep_zone(snapshot.zone.clone());
    Some(snapshot)
}

impl<'a> Patch<'a> {
    fn read(
        objects: &'a Objects,
        settings: &Settings,
        held: &Allocations,
        key: &ObjectKey,
        changed: &BTreeSet<ObjectKey>,
    ) -> Option<Self> {
        let (key, stored) = objects.services.get_key_value(key)?;
        // what is wrong with the Service itself was said
        let service = CheckedService::parse(key, stored, settings, &mut Findings::default());
        if !service.ranges.is_empty() {
            return None;
        }
        let before = held.backends.find(key).filter(|it| it.is_alone(&service))?.clone();
        let known = before.slices().map(|(key, _)| key);
        let keys: BTreeSet<ObjectKey> = known.chain(changed.iter().cloned()).collect();
        let slices = keys.iter().filter_map(|key| objects.endpoint_slices.get_key_value(key));
        let is_of = |(slice, stored): &(&ObjectKey, &Stored<EndpointSlice>)| {
            service_of(slice, &stored.object).as_ref() == Some(key)
        };
        let slices: Vec<_> = slices.filter(is_of).collect();
        let is_mirrored = slices.is_empty() && objects.endpoints.contains_key(key);
        let mut findings = Findings::default();
        let setting = held.backends.setting()?;
        let mut members = of_slices(&slices, &service, &setting.node, &mut findings);
        let selects_nobody = members.is_empty() && !service.spec().selector.is_empty();
        if is_mirrored || selects_nobody || findings.len() > 0 {
            return None;
        }
        keep_families(&service, &mut members);
        let now = ServiceBackends::build(&service, &members, setting);
        Some(Self { service, before, slices, now: Arc::new(now) })
    }
}
