//! Text → words.

use super::super::Span;
use super::{Problem, Word};

/// A word, and what decides which line of words it belongs to.
#[derive(Debug)]
pub(super) struct Lexeme {
    pub(super) word: Word,
    /// Quoted braces are words like others.
    pub(super) is_quoted: bool,
    /// The line it ends on: quoted words may have several.
    pub(super) last_line: u32,
}

impl Lexeme {
    /// Whether it is a brace.
    pub(super) fn is(&self, brace: &str) -> bool {
        !self.is_quoted && self.word.text == brace
    }
}

/// Splits a text into words. A quote that is not closed is a problem; its word ends the text.
pub(super) fn words(text: &str) -> (Vec<Lexeme>, Option<Problem>) {
    let mut lexer =
        Lexer { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1, column: 1 };
    let mut words = Vec::new();
    while let Some(first) = lexer.start() {
        let start = Span { line: lexer.line, column: lexer.column, length: 1 };
        if first != '"' {
            words.push(lexer.plain(start));
            continue;
        }
        match lexer.quoted(start) {
            Ok(word) => words.push(word),
            Err(problem) => return (words, Some(problem)),
        }
    }
    (words, None)
}

struct Lexer<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        if char == '\n' {
            (self.line, self.column) = (self.line.saturating_add(1), 1);
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(char)
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Goes to the start of the next word: its first character.
    fn start(&mut self) -> Option<char> {
        loop {
            let first = self.peek()?;
            if first == '#' {
                while self.peek().is_some_and(|char| char != '\n') {
                    self.next();
                }
            } else if first.is_whitespace() {
                self.next();
            } else {
                return Some(first);
            }
        }
    }

    fn plain(&mut self, start: Span) -> Lexeme {
        let mut text = String::new();
        while let Some(char) = self.peek().filter(|char| !char.is_whitespace()) {
            text.push(char);
            self.next();
        }
        let span = Span { length: self.column.saturating_sub(start.column).max(1), ..start };
        Lexeme { word: Word { text, span }, is_quoted: false, last_line: start.line }
    }

    /// Between quotes only `\"` is special.
    fn quoted(&mut self, start: Span) -> Result<Lexeme, Problem> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') if self.peek() == Some('"') => text.extend(self.next()),
                Some(char) => text.push(char),
                None => return Err(unclosed(start)),
            }
        }
        let is_line = self.line == start.line;
        let length = if is_line { self.column.saturating_sub(start.column).max(1) } else { 1 };
        let span = Span { length, ..start };
        Ok(Lexeme { word: Word { text, span }, is_quoted: true, last_line: self.line })
    }
}

fn unclosed(span: Span) -> Problem {
    let help = Some("write the second \", or \\\" where the text itself has one".to_owned());
    Problem { span, message: "this quote is not closed".to_owned(), help }
}
