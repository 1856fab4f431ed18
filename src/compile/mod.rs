//! Objects → snapshot and report. Pure: no I/O, no clock, no async.
//!
//! In: [`Objects`], the [`Settings`] of this process, what was allocated before, and the time.
//! Out: [`Compiled`]. Called by `store`'s driver and by `cli/check` and `cli/explain`.
//!
//! Invariant: [`compile`] returns no `Result`. A bad object becomes a value that fails with a
//! reason, plus a finding; nothing else is touched by it.
//! Invariant: a reference from one object to another is resolved in [`references`] only.
//! Invariant: what was allocated stays allocated as long as its Service exists and wants it.
//! Invariant: wherever objects compete, the older one wins, then the first by namespace and name
//! ([`order`]).

mod allocate;
mod backends;
mod class;
mod endpoints;
mod findings;
mod frontends;
mod ingress;
mod listeners;
mod order;
mod path;
mod pods;
mod references;
mod services;
mod settings;
mod tls;
mod zone;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use crate::manifest::{Finding, Kind};
use crate::snapshot::Snapshot;
use crate::store::Objects;

pub use allocate::Allocations;
pub use settings::{AddressRange, INGRESS_CONTROLLER, NodePortAddresses, Settings};

use findings::Findings;
use listeners::Listeners;
use references::References;

/// What a compilation gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// For the planes.
    pub snapshot: Snapshot,
    /// For people.
    pub report: Report,
    /// For the next compilation.
    pub allocations: Allocations,
}

/// What is wrong, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Sorted: errors first, then by file and line.
    pub findings: Vec<Finding>,
    /// How many objects of each kind.
    pub objects: BTreeMap<Kind, usize>,
}

/// Compiles everything.
///
/// `held` is what the compilation before this one gave; `now` decides which certificates are valid.
pub fn compile(
    objects: &Objects,
    settings: &Settings,
    held: &Allocations,
    now: SystemTime,
) -> Compiled {
    let mut findings = Findings::default();
    let services = services::read(objects, &mut findings);
    let endpoints = endpoints::resolve(objects, &services, &mut findings);
    let backends = backends::build(&services, &endpoints);
    let (addresses, allocations) = allocate::allocate(&services, settings, held, &mut findings);

    let mut listeners = Listeners::default();
    frontends::add(&mut listeners, &services, &backends, &addresses, settings, &mut findings);
    let references = References::new(objects, &services, &backends);
    ingress::add(&mut listeners, objects, &references, settings, now, &mut findings);

    let zone = zone::build(objects, &services, &endpoints, &addresses, settings);
    let snapshot = Snapshot {
        listeners: listeners.finish(),
        backends: backends::by_id(backends),
        zone: Arc::new(zone),
        ..Snapshot::default()
    };
    let report = Report { findings: findings.sorted(), objects: count(objects) };
    Compiled { snapshot, report, allocations }
}

fn count(objects: &Objects) -> BTreeMap<Kind, usize> {
    Kind::ALL
        .into_iter()
        .map(|kind| (kind, objects.count(kind).all))
        .filter(|(_, count)| *count > 0)
        .collect()
}
