//! Limits that follow the machine.

use std::sync::Arc;

use crate::config::{Config, LIMITS};
use crate::life::{Memory, Overload, spawn_local};
use crate::net::raise_limit;
use crate::observe::Metrics;
use crate::plane::Cap;

/// Settles what the options leave to the machine. Gives the descriptors that there are, and the memory
/// that load is shed by, if it is.
pub(super) fn settle(config: &mut Config) -> (u64, Option<Memory>) {
    let descriptors = raise_limit();
    let memory = match config.limits.memory {
        Cap::Auto => Memory::find(),
        Cap::Off => None,
        Cap::At(limit) => Some(Memory::of_process(limit as u64)),
    };
    config.limits = config.limits.clone().on(descriptors, memory.as_ref().map(Memory::limit));
    (descriptors, memory)
}

/// The metrics of the process, which tell of every limit by its name.
pub(super) fn metrics(config: &Config, memory: Option<Memory>) -> Arc<Metrics> {
    let overload = Overload::new(memory, config.limits.thresholds(), config.workers);
    let limits = LIMITS.iter().map(|limit| (limit.name, limit.number(&config.limits)));
    Arc::new(
        Metrics::new(&config.metrics_compat).with_limits(limits.collect()).with_overload(overload),
    )
}

/// Keeps memory below its limit.
pub(super) fn keep(overload: Arc<Overload>) {
    spawn_local("overload", async move { overload.watch().await });
}
