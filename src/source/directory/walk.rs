//! Paths → files, in order, each with a fingerprint; nothing is read yet.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::manifest::{Code, Finding, Severity};

use super::file_origin;

/// How long a file must have been left alone.
pub(super) const SETTLE_MS: u32 = 50;

/// What the paths lead to now.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// In the order of the paths, sorted within a directory; no file twice.
    pub(super) files: Vec<Found>,
    /// What exists but cannot be looked into: what is known of its files stays.
    pub(super) unreadable: Vec<PathBuf>,
    /// What is wrong with the paths.
    pub(super) findings: Vec<Finding>,
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) fingerprint: Fingerprint,
}

/// Differs whenever the content does; see [`Fingerprint::is_settled`] for the exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct Fingerprint {
    identity: Identity,
    pub(super) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Device and inode: which file or directory it is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity(u64, u64);

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

impl Fingerprint {
    pub(in crate::source) fn of(metadata: &Metadata) -> Self {
        Self {
            identity: Identity::of(metadata),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file has been left alone for a moment. Before, it may still be written, and
    /// may change again without a trace: file times tick every few milliseconds only (git calls
    /// such entries racy).
    pub(in crate::source) fn is_settled(&self, now: SystemTime) -> bool {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i128::try_from(since_epoch.as_millis()).unwrap_or(i128::MAX);
        let changed_ms = i128::from(self.changed.0) * 1000 + i128::from(self.changed.1) / 1_000_000;
        now_ms.saturating_sub(changed_ms) > i128::from(SETTLE_MS)
    }
}

/// Looks at every path and at everything below the directories among them.
///
/// Hidden entries are left out. That makes a mounted ConfigMap come out right: its files are
/// links into `..data`, itself a link to the one directory that is not hidden behind dots.
pub(super) fn walk(roots: &[PathBuf]) -> Walk {
    let mut walker = Walker::default();
    for root in roots {
        walker.root(root);
    }
    walker.walk
}

impl Walk {
    /// Whether the file may still be there, behind something that cannot be read.
    pub(super) fn hides(&self, path: &Path) -> bool {
        self.unreadable.iter().any(|unreadable| path.starts_with(unreadable))
    }
}

#[derive(Default)]
struct Walker {
    walk: Walk,
    seen: HashSet<Identity>,
    /// The directories around the current one.
    around: Vec<Identity>,
}

impl Walker {
    fn root(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path, &metadata),
            Ok(metadata) => self.file(path, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("{} is gone, and its objects with it", path.display());
                self.find(Severity::Warning, path, message);
            }
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn directory(&mut self, path: &Path, metadata: &Metadata) {
        let identity = Identity::of(metadata);
        if self.around.contains(&identity) {
            let message = format!("{} leads back to a directory around it", path.display());
            return self.find(Severity::Warning, path, message);
        }
        if !self.seen.insert(identity) {
            return;
        }
        let names = match sorted_names(path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => return self.unreadable(path, &error),
        };
        self.around.push(identity);
        for name in names {
            self.entry(&path.join(name));
        }
        self.around.pop();
    }

    fn entry(&mut self, path: &Path) {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.directory(path, &metadata),
            Ok(metadata) if metadata.is_file() && is_manifest(path) => self.file(path, &metadata),
            Ok(_) => {}
            // Deleted since the directory was listed, unless it is a link that leads nowhere:
            // whoever replaces a link in two steps does not mean to delete what it leads to.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {}
            Err(error) if is_manifest(path) || path.extension().is_none() => {
                self.unreadable(path, &error);
            }
            Err(_) => {}
        }
    }

    fn file(&mut self, path: &Path, metadata: &Metadata) {
        if self.seen.insert(Identity::of(metadata)) {
            let fingerprint = Fingerprint::of(metadata);
            self.walk.files.push(Found { path: path.to_owned(), fingerprint });
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let leads_nowhere = error.kind() == io::ErrorKind::NotFound;
        let severity = if leads_nowhere { Severity::Warning } else { Severity::Error };
        self.find(severity, path, format!("{} cannot be read: {error}", path.display()));
        self.walk.unreadable.push(path.to_owned());
    }

    fn find(&mut self, severity: Severity, path: &Path, message: String) {
        let origin = file_origin(&path.to_string_lossy());
        self.walk.findings.push(Finding::new(severity, Code::Unreadable, &origin, message));
    }
}

fn sorted_names(directory: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn is_manifest(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}
