//! Line and column of findings that know only object and field.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use crate::manifest::Finding;
use crate::manifest::yaml::Places;

use super::STDIN;
use super::file::MAX_FILE_BYTES;

/// A report of more findings than this is read by nobody.
const MAX_LOCATED: usize = 1_000;

/// The texts that findings point into, read when asked for and kept.
#[derive(Debug, Default)]
pub struct Texts {
    texts: BTreeMap<Arc<str>, Option<Arc<str>>>,
}

impl Texts {
    /// Nothing is read yet but the standard input, which cannot be read again.
    pub(super) fn with_stdin(text: Option<Arc<str>>) -> Self {
        let texts = text.map(|text| (Arc::from(STDIN), Some(text)));
        Self { texts: texts.into_iter().collect() }
    }

    /// The text of a file as it is now; `None` if it cannot be read.
    pub fn text(&mut self, file: &Arc<str>) -> Option<Arc<str>> {
        self.texts.entry(file.clone()).or_insert_with(|| read(file)).clone()
    }
}

fn read(file: &str) -> Option<Arc<str>> {
    let is_small = fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() <= MAX_FILE_BYTES);
    if !is_small {
        return None;
    }
    fs::read_to_string(file).ok().map(Arc::from)
}

/// Fills in the spans of the first thousand findings that have none, as far as the files are
/// what they were.
pub fn locate(findings: &mut [Finding], texts: &mut Texts) {
    let mut by_file: BTreeMap<Arc<str>, Vec<&mut Finding>> = BTreeMap::new();
    let unplaced = findings.iter_mut().filter(|it| it.span.is_none() && it.origin.line > 0);
    for finding in unplaced.take(MAX_LOCATED) {
        by_file.entry(finding.origin.file.clone()).or_default().push(finding);
    }
    for (file, findings) in by_file {
        let Some(text) = texts.text(&file) else {
            continue;
        };
        let mut places = Places::new(&text);
        for finding in findings {
            finding.span = match finding.part {
                Some(part) => places.find_part(&finding.origin, &finding.field, part),
                None => places.find(&finding.origin, &finding.field),
            };
        }
    }
}
