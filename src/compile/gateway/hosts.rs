//! Which hosts are in two matches, and what is kept by host.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::snapshot::HostMatch;
use crate::snapshot::matching::HostMap;

/// Values by host. What intersects is found without a look at everything: there may be ten
/// thousand listeners on a socket, and as many routes on a listener.
#[derive(Debug)]
pub(super) struct HostIndex<T> {
    values: Vec<T>,
    /// Places in `values`, for what is the same or above.
    above: HostMap<Option<usize>>,
    /// The same by the host read backwards, for what is below.
    below: BTreeMap<String, Vec<usize>>,
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { values: Vec::new(), above: HostMap::default(), below: BTreeMap::new() }
    }
}

impl<T: Default> HostIndex<T> {
    /// The value of exactly this match, made if it is not there.
    pub(super) fn entry(&mut self, host: &HostMatch) -> &mut T {
        let next = self.values.len();
        let place = *self.above.entry(host).get_or_insert(next);
        if place == next {
            self.values.push(T::default());
            self.below.entry(backwards(&host.to_string())).or_default().push(place);
        }
        &mut self.values[place]
    }

    /// The values of matches that have a host in common with this one, maybe some of them twice.
    pub(super) fn intersecting(&self, host: &HostMatch) -> impl Iterator<Item = &T> {
        let text = host.to_string();
        let below = match host {
            HostMatch::Exact(_) => None,
            HostMatch::Wildcard(suffix) | HostMatch::Suffix(suffix) => {
                Some(backwards(&format!(".{suffix}")))
            }
            HostMatch::Any => Some(String::new()),
        };
        let above: Vec<usize> = self.above.matches(&text).copied().flatten().collect();
        let below = below.into_iter().flat_map(|start| {
            let from = (Bound::Included(start.clone()), Bound::Unbounded);
            let below = self.below.range(from);
            below.take_while(move |(name, _)| name.starts_with(&start)).flat_map(|(_, it)| it)
        });
        above.into_iter().chain(below.copied()).filter_map(|place| self.values.get(place))
    }
}

fn backwards(text: &str) -> String {
    text.chars().rev().collect()
}

/// The hosts that are in both (Gateway API, `HTTPRoute.spec.hostnames`).
pub(super) fn intersection(one: &HostMatch, other: &HostMatch) -> Option<HostMatch> {
    match (one, other) {
        (HostMatch::Any, host) | (host, HostMatch::Any) => Some(host.clone()),
        (HostMatch::Exact(host), any) if any.takes(host) => Some(one.clone()),
        (any, HostMatch::Exact(host)) if any.takes(host) => Some(other.clone()),
        (HostMatch::Exact(_), _) | (_, HostMatch::Exact(_)) => None,
        (
            HostMatch::Suffix(a) | HostMatch::Wildcard(a),
            HostMatch::Suffix(b) | HostMatch::Wildcard(b),
        ) => {
            let is_below = |below: &str, suffix: &str| {
                below == suffix || below.strip_suffix(suffix).is_some_and(|it| it.ends_with('.'))
            };
            match (is_below(a, b), is_below(b, a)) {
                (true, _) => Some(one.clone()),
                (_, true) => Some(other.clone()),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::compile::gateway::listener::host;

    fn matches(text: &str) -> HostMatch {
        host(text).expect("a host")
    }

    #[test]
    fn what_intersects_is_found_as_if_all_were_looked_at() {
        let all = [
            "",
            "*.com",
            "com",
            "*.a.com",
            "a.com",
            "x.a.com",
            "*.x.a.com",
            "y.x.a.com",
            "*.b.com",
            "ba.com",
            "*.ba.com",
            "x.ba.com",
            "a.net",
        ];
        let mut index = HostIndex::<usize>::default();
        for (place, text) in all.iter().enumerate() {
            *index.entry(&matches(text)) = place;
        }
        for text in all.into_iter().chain(["z.a.com", "*.z.com", "net", "*.org"]) {
            let wanted = matches(text);
            let found: BTreeSet<usize> = index.intersecting(&wanted).copied().collect();
            let places = all.iter().enumerate();
            let expected = places.filter(|(_, it)| intersection(&matches(it), &wanted).is_some());
            assert_eq!(found, expected.map(|(place, _)| place).collect(), "{text}");
        }
    }

    #[test]
    fn hosts_intersect_as_the_gateway_api_table_says() {
        let rows = [
            ("", "", Some("")),
            ("", "a.example.com", Some("a.example.com")),
            ("a.example.com", "a.example.com", Some("a.example.com")),
            ("a.example.com", "b.example.com", None),
            ("*.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "a.b.example.com", Some("a.b.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            ("*.example.com", "*.b.example.com", Some("*.b.example.com")),
            ("*.example.com", "*.example.net", None),
            ("*.example.com", "*.anexample.com", None),
            ("*.com", "*", None),
        ];
        for (one, other, expected) in rows {
            let (Ok(one), Ok(other)) = (host(one), host(other)) else {
                assert_eq!(expected, None);
                continue;
            };
            let expected = expected.map(|text| host(text).expect("a host"));
            assert_eq!(intersection(&one, &other), expected, "{one} {other}");
            assert_eq!(intersection(&other, &one), expected, "{other} {one}");
        }
    }
}
