//! Objects → snapshot and report. Pure: no I/O, no clock, no async.
//!
//! In: [`Objects`], the [`Settings`] of this process, what was allocated before, and the time.
//! Out: [`Compiled`]. Called by `store`'s driver and by `cli/check` and `cli/explain`.
//!
//! Invariant: [`compile`] returns no `Result`. A bad object becomes a value that fails with a
//! reason, plus a finding; nothing else is touched by it.
//! Invariant: a reference from one object to another is resolved in `references` only.
//! Invariant: what was allocated stays allocated as long as its Service exists and wants it.

mod settings;

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use crate::manifest::{Finding, Kind};
use crate::snapshot::Snapshot;
use crate::store::Objects;

pub use settings::{AddressRange, NodePortAddresses, Settings};

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

/// Addresses and ports given to Services that name none. Kept by the driver between compilations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {}

/// What is wrong, and what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Sorted: errors first, then by file and line.
    pub findings: Vec<Finding>,
    /// How many objects of each kind.
    pub objects: BTreeMap<Kind, usize>,
}

/// Compiles everything.
pub fn compile(
    _objects: &Objects,
    _settings: &Settings,
    _held: &Allocations,
    _now: SystemTime,
) -> Compiled {
    todo!()
}
