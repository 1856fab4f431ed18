//! Scans when something changed, and every few seconds because something may have.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::Sender;
use tokio::time::Instant;

use super::Directory;
use super::walk::{Identity, SETTLE_MS, is_manifest};
use crate::manifest::yaml::STACK_BYTES;
use crate::source::Batch;

/// How often fingerprints are looked at when no event says so.
pub const DEFAULT_POLL: Duration = Duration::from_secs(2);

/// A scan waits until the files have been quiet for this long …
const QUIET: Duration = Duration::from_millis(10);

/// … but not longer than this.
const PATIENCE: Duration = Duration::from_millis(200);

/// The next scan after one that saw a text that may not be whole.
pub(in crate::source) const SETTLE: Duration = Duration::from_millis(SETTLE_MS as u64 + 10);

/// Scans the directory on a thread of its own until the handle is dropped or nobody receives.
///
/// The first batch is the listing. Fails only if the thread cannot be started.
pub fn watch(directory: Directory, poll: Duration, batches: Sender<Batch>) -> io::Result<Watch> {
    let (wake, woken) = mpsc::channel();
    let watches = Watches::new(&directory.roots, wake.clone());
    let watching = Watching { directory, poll, batches, woken, watches };
    let thread = std::thread::Builder::new().name("source".to_owned()).stack_size(STACK_BYTES);
    thread.spawn(|| watching.run())?;
    Ok(Watch { wake })
}

/// Keeps a source going; ends it when dropped.
#[derive(Debug)]
pub struct Watch {
    wake: mpsc::Sender<Wake>,
}

impl Watch {
    /// Reads every file again, as on SIGHUP.
    pub fn rescan(&self) {
        let _ = self.wake.send(Wake::Rescan);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
    }
}

enum Wake {
    /// A file event, or that some were lost.
    Changed,
    Rescan,
    Stop,
}

struct Watching {
    directory: Directory,
    poll: Duration,
    batches: Sender<Batch>,
    woken: mpsc::Receiver<Wake>,
    watches: Watches,
}

impl Watching {
    fn run(mut self) {
        loop {
            // Before the scan, so that what changes meanwhile is not missed.
            self.watches.follow(&self.directory.roots);
            let batch = self.directory.scan();
            if !batch.is_empty() && self.batches.blocking_send(batch).is_err() {
                return;
            }
            if !self.wait() || self.batches.is_closed() {
                return;
            }
        }
    }

    /// Waits until it is time to scan. `false`: it is time to end.
    fn wait(&mut self) -> bool {
        let mut timeout = if self.directory.is_waiting() { SETTLE } else { self.poll };
        let mut deadline = None;
        loop {
            match self.woken.recv_timeout(timeout) {
                Ok(Wake::Changed) => {}
                Ok(Wake::Rescan) => self.directory.forget_fingerprints(),
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => return true,
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
            timeout = QUIET.min(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// What the system tells us about. Best effort: the poll sees everything.
struct Watches {
    watcher: Option<RecommendedWatcher>,
    /// Which directory it was that is watched under a name.
    watched: BTreeMap<PathBuf, Identity>,
    has_warned: bool,
}

impl Watches {
    fn new(roots: &[PathBuf], wake: mpsc::Sender<Wake>) -> Self {
        let named: Vec<_> =
            roots.iter().filter_map(|root| Some(root.file_name()?.to_owned())).collect();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if !event.is_ok_and(|event| is_harmless(&event, &named)) {
                let _ = wake.send(Wake::Changed);
            }
        });
        let mut watches = Self { watcher: None, watched: BTreeMap::new(), has_warned: false };
        match watcher {
            Ok(watcher) => watches.watcher = Some(watcher),
            Err(error) => watches.warn(&error),
        }
        watches
    }

    /// Watches the directories of the paths; again where another one took the place.
    fn follow(&mut self, roots: &[PathBuf]) {
        for (path, mode) in directories(roots) {
            let Ok(metadata) = fs::metadata(&path) else {
                self.watched.remove(&path);
                continue;
            };
            let identity = Identity::of(&metadata);
            if self.watched.insert(path.clone(), identity) != Some(identity) {
                self.watch(&path, mode);
            }
        }
    }

    fn watch(&mut self, path: &Path, mode: RecursiveMode) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        // Of the directory that had this name before; there may be none.
        let _ = watcher.unwatch(path);
        if let Err(error) = watcher.watch(path, mode) {
            self.warn(&error);
        }
    }

    fn warn(&mut self, error: &notify::Error) {
        if !self.has_warned {
            tracing::warn!(%error, "no file events: changes are found by polling");
        }
        self.has_warned = true;
    }
}

/// Directories with all that is in them, and for files the directory around: editors and mounts
/// put another file in the place of the old one.
fn directories(roots: &[PathBuf]) -> BTreeMap<PathBuf, RecursiveMode> {
    let mut directories = BTreeMap::new();
    for root in roots {
        if root.is_dir() {
            directories.insert(root.clone(), RecursiveMode::Recursive);
            continue;
        }
        let parent = root.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or_else(|| Path::new(".")).to_owned();
        directories.entry(parent).or_insert(RecursiveMode::NonRecursive);
    }
    directories
}

/// Reading is no change; we do it ourselves. Nor is what is written to a file that is no manifest and was
/// not `named` as one, as an access log that is kept beside them.
fn is_harmless(event: &Event, named: &[OsString]) -> bool {
    let is_read = |path: &PathBuf| {
        is_manifest(path) || path.file_name().is_some_and(|name| named.iter().any(|it| it == name))
    };
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Data(_)) => {
            !event.paths.is_empty() && !event.paths.iter().any(is_read)
        }
        EventKind::Access(_) => true,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => false,
    }
}

#[cfg(test)]
mod tests;
