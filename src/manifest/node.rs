//! A document as a tree of places, to find the line and column of a field.

use super::Span;

/// A value and where it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    /// Of a scalar: its text. Of a mapping or list: where it begins.
    pub(super) span: Span,
    /// What is in it.
    pub(super) content: Content,
}

/// What is in a [`Node`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing that a path could lead into; kept as text where it is a string.
    #[default]
    Other,
    /// A string.
    Text(String),
    /// Keys in order, each with its place.
    Mapping(Vec<(String, Span, Node)>),
    /// Items in order.
    List(Vec<Node>),
}

impl Node {
    /// The value of a key.
    pub(super) fn entry(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|(name, ..)| name == key).map(|(.., node)| node)
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Other | Content::Mapping(_) | Content::List(_) => None,
        }
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.content {
            Content::List(items) => items,
            Content::Other | Content::Text(_) | Content::Mapping(_) => &[],
        }
    }

    fn entries(&self) -> &[(String, Span, Self)] {
        match &self.content {
            Content::Mapping(entries) => entries,
            Content::Other | Content::Text(_) | Content::List(_) => &[],
        }
    }

    fn is_scalar(&self) -> bool {
        matches!(self.content, Content::Other | Content::Text(_))
    }

    /// The place of a field, or of its closest parent that exists; `None` where not even the
    /// first step does. Scalars are shown themselves, everything else by its key.
    pub(super) fn find(&self, field: &str) -> Option<Span> {
        let mut best = None;
        let (mut node, mut rest) = (self, field);
        while let Some((span, next, after)) = node.step(rest) {
            best = Some(if next.is_scalar() && next.span.line > 0 { next.span } else { span });
            (node, rest) = (next, after);
        }
        best
    }

    /// The place of the last key of a path; `None` if it is not there.
    pub(super) fn find_key(&self, field: &str) -> Option<Span> {
        let (mut node, mut rest, mut found) = (self, field, None);
        while !rest.is_empty() {
            let (span, next, after) = node.step(rest)?;
            (node, rest, found) = (next, after, Some(span));
        }
        found
    }

    /// Follows the first step of a path: its place, the node there, and the rest of the path.
    ///
    /// Keys may contain dots (`metadata.annotations.example.com/name`), so the longest key that
    /// the path goes on with is taken.
    fn step<'a, 'p>(&'a self, path: &'p str) -> Option<(Span, &'a Self, &'p str)> {
        if let Some((inside, after)) = path.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        {
            let after = after.strip_prefix('.').unwrap_or(after);
            if let Some(item) = inside.parse().ok().and_then(|i: usize| self.items().get(i)) {
                return Some((item.head(), item, after));
            }
            let key = inside.trim_matches('"');
            let entry = self.entries().iter().find(|(name, ..)| name == key);
            return entry.map(|(_, span, node)| (*span, node, after));
        }
        self.entries()
            .iter()
            .filter_map(|(key, span, node)| Some((key, *span, node, after_key(path, key)?)))
            .max_by_key(|(key, ..)| key.len())
            .map(|(_, span, node, after)| (span, node, after))
    }

    /// What stands for a whole item: itself if it is a scalar, its first key otherwise.
    fn head(&self) -> Span {
        self.entries().first().map_or(self.span, |(_, span, _)| *span)
    }

    /// What stands for a whole object: its name, or its first key.
    pub(super) fn title(&self) -> Span {
        let name = self.entry("metadata").and_then(|metadata| metadata.entry("name"));
        name.filter(|name| name.is_scalar()).map_or_else(|| self.head(), |name| name.span)
    }
}

/// The rest of a path that begins with the key.
fn after_key<'p>(path: &'p str, key: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(key)?;
    if rest.is_empty() || rest.starts_with('[') {
        return Some(rest);
    }
    rest.strip_prefix('.')
}
