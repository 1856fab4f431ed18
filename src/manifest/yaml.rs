//! Text → objects. The only file that names the YAML crate.
//!
//! Scalars mean what they mean to `kubectl`, which reads YAML 1.1: `yes` and `on` are booleans,
//! so a label `ready: yes` is a wrong type here as it is there, not a string that works until
//! the manifest meets a cluster.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::{Error, Location, MessageFormatter, Options, Spanned, UserMessageFormatter};

pub use super::decode::decode_document;
use super::decode::flatten_nodes;
use super::document::{Document, documents};
use super::node::{Content, Node};
use super::{Finding, Object, ObjectRef, Origin, Span};

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// The objects that could be decoded, with defaults applied, in order.
    pub objects: Vec<(Object, Origin)>,
    /// Objects that are written here but could not be decoded; `None` where the text does not
    /// even tell which object it is, or may be cut off.
    pub broken: Vec<Option<ObjectRef>>,
    /// Kinds that rutter does not read.
    pub unknown_kinds: BTreeMap<String, Occurrences>,
    /// What is wrong with the text.
    pub findings: Vec<Finding>,
}

/// How often something occurs, and where first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Occurrences {
    /// At least 1.
    pub count: usize,
    /// The first in path order.
    pub first: Origin,
}

/// Decodes every document of a file: YAML (several documents), JSON, `kind: List`.
///
/// Never fails as a whole: one bad document is a finding and an entry in [`Decoded::broken`].
/// A file without any object is left to the caller to complain about.
pub fn decode(file: &str, text: &str) -> Decoded {
    let file = Arc::from(file);
    let mut all = Decoded::default();
    for document in documents(text) {
        all.append(decode_document(&file, &document));
    }
    all
}

/// Finds a field (`spec.rules[0].host`; empty for the object itself) in the text that `origin`
/// was decoded from. Falls back to the closest parent that exists, at last to the object's name.
pub fn locate(text: &str, origin: &Origin, field: &str) -> Option<Span> {
    Places::new(text).find(origin, field)
}

/// Reads a file of options: one mapping, whose values the caller interprets.
pub fn mapping(text: &str) -> Result<serde_json::Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// A text that fields are looked up in: parses each document at most once.
#[derive(Debug)]
pub struct Places<'a> {
    text: &'a str,
    documents: Vec<Document<'a>>,
    parsed: BTreeMap<u32, Option<Node>>,
}

impl<'a> Places<'a> {
    /// Looks up nothing yet.
    pub fn new(text: &'a str) -> Self {
        Self { text, documents: documents(text), parsed: BTreeMap::new() }
    }

    /// As [`locate`].
    pub fn find(&mut self, origin: &Origin, field: &str) -> Option<Span> {
        let object = self.object(origin)?;
        Some(object.find(field).unwrap_or_else(|| object.title()))
    }

    /// Finds a part of a field that is a text: its own line, where the text is written as a literal
    /// block (`|`); its key where it is not, since then its lines are not those of the file.
    pub fn find_part(&mut self, origin: &Origin, field: &str, part: Span) -> Option<Span> {
        let Some(key) = self.object(origin)?.find_key(field) else {
            return self.find(origin, field);
        };
        let Some(indent) = literal_block(self.text, key) else { return Some(key) };
        Some(Span {
            line: key.line.saturating_add(part.line),
            column: indent.saturating_add(part.column),
            length: part.length,
        })
    }

    fn object(&mut self, origin: &Origin) -> Option<&Node> {
        let document = *self.documents.get(usize::try_from(origin.document).ok()?)?;
        let parsed = self.parsed.entry(document.index).or_insert_with(|| parse_places(&document));
        let root = parsed.as_ref()?;
        match origin.item {
            Some(item) => flatten_nodes(root).get(usize::try_from(item).ok()?).copied(),
            None => Some(root),
        }
    }
}

impl Decoded {
    fn append(&mut self, mut other: Self) {
        self.objects.append(&mut other.objects);
        self.broken.append(&mut other.broken);
        self.findings.append(&mut other.findings);
        count_kinds(&mut self.unknown_kinds, &other.unknown_kinds);
    }
}

/// Adds up how often kinds occur.
pub fn count_kinds(all: &mut BTreeMap<String, Occurrences>, more: &BTreeMap<String, Occurrences>) {
    for (kind, occurrences) in more {
        all.entry(kind.clone())
            .and_modify(|known| known.count += occurrences.count)
            .or_insert_with(|| occurrences.clone());
    }
}

/// Why a text is not YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) message: String,
    /// In the file, not in the document.
    pub(super) span: Option<Span>,
}

/// One document as a generic value.
pub(super) fn parse(document: &Document<'_>) -> Result<Value, SyntaxError> {
    serde_saphyr::from_str_with_options(document.text, options(document.text.len())).map_err(
        |error| SyntaxError {
            message: message(error.without_snippet()),
            span: error.location().and_then(|location| span_in_file(&location, document)),
        },
    )
}

/// The parser's own words, but for the limits of [`options`], which it tells by their names.
fn message(error: &Error) -> String {
    if let Error::AliasError { error, .. } = error {
        return message(error.without_snippet());
    }
    let is_limit = matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
    );
    if is_limit {
        return "it is too large or too deep, with what its aliases repeat written out".to_owned();
    }
    UserMessageFormatter.format_message(error).into_owned()
}

/// One document as a tree of places in its file; `None` if it is not YAML.
pub(super) fn parse_places(document: &Document<'_>) -> Option<Node> {
    let root: Spanned<Node> =
        serde_saphyr::from_str_with_options(document.text, options(document.text.len())).ok()?;
    let mut root = placed(root);
    shift(&mut root, document.lines_before, document.last_line());
    Some(root)
}

/// What a thread needs on its stack that decodes the deepest document that [`options`] allow: in a
/// debug build more than the 2 MiB that threads have by default.
pub const STACK_BYTES: usize = 8 << 20;

/// Limits against YAML bombs (the size of the file is the caller's); a `List` of 20,000 objects
/// in one document must pass. Aliases may blow a text up to 64 MiB: each of the nodes that they
/// repeat may be as long as the text.
fn options(length: usize) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            flow_nesting_limit: 64,
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_aliases: 10_000,
            max_anchors: 1_000,
            max_merge_keys: 10_000,
            max_recorded_anchor_events: 100_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: (64 << 20) / length.max(640),
            max_replay_stack_depth: 16,
        },
        legacy_octal_numbers: true,
        ignore_binary_tag_for_string: true,
        emit_comments: false,
        with_snippet: false,
    }
}

/// By how many characters the lines of a value are indented that is a literal block (YAML 1.2,
/// section 8.1.2); `None` if it is something else. `key` is where its key stands.
fn literal_block(text: &str, key: Span) -> Option<u32> {
    let mut lines = text.lines().skip(usize::try_from(key.line).ok()?.checked_sub(1)?);
    let before = usize::try_from(key.column.saturating_sub(1).saturating_add(key.length)).ok()?;
    let line: String = lines.next()?.chars().skip(before).collect();
    let value = line.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':')?;
    let mut words = value.split_whitespace().skip_while(|word| word.starts_with(['!', '&']));
    let header = words.next()?.strip_prefix('|')?;
    if let Some(digit) = header.chars().find_map(|char| char.to_digit(10)) {
        return Some(key.column.saturating_sub(1).saturating_add(digit));
    }
    let first = lines.find(|line| !line.trim().is_empty())?;
    u32::try_from(first.chars().take_while(|char| *char == ' ').count()).ok()
}

fn span_in_file(location: &Location, document: &Document<'_>) -> Option<Span> {
    let mut span = span(location)?;
    span.line = in_file(span.line, document.lines_before, document.last_line());
    Some(span)
}

/// The parser counts lines from the document's first, people from the file's. To the parser a CR
/// alone ends a line too, so that it may count more than there are.
fn in_file(line: u32, before: u32, last: u32) -> u32 {
    line.saturating_add(before).min(last)
}

fn span(location: &Location) -> Option<Span> {
    let line = u32::try_from(location.line()).ok().filter(|line| *line > 0)?;
    Some(Span {
        line,
        column: u32::try_from(location.column()).unwrap_or(u32::MAX).max(1),
        length: u32::try_from(location.span().len()).unwrap_or(1).max(1),
    })
}

fn placed(node: Spanned<Node>) -> Node {
    let at = span(&node.referenced).unwrap_or_default();
    Node { span: at, content: node.value.content }
}

fn shift(node: &mut Node, before: u32, last: u32) {
    node.span.line = in_file(node.span.line, before, last);
    match &mut node.content {
        Content::Other | Content::Text(_) => {}
        Content::List(items) => items.iter_mut().for_each(|item| shift(item, before, last)),
        Content::Mapping(entries) => {
            for (_, key, value) in entries {
                key.line = in_file(key.line, before, last);
                shift(value, before, last);
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// Builds a [`Node`] whose own span is filled in by the [`Spanned`] around it.
struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::default())
    }

    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node { content: Content::Text(text.to_owned()), ..Node::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(placed(item));
        }
        Ok(Node { content: Content::List(items), ..Node::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Spanned<String>, Spanned<Node>>()? {
            let at = span(&key.referenced).unwrap_or_default();
            entries.push((key.value, at, placed(value)));
        }
        Ok(Node { content: Content::Mapping(entries), ..Node::default() })
    }
}

#[cfg(test)]
mod tests;
