//! Finds the best rule for a request.
//!
//! In: the rules of a listener, in order of precedence among equals (creation time, then
//! namespace/name, then place in the object). Out: [`RouteTable::select`], called once an
//! exchange by `plane/l7`, and [`RouteTable::candidates`], called by `explain`.
//!
//! The cost is flat in the number of rules: one hash of the host, then one hash look-up for every
//! `/` of the path, longest prefix first, and never longer than the longest prefix that exists;
//! then the few rules of that very path. Regular expressions of a host are tried one after the
//! other. A radix tree was rejected: it is slower to build and no faster at these path lengths.
//!
//! Precedence: host exact > wildcard > any; then exact path > regular expression (the longest
//! first) > longest prefix; then method, number of header fields, number of query parameters;
//! then order. A host that matches but has no rule for the request falls through to the less
//! specific host, as the Gateway API requires; fallback rules (default backends) come after all of
//! them, again the most specific host first.

mod canonical;
mod host;
mod path;
mod pattern;
mod predicate;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{MatchPath, Rule};
pub use canonical::{PathError, canonical_path};
pub use host::{HostMap, host_matches};
pub use path::{one_label_below, path_matches};
pub use pattern::Pattern;
pub use predicate::{Asked, FieldMatch, MatchValue, Missed, Predicates};

/// The rules of a listener and the index over them.
#[derive(Clone, Default)]
pub struct RouteTable {
    rules: Vec<Arc<Rule>>,
    hosts: HostMap<HostRules>,
}

/// The rules of one host, by path.
#[derive(Clone, Debug, Default)]
struct HostRules {
    exact: HashMap<Arc<str>, Group, RandomState>,
    /// Those of the longest pattern first.
    regex: Vec<(Pattern, Group)>,
    prefix: HashMap<Arc<str>, Group, RandomState>,
    longest_prefix: usize,
    fallback: Group,
}

/// The rules of one path, as places in the table, those that ask for more first.
type Group = Vec<u32>;

impl RouteTable {
    /// Indexes `rules`, whose order decides among equals.
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        let mut hosts = HostMap::<HostRules>::default();
        let mut places: Vec<(u32, &Arc<Rule>)> = (0..).zip(&rules).collect();
        places.sort_by_key(|(place, rule)| (rule.predicates.rank(), *place));
        for (place, rule) in places {
            hosts.entry(&rule.host).insert(place, &rule.path);
        }
        Self { rules, hosts }
    }

    /// Every rule, in order.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule for a request. Allocates nothing, unless a header field or an encoded parameter
    /// that rules ask for occurs several times.
    pub fn select<'a, F>(&self, asked: &Asked<'a, F>) -> Option<&Arc<Rule>>
    where
        F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        let mut hosts = self.hosts.matches(asked.host);
        hosts.find_map(|rules| self.find(rules, asked)).or_else(|| {
            let mut hosts = self.hosts.matches(asked.host);
            hosts.find_map(|rules| self.first(&rules.fallback, asked))
        })
    }

    fn find<'a, F>(&self, rules: &HostRules, asked: &Asked<'a, F>) -> Option<&Arc<Rule>>
    where
        F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        let exact = rules.exact.get(asked.path).into_iter();
        let regex = rules.regex.iter().filter(|(pattern, _)| pattern.takes(asked.path));
        let prefix = path::prefixes(asked.path, rules.longest_prefix);
        let prefix = prefix.filter_map(|prefix| rules.prefix.get(prefix));
        let mut groups = exact.chain(regex.map(|(_, group)| group)).chain(prefix);
        groups.find_map(|group| self.first(group, asked))
    }

    /// The first of a group whose predicates hold.
    fn first<'a, F>(&self, group: &[u32], asked: &Asked<'a, F>) -> Option<&Arc<Rule>>
    where
        F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        let mut rules = group.iter().filter_map(|place| self.rules.get(*place as usize));
        rules.find(|rule| rule.predicates.hold(asked))
    }

    /// Every rule with the reason why it does or does not take the request, in order: slow, for
    /// `explain`.
    pub fn candidates<'t, 'a, F>(
        &'t self,
        asked: &'t Asked<'a, F>,
    ) -> impl Iterator<Item = (&'t Arc<Rule>, Verdict<'t>)>
    where
        F: Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    {
        let selected = self.select(asked);
        self.rules.iter().map(move |rule| {
            let verdict = if selected.is_some_and(|best| Arc::ptr_eq(best, rule)) {
                Verdict::Selected
            } else if !host_matches(&rule.host, asked.host) {
                Verdict::OtherHost
            } else if !path_matches(&rule.path, asked.path) {
                Verdict::OtherPath
            } else if let Some(missed) = rule.predicates.missed(asked) {
                Verdict::Missed(missed)
            } else {
                Verdict::LessSpecific
            };
            (rule, verdict)
        })
    }
}

impl HostRules {
    /// Adds a rule; called in the order in which the rules of a path are tried.
    fn insert(&mut self, place: u32, path: &MatchPath) {
        match path {
            MatchPath::Exact(path) => self.exact.entry(path.clone()).or_default().push(place),
            MatchPath::Regex(pattern) => self.regex_group(pattern).push(place),
            MatchPath::Prefix(path) => {
                self.longest_prefix = self.longest_prefix.max(path.len());
                self.prefix.entry(path.clone()).or_default().push(place);
            }
            MatchPath::Fallback => self.fallback.push(place),
        }
    }

    fn regex_group(&mut self, pattern: &Pattern) -> &mut Group {
        let key = |it: &Pattern| (Reverse(it.to_string().len()), it.clone());
        let wanted = key(pattern);
        let place = match self.regex.binary_search_by_key(&wanted, |(known, _)| key(known)) {
            Ok(place) => place,
            Err(place) => {
                self.regex.insert(place, (pattern.clone(), Group::new()));
                place
            }
        };
        &mut self.regex[place].1
    }
}

/// Why a rule does or does not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It takes it.
    Selected,
    /// It is for another host.
    OtherHost,
    /// It is for another path.
    OtherPath,
    /// It asks for something that the request lacks.
    Missed(Missed<'a>),
    /// It matches, but a more specific or an earlier rule does too.
    LessSpecific,
}

impl PartialEq for RouteTable {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for RouteTable {}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.rules).finish()
    }
}
