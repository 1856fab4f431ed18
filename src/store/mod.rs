//! One owner of all objects.
//!
//! In: [`Batch`](crate::source::Batch)es from the sources, and hosts files. Out: [`Objects`], which [`driver`] gives to `compile`, and
//! the published snapshot and [`Status`]. Called by `app`, which spawns the driver on the control
//! thread.
//!
//! Invariant: exactly one task owns the store, the allocations and the snapshot's
//! [`Publisher`](crate::snapshot::cell::Publisher).

pub mod driver;
mod hosts;
mod inbox;
mod objects;

pub use driver::Status;
pub use inbox::{Changes, Inbox};
pub use objects::{Count, Objects, Stored};
