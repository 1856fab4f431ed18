//! One file: read when its fingerprint changed, decoded where its text changed, and what it last
//! held where it cannot be decoded.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use crate::manifest::document::{Document, documents};
use crate::manifest::yaml::{Decoded, Occurrences, count_kinds, decode_document};
use crate::manifest::{Code, Finding, ObjectRef, Origin, Span};
use crate::source::Sourced;

use super::file_origin;
use super::walk::{Fingerprint, Found};

/// Manifests are written by people; what is larger is something else.
pub(super) const MAX_FILE_BYTES: u64 = 8 << 20;

/// What is known of a file.
#[derive(Debug)]
pub(super) struct File {
    name: Arc<str>,
    /// As of the last reading; `None`: read again at the next scan.
    fingerprint: Option<Fingerprint>,
    /// Of the text that was decoded last.
    digest: Option<u64>,
    /// The documents that could be decoded, by the digest of their text.
    parts: HashMap<u64, Part>,
    /// Something is missing in a text that may still be written: it is looked at again soon.
    pub(super) is_waiting: bool,
    /// In the order of the text; stale ones at the end.
    pub(super) objects: Vec<Arc<Sourced>>,
    pub(super) unknown_kinds: BTreeMap<String, Occurrences>,
    pub(super) findings: Vec<Finding>,
}

/// What a file said at some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) objects: Vec<Arc<Sourced>>,
    pub(super) unknown_kinds: BTreeMap<String, Occurrences>,
    pub(super) findings: Vec<Finding>,
}

impl File {
    /// A file that was not read yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            name: Arc::from(path.to_string_lossy()),
            fingerprint: None,
            digest: None,
            parts: HashMap::new(),
            is_waiting: false,
            objects: Vec::new(),
            unknown_kinds: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    /// A file of this text that will never be read.
    pub(super) fn of_text(name: &str, text: &str) -> Self {
        let mut file = Self::new(Path::new(name));
        file.decode(text, true);
        file
    }

    /// Whether it has to be read to know whether it has changed.
    pub(super) fn may_differ(&self, found: &Found) -> bool {
        self.fingerprint != Some(found.fingerprint)
    }

    /// What it says.
    pub(super) fn said(&self) -> Said {
        Said {
            objects: self.objects.clone(),
            unknown_kinds: self.unknown_kinds.clone(),
            findings: self.findings.clone(),
        }
    }

    /// Reads the file again. Returns whether it has changed.
    pub(super) fn update(&mut self, found: &Found, now: SystemTime) -> bool {
        match read(&found.path) {
            Ok(text) => {
                let is_settled = found.fingerprint.is_settled(now);
                self.fingerprint = Some(found.fingerprint).filter(|_| is_settled);
                self.take(&text, is_settled)
            }
            Err(problem) => self.fail(&problem),
        }
    }

    /// Reads the file at the next scan, whatever its fingerprint says.
    pub(super) fn forget(&mut self) {
        self.fingerprint = None;
    }

    /// Keeps what the file last held: it is out of sight, but not known to be gone. Returns
    /// whether that changes anything.
    pub(super) fn keep(&mut self) -> bool {
        self.fingerprint = None;
        self.digest = None;
        let is_fresh = self.objects.iter().any(|object| !object.stale);
        self.objects = self.objects.iter().map(stale).collect();
        is_fresh
    }

    fn take(&mut self, text: &str, is_settled: bool) -> bool {
        let digest = digest(text);
        if self.digest == Some(digest) {
            return false;
        }
        self.decode(text, is_settled);
        self.digest = Some(digest).filter(|_| !self.is_waiting);
        true
    }

    fn fail(&mut self, problem: &ReadProblem) -> bool {
        let mut finding =
            Finding::error(Code::Unreadable, &file_origin(&self.name), &problem.message);
        finding.span = problem.span;
        let is_news = self.findings != [finding.clone()];
        self.findings = vec![finding];
        self.keep() || is_news
    }

    fn decode(&mut self, text: &str, is_settled: bool) {
        let before = std::mem::take(&mut self.objects);
        let mut known = std::mem::take(&mut self.parts);
        self.unknown_kinds.clear();
        self.findings.clear();
        let mut broken = Vec::new();
        for document in documents(text) {
            let digest = digest(document.text);
            let part = match known.remove(&digest) {
                Some(part) => part.at(&document),
                None => Part::decode(&self.name, &document),
            };
            self.objects.extend(part.objects.iter().cloned());
            if let Some(trouble) = &part.trouble {
                self.findings.extend(trouble.findings.iter().cloned());
                count_kinds(&mut self.unknown_kinds, &trouble.unknown_kinds);
                broken.extend(trouble.broken.iter().cloned());
            }
            if part.trouble.as_ref().is_none_or(|it| it.broken.is_empty()) {
                self.parts.insert(digest, part);
            }
        }
        self.parts.shrink_to_fit();
        self.objects.shrink_to_fit();
        if text.trim().is_empty() {
            // Whoever saves in place empties the file first.
            broken.push(None);
        }
        self.is_waiting = false;
        if is_settled {
            self.keep_broken(&before, &broken);
        } else {
            self.keep_missing(before);
        }
        self.complain_if_empty(text);
    }

    /// What cannot be decoded now stays as it was. `None` among the broken: it is not known
    /// which objects that are, so everything stays that is not there any more.
    fn keep_broken(&mut self, before: &[Arc<Sourced>], broken: &[Option<ObjectRef>]) {
        if broken.is_empty() || before.is_empty() {
            return;
        }
        let fresh = self.references();
        let is_lost = |object: &&Arc<Sourced>| {
            let reference = Some(object.object.reference());
            (broken.contains(&None) || broken.contains(&reference))
                && reference.is_some_and(|reference| !fresh.contains(&reference))
        };
        self.objects.extend(before.iter().filter(is_lost).map(stale));
    }

    /// What is missing may come with the rest of the text: whoever saves in place is seen at any
    /// point of it.
    fn keep_missing(&mut self, before: Vec<Arc<Sourced>>) {
        let fresh = self.references();
        let old = self.objects.len();
        let is_missing = |it: &Arc<Sourced>| !fresh.contains(&it.object.reference());
        self.objects.extend(before.into_iter().filter(is_missing));
        self.is_waiting = self.objects.len() > old;
    }

    fn references(&self) -> HashSet<ObjectRef> {
        self.objects.iter().map(|object| object.object.reference()).collect()
    }

    fn complain_if_empty(&mut self, text: &str) {
        let origin = file_origin(&self.name);
        if self.is_waiting {
            return;
        }
        if text.trim().is_empty() && !self.objects.is_empty() {
            let finding = Finding::warning(Code::EmptyFile, &origin, "the file is empty now")
                .help("its objects serve on; delete the file to delete them");
            return self.findings.push(finding);
        }
        let is_silent = self.findings.is_empty() && self.unknown_kinds.is_empty();
        if self.objects.is_empty() && is_silent {
            self.findings.push(Finding::note(
                Code::EmptyFile,
                &origin,
                "a file without any object",
            ));
        }
    }
}

fn stale(object: &Arc<Sourced>) -> Arc<Sourced> {
    if object.stale {
        return object.clone();
    }
    Arc::new(Sourced { stale: true, ..Sourced::clone(object) })
}

/// A decoded document.
#[derive(Debug)]
struct Part {
    lines_before: u32,
    index: u32,
    objects: Box<[Arc<Sourced>]>,
    /// Nothing with most documents.
    trouble: Option<Box<Trouble>>,
}

/// What is in a document besides objects.
#[derive(Debug, Default, PartialEq)]
struct Trouble {
    broken: Vec<Option<ObjectRef>>,
    unknown_kinds: BTreeMap<String, Occurrences>,
    findings: Vec<Finding>,
}

impl Part {
    fn decode(file: &Arc<str>, document: &Document<'_>) -> Self {
        let Decoded { objects, broken, unknown_kinds, findings } = decode_document(file, document);
        let sourced = |(object, origin)| Arc::new(Sourced { object, origin, stale: false });
        let trouble = Trouble { broken, unknown_kinds, findings };
        Self {
            lines_before: document.lines_before,
            index: document.index,
            objects: objects.into_iter().map(sourced).collect(),
            trouble: (trouble != Trouble::default()).then(|| trouble.into()),
        }
    }

    /// The same text at another place of the file.
    fn at(mut self, document: &Document<'_>) -> Self {
        if (self.lines_before, self.index) == (document.lines_before, document.index) {
            return self;
        }
        let old = self.lines_before;
        let moved = |line: u32| line.saturating_sub(old).saturating_add(document.lines_before);
        let place = |origin: &mut Origin| {
            origin.line = moved(origin.line);
            origin.document = document.index;
        };
        for object in &mut self.objects {
            let mut copy = Sourced::clone(object);
            place(&mut copy.origin);
            *object = Arc::new(copy);
        }
        if let Some(trouble) = &mut self.trouble {
            for finding in &mut trouble.findings {
                place(&mut finding.origin);
                finding.span = finding.span.map(|span| Span { line: moved(span.line), ..span });
            }
            trouble.unknown_kinds.values_mut().for_each(|it| place(&mut it.first));
        }
        (self.lines_before, self.index) = (document.lines_before, document.index);
        self
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Why a file has no text.
#[derive(Debug)]
struct ReadProblem {
    message: String,
    span: Option<Span>,
}

impl From<String> for ReadProblem {
    fn from(message: String) -> Self {
        Self { message, span: None }
    }
}

fn read(path: &Path) -> Result<String, ReadProblem> {
    let unreadable = |error| format!("the file cannot be read: {error}");
    read_text(fs::File::open(path).map_err(unreadable)?)
}

/// The text of a file that is no manifest, or what is wrong with it.
pub(in crate::source) fn read_file(path: &Path) -> Result<String, String> {
    read(path).map_err(|problem| problem.message)
}

/// Reads a text of at most [`MAX_FILE_BYTES`].
fn read_text(reader: impl Read) -> Result<String, ReadProblem> {
    let mut bytes = Vec::new();
    let unreadable = |error| format!("the file cannot be read: {error}");
    reader.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE_BYTES {
        return Err(format!("the file is larger than {} MiB", MAX_FILE_BYTES >> 20).into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        ReadProblem { message: "the file is not UTF-8".to_owned(), span: Some(end_of(valid)) }
    })
}

/// As [`read_text`], for a stream that is no file.
pub(super) fn read_stream(reader: impl Read) -> io::Result<String> {
    read_text(reader).map_err(|problem| io::Error::other(problem.message))
}

/// The place right behind a text.
fn end_of(text: &[u8]) -> Span {
    let text = String::from_utf8_lossy(text);
    let last = text.rsplit('\n').next().unwrap_or_default();
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Span {
        line: count(text.matches('\n').count() + 1),
        column: count(last.chars().count() + 1),
        length: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_being_written_loses_no_object_wherever_it_is_cut() {
        let map = |name: &str| {
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata: {{a: x}}\n")
        };
        let text = format!("{}---\n{}", map("first"), map("second"));
        for cut in 0..text.len() {
            let mut file = File::of_text("a.yaml", &text);
            let whole = file.references();
            file.take(&text[..cut], false);
            assert!(file.references().is_superset(&whole), "{:?}", &text[..cut]);
            file.take(&text, true);
            assert_eq!(file.references(), whole, "{:?}", &text[..cut]);
        }
    }
}
