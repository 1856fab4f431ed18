//! Finds the best rule for a host and a path.
//!
//! In: the rules of a listener, in order of precedence among equals (creation time, then
//! namespace/name, then place in the object). Out: [`RouteTable::select`], called once an
//! exchange by `plane/l7`, and [`RouteTable::candidates`], called by `explain`.
//!
//! The cost is flat in the number of rules: one hash of the host, then one hash look-up for every
//! `/` of the path, longest prefix first, and never longer than the longest prefix that exists.
//! A radix tree was rejected: it is slower to build and no faster at these path lengths.
//!
//! Precedence: host exact > wildcard > any; then exact path > longest prefix; then order. A host
//! that matches but has no rule for the path falls through to the less specific host, as the
//! Gateway API requires; fallback rules (default backends) come after all of them, again the
//! most specific host first.

mod canonical;
mod path;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::{HostMatch, MatchPath, Rule};
pub use canonical::{PathError, canonical_path};
pub use path::{one_label_below, path_matches};

/// The rules of a listener and the index over them.
#[derive(Clone, Default)]
pub struct RouteTable {
    rules: Vec<Arc<Rule>>,
    exact: Index,
    wildcard: Index,
    any: HostRules,
}

type Index = HashMap<Arc<str>, HostRules, RandomState>;

/// The rules of one host: by exact path, and by prefix. Values are places in `rules`; only the
/// first rule of equal ones is indexed, the later ones can never match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct HostRules {
    exact: HashMap<Arc<str>, u32, RandomState>,
    prefix: HashMap<Arc<str>, u32, RandomState>,
    longest_prefix: usize,
    fallback: Option<u32>,
}

impl RouteTable {
    /// Indexes `rules`, whose order decides among equals.
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        let mut table = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            table.insert(u32::try_from(place).unwrap_or(u32::MAX), rule);
        }
        table.rules = rules;
        table
    }

    fn insert(&mut self, place: u32, rule: &Rule) {
        let host = match &rule.host {
            HostMatch::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostMatch::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
            HostMatch::Any => &mut self.any,
        };
        host.insert(place, &rule.path);
    }

    /// Every rule, in order.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule for a request: `host` lower-case and without port, `path` canonical, without
    /// query. Allocates nothing.
    pub fn select(&self, host: &str, path: &str) -> Option<&Arc<Rule>> {
        let place = self
            .hosts(host)
            .find_map(|rules| rules.find(path))
            .or_else(|| self.hosts(host).find_map(|rules| rules.fallback))?;
        self.rules.get(place as usize)
    }

    /// The rules that a host may use, most specific host first.
    fn hosts(&self, host: &str) -> impl Iterator<Item = &HostRules> {
        let wildcard = one_label_below(host).and_then(|suffix| self.wildcard.get(suffix));
        [self.exact.get(host), wildcard, Some(&self.any)].into_iter().flatten()
    }

    /// Whether any rule is written for this host (exactly, by wildcard, or for every host).
    pub fn knows_host(&self, host: &str) -> bool {
        self.exact.contains_key(host)
            || one_label_below(host).is_some_and(|suffix| self.wildcard.contains_key(suffix))
            || self.any != HostRules::default()
    }

    /// Every rule with the reason why it does or does not take the request, in order: slow, for
    /// `explain`.
    pub fn candidates<'a>(
        &'a self,
        host: &'a str,
        path: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<Rule>, Verdict)> {
        let selected = self.select(host, path);
        self.rules.iter().map(move |rule| {
            let verdict = if selected.is_some_and(|best| Arc::ptr_eq(best, rule)) {
                Verdict::Selected
            } else if !host_matches(&rule.host, host) {
                Verdict::OtherHost
            } else if !path_matches(&rule.path, path) {
                Verdict::OtherPath
            } else {
                Verdict::LessSpecific
            };
            (rule, verdict)
        })
    }
}

impl HostRules {
    fn insert(&mut self, place: u32, path: &MatchPath) {
        match path {
            MatchPath::Exact(path) => {
                self.exact.entry(path.clone()).or_insert(place);
            }
            MatchPath::Prefix(path) => {
                self.longest_prefix = self.longest_prefix.max(path.len());
                self.prefix.entry(path.clone()).or_insert(place);
            }
            MatchPath::Fallback => {
                self.fallback.get_or_insert(place);
            }
        }
    }

    fn find(&self, path: &str) -> Option<u32> {
        self.exact.get(path).or_else(|| self.find_prefix(path)).copied()
    }

    fn find_prefix(&self, path: &str) -> Option<&u32> {
        path::prefixes(path, self.longest_prefix).find_map(|prefix| self.prefix.get(prefix))
    }
}

/// Why a rule does or does not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It takes it.
    Selected,
    /// It is for another host.
    OtherHost,
    /// It is for another path.
    OtherPath,
    /// It matches, but a more specific or an earlier rule does too.
    LessSpecific,
}

/// Whether a host (lower-case, no port) is among those of the match.
pub fn host_matches(wanted: &HostMatch, host: &str) -> bool {
    match wanted {
        HostMatch::Exact(exact) => **exact == *host,
        HostMatch::Wildcard(suffix) => one_label_below(host) == Some(suffix),
        HostMatch::Any => true,
    }
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
