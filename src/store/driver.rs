//! Wait → debounce → compile → publish → report: the control plane in one screenful.

use std::time::SystemTime;

use tokio::sync::{mpsc, watch};

use crate::compile::{Report, Settings};
use crate::life::Drain;
use crate::snapshot::Generation;
use crate::snapshot::cell::Publisher;
use crate::source::Batch;

/// What the control plane last did; watched by the admin API, the log and tests.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The generation that the report belongs to.
    pub generation: Generation,
    /// Compilations so far, also those that changed nothing.
    pub compiles: u64,
    /// How long the last one took.
    pub compile_time: std::time::Duration,
    /// When the content last changed.
    pub published: Option<SystemTime>,
    /// Objects that serve in an older version because their text is broken.
    pub stale: usize,
    /// The findings of sources and compiler, located.
    pub report: std::sync::Arc<Report>,
}

/// Owns the objects and the publisher until `batches` ends or the drain starts.
pub async fn run(
    _batches: mpsc::Receiver<Batch>,
    _settings: Settings,
    _publisher: Publisher,
    _status: watch::Sender<Status>,
    _drain: Drain,
) {
    todo!()
}
