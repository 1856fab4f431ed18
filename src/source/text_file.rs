//! A text beside the manifests, such as a hosts file: read when its fingerprint changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::directory::{Fingerprint, read_file};

/// What is known of one file. Its first look reads it.
#[derive(Debug)]
pub struct TextFile {
    path: PathBuf,
    /// As of the last reading; `None`: read again at the next look.
    fingerprint: Option<Fingerprint>,
    text: Arc<str>,
    problem: Option<String>,
}

impl TextFile {
    /// A file that was not read yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), fingerprint: None, text: Arc::default(), problem: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text when it could last be read, and why it cannot be read now.
    pub fn text(&self) -> (&Arc<str>, Option<&str>) {
        (&self.text, self.problem.as_deref())
    }

    /// Reads it again if it may have changed. `false`: it is still being written, so look again
    /// soon; what it had stays meanwhile.
    pub fn look(&mut self) -> bool {
        let metadata = match fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) => return self.fail(format!("the file cannot be read: {error}")),
        };
        let fingerprint = Fingerprint::of(&metadata);
        if self.fingerprint == Some(fingerprint) {
            return true;
        }
        if !fingerprint.is_settled(SystemTime::now()) {
            return false;
        }
        match read_file(&self.path) {
            Ok(text) => {
                self.fingerprint = Some(fingerprint);
                self.text = text.into();
                self.problem = None;
                true
            }
            Err(problem) => self.fail(problem),
        }
    }

    fn fail(&mut self, problem: String) -> bool {
        self.fingerprint = None;
        self.problem = Some(problem);
        true
    }
}

/// How long a file that is being written must be left alone before it is looked at again.
pub const SETTLE: std::time::Duration = super::directory::SETTLE;
