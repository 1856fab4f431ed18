//! Something for each host.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::path::one_label_below;
use crate::snapshot::HostMatch;

/// Values by host, found by one hash for every label at most.
#[derive(Clone, Debug)]
pub struct HostMap<T> {
    exact: Index<T>,
    wildcard: Index<T>,
    suffix: Index<T>,
    any: Option<T>,
}

type Index<T> = HashMap<Arc<str>, T, RandomState>;

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        let index = Index::default;
        Self { exact: index(), wildcard: index(), suffix: index(), any: None }
    }
}

impl<T> HostMap<T> {
    /// The value of exactly this match, made if it is not there.
    pub fn entry(&mut self, host: &HostMatch) -> &mut T
    where
        T: Default,
    {
        match host {
            HostMatch::Exact(host) => self.exact.entry(host.clone()).or_default(),
            HostMatch::Wildcard(suffix) => self.wildcard.entry(suffix.clone()).or_default(),
            HostMatch::Suffix(suffix) => self.suffix.entry(suffix.clone()).or_default(),
            HostMatch::Any => self.any.get_or_insert_default(),
        }
    }

    /// What matches a host (lower-case, without port), the most specific first: exact, one label
    /// below a wildcard, the longest suffix, any.
    pub fn matches<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a T> {
        let exact = self.exact.get(host);
        let one_label = one_label_below(host).and_then(|suffix| self.wildcard.get(suffix));
        let suffixes = (!self.suffix.is_empty()).then(|| labels_below(host));
        let suffixes = suffixes.into_iter().flatten();
        let suffixes = suffixes.filter_map(|suffix| self.suffix.get(suffix));
        exact.into_iter().chain(one_label).chain(suffixes).chain(&self.any)
    }
}

/// `b.c`, `c` for `a.b.c`: what suffixes are looked up by, the longest first.
fn labels_below(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(one_label_below(host), |rest| one_label_below(rest))
}

/// Whether a host (lower-case, no port) is among those of the match.
pub fn host_matches(wanted: &HostMatch, host: &str) -> bool {
    match wanted {
        HostMatch::Exact(exact) => **exact == *host,
        HostMatch::Wildcard(suffix) => one_label_below(host) == Some(suffix),
        HostMatch::Suffix(suffix) => labels_below(host).any(|below| *below == **suffix),
        HostMatch::Any => true,
    }
}
