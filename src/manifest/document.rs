//! A file as separate documents, so that a broken one harms only itself and an unchanged one
//! need not be decoded again.

/// One document of a file that holds more than comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// Which one of its file, from 0.
    pub index: u32,
    /// How many lines of the file come before `text`.
    pub lines_before: u32,
    /// Its text, with the `---` that opens it.
    pub text: &'a str,
    /// Whether no other document follows in the file: a text that was cut off ends here.
    pub is_last: bool,
}

impl Document<'_> {
    /// The last line of its file that belongs to it.
    pub fn last_line(&self) -> u32 {
        let lines = u32::try_from(self.text.lines().count()).unwrap_or(u32::MAX);
        self.lines_before.saturating_add(lines)
    }
}

/// Splits a file at its document markers.
///
/// `---` or `...` at the start of a line is always a marker (YAML 1.2, section 9.1.4: no scalar
/// may contain it), so no parser is needed to find them. Parts without content are left out.
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parts = Parts::default();
    let (mut start, mut lines_before) = (0, 0);
    let (mut offset, mut line_count) = (0, 0);
    for line in text.split_inclusive('\n') {
        let next = offset + line.len();
        if let Some(marker) = Marker::of(line) {
            parts.push(&text[start..offset], lines_before);
            (start, lines_before) = match marker {
                Marker::Begin => (offset, line_count),
                Marker::End => (next, line_count + 1),
            };
        }
        offset = next;
        line_count += 1;
    }
    parts.push(&text[start..], lines_before);
    if let Some(last) = parts.documents.last_mut() {
        last.is_last = true;
    }
    parts.documents
}

/// Line and column, from 1, of the first character of content.
pub fn first_content(text: &str) -> (u32, u32) {
    (1..)
        .zip(text.lines())
        .find_map(|(number, line)| content_column(line).map(|column| (number, column)))
        .unwrap_or((1, 1))
}

#[derive(Default)]
struct Parts<'a> {
    documents: Vec<Document<'a>>,
}

impl<'a> Parts<'a> {
    fn push(&mut self, text: &'a str, lines_before: u32) {
        if !text.lines().any(|line| content_column(line).is_some()) {
            return;
        }
        let index = u32::try_from(self.documents.len()).unwrap_or(u32::MAX);
        self.documents.push(Document { index, lines_before, text, is_last: false });
    }
}

enum Marker {
    Begin,
    End,
}

impl Marker {
    fn of(line: &str) -> Option<Self> {
        let (marker, rest) = line.split_at_checked(3)?;
        if !rest.is_empty() && !rest.starts_with([' ', '\t', '\r', '\n']) {
            return None;
        }
        match marker {
            "---" => Some(Self::Begin),
            "..." => Some(Self::End),
            _ => None,
        }
    }
}

/// Where the content of a line begins: neither blank, comment, directive nor marker.
fn content_column(line: &str) -> Option<u32> {
    if line.starts_with('%') {
        return None;
    }
    let content = match Marker::of(line) {
        Some(_) => line.get(3..)?,
        None => line,
    };
    let content = content.trim();
    if content.is_empty() || content.starts_with('#') {
        return None;
    }
    let before = line.find(content)?;
    u32::try_from(line.get(..before)?.chars().count() + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(u32, &str)]) {
        let found: Vec<_> = documents(text)
            .iter()
            .map(|document| (document.lines_before, document.text.trim_end()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn documents_are_split_at_markers_and_empty_ones_are_left_out() {
        check("", &[]);
        check("# nothing\n---\n\n--- # either\n...\n", &[]);
        check("a: 1", &[(0, "a: 1")]);
        check("\u{feff}---\na: 1\n", &[(0, "---\na: 1")]);
        check("a: 1\n---\nb: 2\n", &[(0, "a: 1"), (1, "---\nb: 2")]);
        check("a: 1\r\n---\r\nb: 2\r\n", &[(0, "a: 1"), (1, "---\r\nb: 2")]);
        check("%YAML 1.2\n--- {a: 1}\n...\n# end\n", &[(1, "--- {a: 1}")]);
    }

    #[test]
    fn what_only_looks_like_a_marker_stays_in_the_text() {
        check("a: |\n  ---\n  x\n----\n", &[(0, "a: |\n  ---\n  x\n----")]);
        check("---a: 1\n", &[(0, "---a: 1")]);
    }

    #[test]
    fn content_begins_after_comments_and_markers() {
        assert_eq!(first_content("---\n# x\n\n  kind: A\n"), (4, 3));
        assert_eq!(first_content("--- {a: 1}\n"), (1, 5));
    }
}
