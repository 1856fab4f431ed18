//! The phases of the process.

use serde::Serialize;

/// Where the process is in its life; readiness follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Building its parts.
    #[default]
    Starting,
    /// Waiting for the first full state of every source.
    Syncing,
    /// Everything applied once: ready.
    Serving,
    /// Finishing what it has: not ready.
    Draining,
    /// Done.
    Stopped,
}
