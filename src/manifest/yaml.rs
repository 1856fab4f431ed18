//! Text → objects. The only file that names the YAML crate.

use super::{Finding, Object, ObjectRef, Origin, Span};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The objects that could be decoded, with defaults applied, in order.
    pub objects: Vec<(Object, Origin)>,
    /// Objects that are written here but could not be decoded; `None` where the text does not
    /// even tell which object it is.
    pub broken: Vec<Option<ObjectRef>>,
    /// Kinds that rutter does not read, with how often they occur.
    pub unknown_kinds: std::collections::BTreeMap<String, usize>,
    /// What is wrong with the text.
    pub findings: Vec<Finding>,
}

/// Decodes every document of a file: YAML (several documents), JSON, `kind: List`.
///
/// Never fails as a whole: one bad document is a finding and an entry in [`Decoded::broken`].
pub fn decode(_file: &str, _text: &str) -> Decoded {
    todo!()
}

/// Finds a field (`spec.rules[0].host`; empty for the object itself) in the text that `origin`
/// was decoded from. Falls back to the closest parent that exists.
pub fn locate(_text: &str, _origin: &Origin, _field: &str) -> Option<Span> {
    todo!()
}

/// Reads a file of options: one mapping, whose values the caller interprets.
pub fn mapping(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, String> {
    if text.trim().is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}
