//! `rewrite [continue|stop] name [MATCH] FROM TO [answer …]`: other names for those that clients
//! ask for.

use super::Reading;
use super::block::Block;
use crate::manifest::Code;
use crate::manifest::corefile::{Directive, Word};
use crate::snapshot::zone::{AnswerRewrite, NameChange, NameMatch, NamePattern, Rewrite};

impl Reading<'_, '_> {
    pub(super) fn rewrite(&mut self, block: &Block<'_>, directive: &Directive) {
        let mut words: Vec<&Word> = directive.arguments.iter().collect();
        // a block is another way to write one long line
        for line in &directive.body {
            words.push(&line.name);
            words.extend(&line.arguments);
        }
        let Some(rule) = self.rule(&directive.name, &words) else { return };
        for zone in &block.zones {
            self.names.rewrites.blocks.entry(zone.clone()).or_default().push(rule.clone());
        }
    }

    fn rule(&mut self, name: &Word, words: &[&Word]) -> Option<Rewrite> {
        let (goes_on, words) = match words {
            [first, rest @ ..] if first.text.eq_ignore_ascii_case("continue") => (true, rest),
            [first, rest @ ..] if first.text.eq_ignore_ascii_case("stop") => (false, rest),
            _ => (false, words),
        };
        let (field, words) = match words {
            [field, words @ ..] => (*field, words),
            [] => return self.refuse(name, "rewrite what?", "write rewrite name FROM TO"),
        };
        self.check_field(field)?;
        let (kind, from, to, answers) = match words {
            [from, to] => (None, *from, *to, &[][..]),
            [kind, from, to, answers @ ..] => (Some(*kind), *from, *to, answers),
            _ => {
                let help = "write rewrite name [exact|prefix|suffix|substring|regex] FROM TO";
                return self.refuse(field, "rewrite name needs a name and another", help);
            }
        };
        let (from, to) = self.matched(kind, from, to)?;
        let (line, is_undone) = (field.span.line, matches!(from, NameMatch::Exact(_)));
        let to = to.into();
        let mut rule = Rewrite { line, from, to, goes_on, is_undone, answers: Vec::new() };
        self.answers(answers, &mut rule)?;
        Some(rule)
    }

    /// Only names are rewritten.
    fn check_field(&mut self, field: &Word) -> Option<()> {
        match field.text.to_ascii_lowercase().as_str() {
            "name" => Some(()),
            "type" | "class" | "edns0" | "ttl" | "cname" | "rcode" => {
                let message = format!("rutter rewrites names, not {}", field.text);
                self.warn(field, Code::NotCarried, message, "");
                None
            }
            "answer" => {
                let message = "an answer is rewritten only where a name is";
                self.refuse(field, message, "write rewrite name FROM TO answer auto")
            }
            _ => {
                self.unknown(field, "rewrite does not know", &["name"]);
                None
            }
        }
    }

    /// `[exact|prefix|suffix|substring|regex] FROM TO`
    fn matched(
        &mut self,
        kind: Option<&Word>,
        from: &Word,
        to: &Word,
    ) -> Option<(NameMatch, String)> {
        let to = to.text.to_ascii_lowercase();
        let lower = from.text.to_ascii_lowercase();
        let text = kind.map_or_else(|| "exact".to_owned(), |kind| kind.text.to_ascii_lowercase());
        Some(match text.as_str() {
            "exact" => (NameMatch::Exact(dotted(&lower).into()), dotted(&to)),
            "suffix" => (NameMatch::Suffix(dotted(&lower).into()), dotted(&to)),
            "prefix" => (NameMatch::Prefix(lower.into()), to),
            "substring" if !lower.is_empty() => (NameMatch::Substring(lower.into()), to),
            "regex" => (NameMatch::Regex(self.pattern(from, &to)?), to),
            _ => {
                let kinds = ["exact", "prefix", "suffix", "substring", "regex"];
                self.unknown(kind.unwrap_or(from), "names are not matched by", &kinds);
                return None;
            }
        })
    }

    /// `answer auto`, `answer name FROM TO`, `answer value FROM TO`, any number of them.
    fn answers(&mut self, mut words: &[&Word], rule: &mut Rewrite) -> Option<()> {
        while let [first, rest @ ..] = words {
            let rest = if first.text == "answer" { rest } else { words };
            words = match rest {
                [auto, rest @ ..] if auto.text == "auto" => {
                    rule.is_undone = true;
                    rest
                }
                [part, from, to, rest @ ..] if ["name", "value"].contains(&part.text.as_str()) => {
                    let to = to.text.to_ascii_lowercase();
                    let change = NameChange::Pattern(self.pattern(from, &to)?, to.into());
                    let owners = part.text == "name";
                    rule.answers.push(AnswerRewrite { owners, targets: !owners, change });
                    rest
                }
                _ => {
                    let help = "write answer auto, answer name FROM TO or answer value FROM TO";
                    return self.refuse(first, "this says not how answers change", help);
                }
            };
        }
        Some(())
    }

    /// A regular expression, with as many groups as the text that it is replaced with names.
    fn pattern(&mut self, word: &Word, to: &str) -> Option<NamePattern> {
        let pattern = match NamePattern::new(&word.text) {
            Ok(pattern) => pattern,
            Err(error) => {
                let message = format!("this is no regular expression: {error}");
                return self.refuse(word, message, "");
            }
        };
        let groups = pattern.groups();
        let named = (0..=MOST_GROUPS).rev().find(|number| to.contains(&format!("{{{number}}}")));
        if named.is_some_and(|named| named > groups) {
            let message = format!("{to} names a group that {} does not have", word.text);
            return self.refuse(word, message, "");
        }
        Some(pattern)
    }

    fn refuse<T>(&mut self, word: &Word, message: impl Into<String>, help: &str) -> Option<T> {
        self.error(word, Code::BadValue, message, help);
        None
    }
}

fn dotted(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}

const MOST_GROUPS: usize = 100;
