//! Words → blocks, and snippets to where they are imported.

use std::collections::BTreeMap;

use super::super::Span;
use super::super::similar::closest;
use super::lexer::{Lexeme, words};
use super::{Corefile, Directive, Problem, ServerBlock, Word};

pub(super) fn parse(text: &str) -> Corefile {
    let (words, unclosed) = words(text);
    let mut parser = Parser { words: &words, corefile: Corefile::default() };
    let lines = parser.lines(None);
    if let Some(problem) = unclosed {
        parser.corefile.problems.push(problem);
        parser.corefile.is_broken = true;
    }
    let mut assembly = Assembly { snippets: BTreeMap::new(), size: 0, corefile: parser.corefile };
    assembly.file(lines);
    assembly.corefile
}

/// The words of one line, and the lines of the block that it opens.
struct Line {
    /// Where it begins.
    at: Span,
    words: Vec<Word>,
    body: Option<Vec<Self>>,
}

struct Parser<'a> {
    /// Those that are left.
    words: &'a [Lexeme],
    corefile: Corefile,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Lexeme> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    /// The lines up to the brace that closes the block that `opened` opens; of the file itself if
    /// there is none.
    fn lines(&mut self, opened: Option<(Span, usize)>) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(first) = self.words.first() {
            if first.is("}") {
                self.next();
                if opened.is_some() {
                    return lines;
                }
                self.broken(first.word.span, "this brace closes nothing", "delete it");
                continue;
            }
            let depth = opened.map_or(0, |(_, depth)| depth);
            lines.push(self.line(depth));
        }
        if let Some((span, _)) = opened {
            self.broken(span, "this block is not closed", "write a } where it ends");
        }
        lines
    }

    fn line(&mut self, depth: usize) -> Line {
        let at = self.words.first().map(|first| first.word.span).unwrap_or_default();
        let mut line = Line { at, words: Vec::new(), body: None };
        let mut number = at.line;
        while let Some(next) = self.words.first() {
            if next.word.span.line != number || next.is("}") {
                break;
            }
            self.next();
            if next.is("{") {
                line.body = Some(self.body(next.word.span, depth + 1));
                break;
            }
            number = next.last_line;
            line.words.push(next.word.clone());
        }
        line
    }

    fn body(&mut self, span: Span, depth: usize) -> Vec<Line> {
        if depth <= DEEPEST {
            return self.lines(Some((span, depth)));
        }
        self.broken(span, "blocks are nested too deep here", "CoreDNS knows two levels");
        self.words = &[];
        Vec::new()
    }

    fn broken(&mut self, span: Span, message: &str, help: &str) {
        let help = Some(help.to_owned());
        self.corefile.problems.push(Problem { span, message: message.to_owned(), help });
        self.corefile.is_broken = true;
    }
}

struct Assembly {
    snippets: BTreeMap<String, Vec<Directive>>,
    /// Directives so far: snippets in snippets grow fast.
    size: usize,
    corefile: Corefile,
}

impl Assembly {
    fn file(&mut self, lines: Vec<Line>) {
        let mut lines = joined(lines).into_iter();
        let mut is_first = true;
        while let Some(Line { at, words, body }) = lines.next() {
            let is_import = words.first().is_some_and(|word| word.text == "import");
            match body {
                Some(body) => self.block(at, words, body),
                None if is_import => {
                    self.problem(at, "files are not imported", Some(IMPORT_HELP));
                }
                // the only block of a file needs no braces
                None if is_first => {
                    self.block(at, words, lines.by_ref().collect());
                }
                None => {
                    self.problem(at, "a { is missing behind this", None::<String>);
                    self.corefile.is_broken = true;
                }
            }
            is_first = false;
        }
    }

    fn block(&mut self, at: Span, keys: Vec<Word>, body: Vec<Line>) {
        let keys: Vec<Word> = keys.into_iter().flat_map(split_at_commas).collect();
        if keys.is_empty() {
            let help = "write the zone that the block is for in front of it, such as .:53";
            return self.problem(at, "this block is for no zone", Some(help));
        }
        let directives = self.directives(body);
        let name = keys.first().and_then(|key| key.text.strip_prefix('(')?.strip_suffix(')'));
        if let Some(name) = name {
            self.snippets.insert(name.to_owned(), directives);
            return;
        }
        if keys.iter().filter(|key| self.is_literal(key)).count() == keys.len() {
            self.corefile.blocks.push(ServerBlock { keys, directives });
        }
    }

    fn directives(&mut self, lines: Vec<Line>) -> Vec<Directive> {
        let mut directives = Vec::new();
        for Line { words, body, .. } in lines {
            let mut words = words.into_iter();
            let Some(name) = words.next() else { continue };
            let arguments: Vec<Word> = words.collect();
            if name.text == "import" {
                directives.extend(self.import(&name, &arguments));
                continue;
            }
            let body = self.directives(body.unwrap_or_default());
            let all = [&name].into_iter().chain(&arguments);
            let literal = all.filter(|word| self.is_literal(word)).count();
            if literal == 1 + arguments.len() && self.has_room(1, name.span) {
                directives.push(Directive { name, arguments, body });
            }
        }
        directives
    }

    fn import(&mut self, name: &Word, arguments: &[Word]) -> Vec<Directive> {
        let Some(wanted) = arguments.first() else {
            self.problem(name.span, "import what?", Some("name a snippet".to_owned()));
            return Vec::new();
        };
        let Some(snippet) = self.snippets.get(&wanted.text).cloned() else {
            let help = closest(&wanted.text, self.snippets.keys().map(String::as_str))
                .map_or_else(|| IMPORT_HELP.to_owned(), |meant| format!("did you mean {meant}?"));
            let message = format!("there is no snippet ({}) above this line", wanted.text);
            self.problem(wanted.span, &message, Some(help));
            return Vec::new();
        };
        if self.has_room(size(&snippet), wanted.span) { snippet } else { Vec::new() }
    }

    fn has_room(&mut self, more: usize, span: Span) -> bool {
        let is_told = self.size > LARGEST;
        self.size = self.size.saturating_add(more);
        if self.size > LARGEST && !is_told {
            let help = None::<String>;
            self.problem(span, "the Corefile is too large from here on", help);
            self.corefile.is_broken = true;
        }
        self.size <= LARGEST
    }

    /// Whether a word stands for itself; that it does not is told.
    fn is_literal(&mut self, word: &Word) -> bool {
        let is_variable = ["{$", "{%"]
            .iter()
            .any(|open| word.text.split_once(open).is_some_and(|(_, rest)| rest.contains('}')));
        if is_variable {
            let message = format!("{} is of the environment, which is not read", word.text);
            self.problem(word.span, &message, Some("write the value itself".to_owned()));
        }
        !is_variable
    }

    fn problem(&mut self, span: Span, message: &str, help: Option<impl Into<String>>) {
        let (message, help) = (message.to_owned(), help.map(Into::into));
        self.corefile.problems.push(Problem { span, message, help });
    }
}

/// Lines at the top of a file: keys that end with a comma go on in the next, and their brace may
/// stand alone.
fn joined(lines: Vec<Line>) -> Vec<Line> {
    let mut joined: Vec<Line> = Vec::new();
    for line in lines {
        let goes_on = joined.last().is_some_and(|last| {
            let ends_with_comma = last.words.last().is_some_and(|key| key.text.ends_with(','));
            last.body.is_none() && (line.words.is_empty() || ends_with_comma)
        });
        match joined.last_mut().filter(|_| goes_on) {
            Some(last) => {
                last.words.extend(line.words);
                last.body = line.body;
            }
            None => joined.push(line),
        }
    }
    joined
}

/// `a.example,b.example` → two keys.
fn split_at_commas(word: Word) -> Vec<Word> {
    if !word.text.contains(',') {
        return vec![word];
    }
    let keys = word.text.split(',').filter(|key| !key.is_empty());
    keys.map(|key| Word { text: key.to_owned(), span: word.span }).collect()
}

fn size(directives: &[Directive]) -> usize {
    directives.iter().map(|it| 1 + size(&it.body)).sum()
}

const IMPORT_HELP: &str = "write what the file says here, or as a snippet: (name) { … }";

/// Levels of braces.
const DEEPEST: usize = 8;

/// Directives, those of snippets each time they are imported.
const LARGEST: usize = 20_000;
