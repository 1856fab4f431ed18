//! Corefiles: the text by which users tell CoreDNS what to serve, and its shape as a tree.
//!
//! In: the text. Out: a [`Corefile`]: server blocks of directives, every word with its place.
//! Called by `compile`, which knows what the directives mean.
//!
//! The grammar is Caddy's: words between blanks, `"…"` for words with blanks in them, `#` at the
//! start of a word for a comment, `{` and `}` around blocks, `(name) { … }` for a snippet and
//! `import name` where it is meant.
//! Invariant: reading never fails. What cannot be read is a [`Problem`]; the rest is there.
//! Deliberately absent: files (`import` of a path) and the environment (`{$NAME}`): a manifest
//! means the same wherever it is read.

mod lexer;
mod parser;

#[cfg(test)]
mod tests;

use super::Span;

/// What a Corefile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corefile {
    /// In the order of the text.
    pub blocks: Vec<ServerBlock>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    /// Where braces or quotes do not match, so that it is not known which block a line belongs to.
    pub is_broken: bool,
}

/// `.:53 example.org { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerBlock {
    /// Zones, with scheme and port where they are written; never empty.
    pub keys: Vec<Word>,
    /// In the order of the text.
    pub directives: Vec<Directive>,
}

/// A line of a block, with the block that it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// The first word.
    pub name: Word,
    /// The other words of the line.
    pub arguments: Vec<Word>,
    /// The lines between its braces.
    pub body: Vec<Self>,
}

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without quotes.
    pub text: String,
    /// In the text, from its first line and column.
    pub span: Span,
}

/// What could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// In the text, from its first line and column.
    pub span: Span,
    /// As a clause.
    pub message: String,
    /// What to do about it, if there is one thing to do.
    pub help: Option<String>,
}

impl Corefile {
    /// Reads a text.
    pub fn parse(text: &str) -> Self {
        parser::parse(text)
    }
}

impl Directive {
    /// The texts of the arguments.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().map(|word| word.text.as_str())
    }
}
