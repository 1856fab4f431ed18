//! How the process and its parts begin and end, and what they give up before memory does: drain,
//! phases, signals, supervised tasks and their clock, overload.
//!
//! Every part is `async fn run(self, drain: Drain)`. Draining starts once; accept loops stop
//! first, units of work hold a [`DrainGuard`] until they are done, and [`DrainSignal::finished`]
//! waits for the last of them or the deadline.

mod clock;
mod drain;
mod memory;
mod overload;
mod phase;
mod signal;
mod task;

pub use clock::now;
pub use drain::{Drain, DrainGuard, DrainSignal, drain};
pub use memory::Memory;
pub use overload::{Level, Load, Overload, Shed, Thresholds};
pub use phase::Phase;
pub use signal::{Signal, Signals};
pub use task::{Panicked, caught, spawn_local, task_panics};
