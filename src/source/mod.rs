//! Where objects come from.
//!
//! In: a directory of manifests (or, later, an API server), and [texts](text_file) beside it. Out: [`Batch`]es of [`Event`]s on a
//! channel, read by `store`'s driver. A batch is applied as a whole: no snapshot is ever compiled
//! from half a scan.
//!
//! Invariant: a source never blocks the planes and never ends the process; what it cannot read is
//! a finding, and what it could read before stays.

pub mod directory;
pub mod text_file;

use std::sync::Arc;

use crate::manifest::{Finding, Object, ObjectRef, Origin};

/// What happened to objects, in the vocabulary of a watch.
#[derive(Clone, Debug)]
pub enum Event {
    /// A full listing begins; nothing is removed until it is done.
    Init,
    /// One object of the listing.
    InitApply(Arc<Sourced>),
    /// The listing is complete: what it did not name is gone.
    InitDone,
    /// An object is new or changed.
    Apply(Arc<Sourced>),
    /// An object is gone.
    Delete(ObjectRef),
    /// Everything that is wrong with the text now; replaces what was said before.
    Findings(Vec<Finding>),
    /// Whether more is to come soon: a text that may not be whole yet is looked at again.
    Waiting(bool),
}

/// Events that take effect together.
pub type Batch = Vec<Event>;

/// An object and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced {
    /// The object.
    pub object: Object,
    /// Where it is written.
    pub origin: Origin,
    /// The text as it is now cannot be decoded; this is the last version that could.
    pub stale: bool,
}
