//! Where objects come from while the process runs, and what ends it.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::{AppError, Objects};
use crate::config::Config;
use crate::life::{Signal, Signals};
use crate::source::directory::{Directory, Watch, watch};
use crate::source::{Batch, Event};

/// Opens the source; what is returned keeps it running.
pub(super) fn open(
    objects: Objects,
    config: &Config,
    batches: mpsc::Sender<Batch>,
) -> Result<Source, AppError> {
    match objects {
        Objects::Directory(paths) => {
            let directory = Directory::open(&paths)?;
            Ok(Source::Directory(watch(directory, config.poll, batches)?))
        }
        Objects::Listed(objects) => {
            let listed = objects.into_iter().map(|object| Event::InitApply(Arc::new(object)));
            let batch = [Event::Init].into_iter().chain(listed).chain([Event::InitDone]);
            // the channel is new, so there is room
            let _ = batches.try_send(batch.collect());
            Ok(Source::Fixed { _open: batches })
        }
    }
}

/// A source while it runs.
#[derive(Debug)]
pub(super) enum Source {
    Directory(Watch),
    /// The driver ends when its channel closes.
    Fixed {
        _open: mpsc::Sender<Batch>,
    },
}

/// Waits for what ends the process.
pub(super) struct Terminations {
    pub(super) signals: Option<Signals>,
    pub(super) count: watch::Receiver<u32>,
    pub(super) source: Source,
}

impl Terminations {
    /// The next termination, by a signal or by the handle. Cancel-safe.
    pub(super) async fn next(&mut self) {
        loop {
            let signal = async {
                match &mut self.signals {
                    Some(signals) => signals.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                signal = signal => match signal {
                    Signal::Terminate => return,
                    Signal::Rescan => {}
                },
                // the app itself holds a sender
                _ = self.count.changed() => return,
            }
            if let Source::Directory(watch) = &self.source {
                watch.rescan();
            }
        }
    }
}
