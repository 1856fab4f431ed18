//! Names that are asked for instead of those that clients ask for (the `rewrite` of a Corefile).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use regex::{Captures, Regex};
use serde::Serialize;

use super::{Record, RecordData};

/// The rules of each server block, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrites {
    /// By the zone of the block, lower-case and without the trailing dot; empty for the root. Every
    /// block has an entry, as a name is only for the block of the longest zone that it is in; or
    /// none has, if there are no rules at all.
    pub blocks: BTreeMap<Arc<str>, Vec<Rewrite>>,
}

/// One rule. Names of rules are lower-case and end with a dot where the name that they are compared
/// with does: what is compared is `www.example.org.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The line of the Corefile that it stands on.
    pub line: u32,
    /// Which names it is for.
    pub from: NameMatch,
    /// What becomes of them, or of the part that matches; `{1}` is what a group matched.
    pub to: Arc<str>,
    /// Whether the rules below it have their turn on what it has made.
    pub goes_on: bool,
    /// Whether answers get the name back that was asked for.
    pub is_undone: bool,
    /// What else changes in answers.
    pub answers: Vec<AnswerRewrite>,
}

/// Which names a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word of the Corefile")]
pub enum NameMatch {
    Exact(Arc<str>),
    Prefix(Arc<str>),
    Suffix(Arc<str>),
    Substring(Arc<str>),
    Regex(NamePattern),
}

/// How the names in an answer change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerRewrite {
    /// Whether owners change.
    pub owners: bool,
    /// Whether the names that records lead to change.
    pub targets: bool,
    /// What it does.
    pub change: NameChange,
}

/// One change of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameChange {
    /// This name, and the end of names below it, becomes that.
    Name(Arc<str>, Arc<str>),
    /// This end becomes that.
    Suffix(Arc<str>, Arc<str>),
    /// What matches becomes that as a whole; `{1}` is what a group matched.
    Pattern(NamePattern, Arc<str>),
}

/// What is asked for instead of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rewritten {
    /// Lower-case, without the trailing dot.
    pub name: Arc<str>,
    /// The lines of the Corefile that made it.
    pub lines: Vec<u32>,
    /// In the order in which they are applied to answers.
    #[serde(skip)]
    answers: Vec<AnswerRewrite>,
}

impl Rewrites {
    /// What is asked for instead of a name, which is lower-case and without the trailing dot.
    pub fn rewrite(&self, name: &str) -> Option<Rewritten> {
        let rules = self.block(name).filter(|rules| !rules.is_empty())?;
        let mut now = format!("{name}.");
        let (mut answers, mut lines) = (Vec::new(), Vec::new());
        for rule in rules {
            let Some(next) = rule.apply(&now) else { continue };
            answers.extend(rule.undo(&now, &next));
            answers.extend(rule.answers.iter().cloned());
            lines.push(rule.line);
            now = next;
            if !rule.goes_on {
                break;
            }
        }
        answers.reverse();
        let name = now.trim_end_matches('.').into();
        (!lines.is_empty()).then_some(Rewritten { name, lines, answers })
    }

    fn block(&self, name: &str) -> Option<&[Rewrite]> {
        if self.blocks.is_empty() {
            return None;
        }
        let mut rest = name;
        loop {
            if let Some(rules) = self.blocks.get(rest) {
                return Some(rules);
            }
            rest = match rest.split_once('.') {
                Some((_, parent)) => parent,
                None if rest.is_empty() => return None,
                None => "",
            };
        }
    }
}

impl Rewrite {
    fn apply(&self, name: &str) -> Option<String> {
        let to = &*self.to;
        match &self.from {
            NameMatch::Exact(from) => (name == &**from).then(|| to.to_owned()),
            NameMatch::Prefix(from) => name.strip_prefix(&**from).map(|rest| format!("{to}{rest}")),
            NameMatch::Suffix(from) => name.strip_suffix(&**from).map(|rest| format!("{rest}{to}")),
            NameMatch::Substring(from) => {
                name.contains(&**from).then(|| name.replacen(&**from, to, MOST_REPLACED))
            }
            NameMatch::Regex(pattern) => pattern.fill(name, to),
        }
    }

    /// What makes the name in an answer again what it was.
    fn undo(&self, before: &str, after: &str) -> Option<AnswerRewrite> {
        let change = match &self.from {
            // more names than the one that was asked for have this end
            NameMatch::Suffix(from) => NameChange::Suffix(self.to.clone(), from.clone()),
            NameMatch::Exact(_)
            | NameMatch::Prefix(_)
            | NameMatch::Substring(_)
            | NameMatch::Regex(_) => NameChange::Name(dotted(after).into(), before.into()),
        };
        self.is_undone.then_some(AnswerRewrite { owners: true, targets: true, change })
    }
}

impl Rewritten {
    /// Whether the name can be asked for: rules may make what is none (RFC 1035 section 2.3.4).
    pub fn is_name(&self) -> bool {
        let mut labels = self.name.split('.');
        self.name.len() <= 253 && labels.all(|label| (1..=63).contains(&label.len()))
    }

    /// The owner of a record as it is answered; names are without the trailing dot.
    pub fn owner<'n>(&self, name: &'n str) -> Cow<'n, str> {
        self.changed(name, |answer| answer.owners)
    }

    /// The name that a record leads to as it is answered.
    pub fn target<'n>(&self, name: &'n str) -> Cow<'n, str> {
        self.changed(name, |answer| answer.targets)
    }

    fn changed<'n>(
        &self,
        name: &'n str,
        is_meant: impl Fn(&AnswerRewrite) -> bool,
    ) -> Cow<'n, str> {
        let mut changed = Cow::Borrowed(name);
        for answer in self.answers.iter().filter(|answer| is_meant(answer)) {
            let text = format!("{}.", changed.to_ascii_lowercase());
            if let Some(next) = answer.change.apply(&text) {
                changed = Cow::Owned(next.trim_end_matches('.').to_owned());
            }
        }
        changed
    }

    /// Makes a record what it is in the answer.
    pub(super) fn restore(&self, record: &mut Record) {
        if let Cow::Owned(name) = self.owner(&record.name) {
            record.name = name.into();
        }
        let target = match &mut record.data {
            RecordData::Srv { target, .. } | RecordData::Soa { primary: target, .. } => target,
            RecordData::Ptr(target) | RecordData::Cname(target) | RecordData::Ns(target) => target,
            RecordData::A(_) | RecordData::Aaaa(_) | RecordData::Txt(_) | RecordData::Hinfo => {
                return;
            }
        };
        if let Cow::Owned(name) = self.target(target) {
            *target = name.into();
        }
    }
}

impl NameChange {
    fn apply(&self, name: &str) -> Option<String> {
        match self {
            Self::Name(from, to) => {
                let below = name.strip_suffix(&**from)?;
                let is_it = below.is_empty() || below.ends_with('.');
                is_it.then(|| format!("{below}{to}"))
            }
            Self::Suffix(from, to) => Some(format!("{}{to}", name.strip_suffix(&**from)?)),
            Self::Pattern(pattern, to) => pattern.fill(name, to),
        }
    }
}

fn dotted(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.'))
}

/// A regular expression that looks for a part of a name. Time is linear in the name's length.
#[derive(Clone)]
pub struct NamePattern {
    source: Arc<str>,
    regex: Regex,
}

impl NamePattern {
    /// Compiles it. The error says where it is wrong.
    pub fn new(source: &str) -> Result<Self, String> {
        let regex = regex::RegexBuilder::new(source).size_limit(MAX_BYTES).build();
        let regex = regex.map_err(|error| error.to_string())?;
        Ok(Self { source: source.into(), regex })
    }

    /// How many groups it has.
    pub fn groups(&self) -> usize {
        self.regex.captures_len().saturating_sub(1)
    }

    /// The template with what the groups of the first match are; `None` if nothing matches.
    fn fill(&self, name: &str, template: &str) -> Option<String> {
        let captures = self.regex.captures(name)?;
        let mut filled = String::with_capacity(template.len() + name.len());
        let mut rest = template;
        while let Some((before, behind)) = rest.split_once('{') {
            filled.push_str(before);
            let group = behind.split_once('}');
            let group = group.and_then(|(number, after)| Some((number.parse().ok()?, after)));
            match group {
                Some((number, after)) => {
                    filled.push_str(matched(&captures, number));
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = behind;
                }
            }
        }
        filled.push_str(rest);
        Some(filled)
    }
}

fn matched<'n>(captures: &Captures<'n>, group: usize) -> &'n str {
    captures.get(group).map_or("", |found| found.as_str())
}

impl PartialEq for NamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for NamePattern {}

impl fmt::Debug for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.source, f)
    }
}

/// Of a compiled pattern.
const MAX_BYTES: usize = 256 * 1024;

/// No name has more labels.
const MOST_REPLACED: usize = 127;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(from: NameMatch, to: &str) -> Rewrite {
        let is_undone = matches!(from, NameMatch::Exact(_));
        Rewrite { line: 1, from, to: to.into(), goes_on: false, is_undone, answers: Vec::new() }
    }

    fn pattern(source: &str) -> NamePattern {
        NamePattern::new(source).expect("a pattern")
    }

    fn rewrites(rules: Vec<Rewrite>) -> Rewrites {
        Rewrites { blocks: [("".into(), rules)].into() }
    }

    #[test]
    fn names_are_matched_as_coredns_does() {
        use NameMatch::*;
        let rows = [
            (Exact("a.example.".into()), "b.example.", "a.example", Some("b.example")),
            (Exact("a.example.".into()), "b.example.", "x.a.example", None),
            (Prefix("dev-".into()), "prod-", "dev-web.example", Some("prod-web.example")),
            (Prefix("dev-".into()), "prod-", "web.dev-example", None),
            (Suffix(".example.".into()), ".svc.", "a.b.example", Some("a.b.svc")),
            (Suffix(".example.".into()), ".svc.", "example", None),
            (Substring("-old".into()), "", "a-old.b-old.c", Some("a.b.c")),
            (
                Regex(pattern(r"(.*)-(us-west-1)\.example\.org")),
                "{1}.service.{2}.consul",
                "ftp-us-west-1.example.org",
                Some("ftp.service.us-west-1.consul"),
            ),
            (Regex(pattern(r"^(a)\.(.*)\.$")), "{2}.{1}.{x}{", "a.b.c", Some("b.c.a.{x}{")),
            (Regex(pattern(r"^b")), "x", "a.b", None),
        ];
        for (from, to, name, expected) in rows {
            let told = format!("{from:?} {name}");
            let rewritten = rewrites(vec![rule(from, to)]).rewrite(name);
            assert_eq!(rewritten.as_ref().map(|it| &*it.name), expected, "{told}");
        }
    }

    #[test]
    fn only_the_rules_of_the_longest_zone_have_their_turn() {
        let to = |name: &str| vec![rule(NameMatch::Substring("x.".into()), &format!("{name}."))];
        let blocks = [("", to("root")), ("corp", to("corp")), ("lab.corp", Vec::new())];
        let rewrites = Rewrites { blocks: blocks.map(|(zone, it)| (zone.into(), it)).into() };
        for (name, expected) in [
            ("x.example", Some("root.example")),
            ("x", Some("root")),
            ("x.corp", Some("corp.corp")),
            ("x.lab.corp", None),
            ("", None),
        ] {
            let rewritten = rewrites.rewrite(name);
            assert_eq!(rewritten.as_ref().map(|it| &*it.name), expected, "{name}");
        }
    }

    #[test]
    fn rules_that_go_on_are_undone_in_reverse() {
        let first = Rewrite {
            goes_on: true,
            is_undone: true,
            ..rule(NameMatch::Suffix("a.".into()), "b.")
        };
        let second = Rewrite { line: 2, ..rule(NameMatch::Exact("x.b.".into()), "y.c.") };
        let unseen = rule(NameMatch::Exact("y.c.".into()), "z.");
        let rewritten = rewrites(vec![first, second, unseen]).rewrite("x.a").expect("a rule");
        assert_eq!((&*rewritten.name, rewritten.lines.as_slice()), ("y.c", &[1, 2][..]));
        let rows = [("y.c", "x.a"), ("k.y.c", "k.x.a"), ("ky.c", "ky.c"), ("other.b", "other.a")];
        for (told, expected) in rows {
            assert_eq!(rewritten.owner(told), expected, "{told}");
        }
    }

    #[test]
    fn owners_and_targets_change_apart() {
        let change = NameChange::Pattern(pattern(r"^(.*)\.b\.$"), "{1}.a".into());
        let answers = vec![AnswerRewrite { owners: false, targets: true, change }];
        let from = NameMatch::Suffix(".a.".into());
        let rules = vec![Rewrite { answers, ..rule(from, ".b.") }];
        let rewritten = rewrites(rules).rewrite("x.a").expect("a rule");
        assert_eq!((rewritten.owner("x.b"), rewritten.target("y.b")), ("x.b".into(), "y.a".into()));
    }

    #[test]
    fn what_is_no_name_is_known() {
        for (to, is_name) in [("b", true), ("a..b", false), ("", false), (&"x".repeat(64), false)] {
            let rules = vec![rule(NameMatch::Exact("a.".into()), to)];
            let rewritten = rewrites(rules).rewrite("a").expect("a rule");
            assert_eq!(rewritten.is_name(), is_name, "{to}");
        }
    }
}
