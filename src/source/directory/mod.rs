//! A directory of manifests as a source.
//!
//! In: paths of files and directories (`-` is the standard input, read once). Out: [`Batch`]es:
//! one listing, then what changed. [`load`] reads once, for `check` and `explain`; [`watch()`] goes
//! on for ever on a thread of its own, for `run`, so that no file system stalls the control
//! thread. [`locate()`] finds lines and columns for findings that have none yet.
//!
//! Invariant: a file that is deleted takes its objects along, and so does a directory. What is
//! there but cannot be read or decoded keeps what it last held, marked stale. An object that is
//! missing in a text is believed to be gone when the file has been left alone for a moment.
//! Invariant: a scan reads only files whose fingerprint changed, and decodes only documents
//! whose text changed.
//! Deliberately absent: trust in file events. They only say when to look; a poll of fingerprints
//! finds what they miss (mounts, links to elsewhere, overflow, exhausted watches).

mod file;
mod locate;
mod merge;
mod walk;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::{Batch, Event};
use crate::manifest::{Finding, Origin};
use file::{File, Said};
use merge::{Edits, View};

pub(super) use file::read_file;
pub use locate::{Texts, locate};
pub(super) use walk::Fingerprint;
pub(super) use watch::SETTLE;
pub use watch::{DEFAULT_POLL, Watch, watch};

/// Why a source cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A path does not exist, or not for us.
    #[error("cannot read {}", path.display())]
    Path {
        /// As given.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// The standard input has no text.
    #[error("cannot read the standard input")]
    Stdin(#[source] io::Error),
}

/// Reads everything once: the listing, and the texts for [`locate()`].
pub fn load(paths: &[PathBuf]) -> Result<(Batch, Texts), OpenError> {
    let mut directory = Directory::open(paths)?;
    let batch = directory.scan();
    Ok((batch, Texts::with_stdin(directory.stdin.map(|(text, _)| text))))
}

/// The paths of a source, and what is known of the files there.
#[derive(Debug)]
pub struct Directory {
    roots: Vec<PathBuf>,
    stdin: Option<(Arc<str>, File)>,
    /// Every file that was there at the last scan.
    files: HashMap<PathBuf, File>,
    /// What was wrong with the paths then.
    complaints: Vec<Finding>,
    /// What the scan gave; `None` before the first.
    view: Option<View>,
}

impl Directory {
    /// Checks that the paths exist, and reads the standard input if it is among them.
    pub fn open(paths: &[PathBuf]) -> Result<Self, OpenError> {
        let (stdin, roots): (Vec<_>, Vec<_>) =
            paths.iter().cloned().partition(|path| path == Path::new(STDIN));
        for path in &roots {
            std::fs::metadata(path)
                .map_err(|error| OpenError::Path { path: path.clone(), error })?;
        }
        let stdin = if stdin.is_empty() { None } else { Some(read_stdin()?) };
        Ok(Self { roots, stdin, files: HashMap::new(), complaints: Vec::new(), view: None })
    }

    /// Looks at everything again. The first time the whole listing; later what changed, empty if
    /// nothing did.
    pub fn scan(&mut self) -> Batch {
        self.scan_at(SystemTime::now())
    }

    /// Whether a scan should follow soon: some text may not be whole yet.
    pub fn is_waiting(&self) -> bool {
        self.files.values().any(|file| file.is_waiting)
    }

    fn scan_at(&mut self, now: SystemTime) -> Batch {
        let was_waiting = self.is_waiting();
        let mut batch = self.look(now);
        if self.is_waiting() != was_waiting {
            batch.push(Event::Waiting(!was_waiting));
        }
        batch
    }

    fn look(&mut self, now: SystemTime) -> Batch {
        let walk = walk::walk(&self.roots);
        let mut before = std::mem::take(&mut self.files);
        let are_paths_same = walk.findings == self.complaints;
        let mut edits = Edits::default();
        let mut order = Vec::with_capacity(walk.files.len());
        for found in &walk.files {
            let known = before.remove(&found.path);
            let mut file = known.unwrap_or_else(|| File::new(&found.path));
            if file.may_differ(found) {
                let said = file.said();
                if file.update(found, now) {
                    edits.add(said, file.said());
                }
            }
            order.push(found.path.clone());
            self.files.insert(found.path.clone(), file);
        }
        // Sorted, because a hash map has no order that a report could follow.
        for (path, mut file) in BTreeMap::from_iter(before) {
            let said = file.said();
            if !walk.hides(&path) {
                edits.add(said, Said::default());
                continue;
            }
            if file.keep() {
                edits.add(said, file.said());
            }
            order.push(path.clone());
            self.files.insert(path, file);
        }
        self.complaints = walk.findings;
        let view = self.view.as_mut().filter(|_| are_paths_same);
        let batch = view.and_then(|view| view.follow(&edits));
        batch.unwrap_or_else(|| self.publish(&order))
    }

    /// Reads every file at the next scan, whatever its fingerprint says.
    pub fn forget_fingerprints(&mut self) {
        self.files.values_mut().for_each(File::forget);
    }

    /// Merges everything that is known, and tells how it differs from what was.
    fn publish(&mut self, order: &[PathBuf]) -> Batch {
        let stdin = self.stdin.iter().map(|(_, file)| file);
        let files = stdin.chain(order.iter().filter_map(|path| self.files.get(path)));
        let view = View::merge(files, self.complaints.clone());
        let batch = match &self.view {
            Some(before) => view.changes_since(before),
            None => view.listing(),
        };
        self.view = Some(view);
        batch
    }
}

/// The path that stands for the standard input.
const STDIN: &str = "-";

fn read_stdin() -> Result<(Arc<str>, File), OpenError> {
    let text = file::read_stream(io::stdin().lock()).map_err(OpenError::Stdin)?;
    let file = File::of_text(STDIN, &text);
    Ok((text.into(), file))
}

/// A file as a whole.
fn file_origin(name: &str) -> Origin {
    Origin { file: name.into(), ..Origin::default() }
}

#[cfg(test)]
mod tests;
