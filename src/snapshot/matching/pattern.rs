//! Regular expressions, compiled once with the snapshot.

use std::fmt;

use regex::Regex;

/// A regular expression that must match the whole of a text. Time is linear in its length, so a
/// pattern is no way to keep a worker busy.
#[derive(Clone)]
pub struct Pattern {
    source: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles it. The error says where it is wrong.
    pub fn new(source: &str) -> Result<Self, String> {
        let whole = format!("^(?:{source})$");
        let regex = regex::RegexBuilder::new(&whole).size_limit(MAX_BYTES).build();
        // the pattern alone is asked for the message, which points into what the user wrote
        let regex = regex.map_err(|error| match Regex::new(source) {
            Err(error) => error.to_string(),
            Ok(_) => error.to_string(),
        })?;
        Ok(Self { source: source.to_owned(), regex })
    }

    /// Whether it matches all of the text.
    pub fn takes(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.source.cmp(&other.source)
    }
}

impl std::hash::Hash for Pattern {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.source.hash(state);
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// Of a compiled pattern; a route of a tenant must not take the memory of all.
const MAX_BYTES: usize = 256 * 1024;
