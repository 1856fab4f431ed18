//! Who is asked about the names of others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Upstream;
use crate::snapshot::Authorities;

/// The servers that are asked about names that are not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// For every name without a stub domain; empty: such names are refused.
    pub upstreams: Vec<Upstream>,
    /// For a domain and everything below it. Domains are lower-case, without the trailing dot; no
    /// list is empty.
    pub stubs: BTreeMap<Arc<str>, Vec<Upstream>>,
    /// In which order those of one list are asked.
    pub policy: ForwardPolicy,
    /// Who must have signed the certificates of those that are asked over TLS.
    pub authorities: Authorities,
    /// How long answers are remembered.
    pub cache: CachePolicy,
    /// The same for stub domains that differ; of these only the seconds and the zones count.
    pub stub_caches: BTreeMap<Arc<str>, CachePolicy>,
    /// Zones about which nobody is asked although a list is for them, by the domain of the list.
    /// Lower-case, without the trailing dot.
    pub except: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Who is asked next where those of a list do not know a name, in order; by the domain of the
    /// list.
    pub alternates: BTreeMap<Arc<str>, Vec<Alternate>>,
}

/// Upstreams that are asked for what those before them have answered in a certain way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternate {
    /// Never empty.
    pub upstreams: Vec<Upstream>,
    /// Which answers.
    pub after: Unknown,
}

/// Answers that say that an upstream does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Response codes (RFC 1035 section 4.1.1, RFC 2136 section 2.2).
    pub rcodes: Vec<u8>,
    /// That the name exists, and no record of the type.
    pub no_data: bool,
}

impl Unknown {
    /// Whether no answer is meant.
    pub fn is_nothing(&self) -> bool {
        self.rcodes.is_empty() && !self.no_data
    }

    /// Whether an answer with this code is meant; `is_positive`: with a record of the type.
    pub fn is(&self, rcode: u8, is_positive: bool) -> bool {
        self.rcodes.contains(&rcode) || self.no_data && rcode == NO_ERROR && !is_positive
    }
}

const NO_ERROR: u8 = 0;

/// In which order upstreams are asked. One that does not answer is asked only if none does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardPolicy {
    /// As they are listed, as the resolver of a C library does.
    #[default]
    Sequential,
    /// Each query begins with the next.
    RoundRobin,
    /// Each query begins anywhere.
    Random,
}

/// How long the answers of upstreams are remembered. Names of the cluster are never cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Seconds for which an answer is remembered at most, whatever it says; clients are shown no
    /// longer time to live. 0: not at all.
    pub positive_max: u32,
    /// The same for that a name, or a record of the type, does not exist.
    pub negative_max: u32,
    /// Seconds for which an answer is remembered at least, also if it says less, and is shown to be
    /// good for; the most wins.
    pub positive_min: u32,
    /// The same for that a name, or a record of the type, does not exist.
    pub negative_min: u32,
    /// Seconds for which it is remembered that an upstream could not or would not answer.
    pub failure: u32,
    /// The zones of which answers are remembered: lower-case, without the trailing dot; none: all.
    pub zones: Vec<Arc<str>>,
    /// How many times an answer must have been asked for to be asked for anew in the last tenth of
    /// its time; `None`: never.
    pub prefetch: Option<u32>,
    /// How long an answer is kept after its time, for when no upstream answers (RFC 8767). Zero: it
    /// is not.
    pub serve_stale: Duration,
    /// Bytes that all answers may take, on each worker. 0: no cache.
    pub size: usize,
}

impl CachePolicy {
    /// Whether answers about a name are remembered; it is lower-case, without the trailing dot.
    pub fn covers(&self, name: &str) -> bool {
        self.zones.is_empty() || self.zones.iter().any(|zone| is_within(name, zone))
    }
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            positive_max: 3600,
            negative_max: 1800,
            positive_min: 0,
            negative_min: 0,
            // so that clients who ask again at once do no harm (RFC 9520)
            failure: 1,
            zones: Vec::new(),
            prefetch: Some(3),
            serve_stale: Duration::from_secs(3600),
            size: 8 << 20,
        }
    }
}

/// The upstreams of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardRoute<'f> {
    /// The stub domain; empty for all other names.
    pub domain: &'f str,
    /// Never empty.
    pub upstreams: &'f [Upstream],
    /// Who is asked next.
    pub alternates: &'f [Alternate],
}

impl ForwardRoute<'_> {
    /// Whether this upstream may be asked.
    pub fn leads_to(&self, upstream: &Upstream) -> bool {
        let mut alternates = self.alternates.iter();
        self.upstreams.contains(upstream) || alternates.any(|it| it.upstreams.contains(upstream))
    }
}

impl Forward {
    /// Whether any name is forwarded.
    pub fn is_on(&self) -> bool {
        !self.upstreams.is_empty() || !self.stubs.is_empty()
    }

    /// The upstreams of a name, by the longest stub domain that it is in. The name is lower-case,
    /// without the trailing dot.
    pub fn route(&self, name: &str) -> Option<ForwardRoute<'_>> {
        let mut rest = Some(name).filter(|_| !self.stubs.is_empty());
        while let Some(domain) = rest {
            if let Some((domain, upstreams)) = self.stubs.get_key_value(domain) {
                let route = self.route_of(domain, upstreams);
                return Some(route).filter(|_| !self.is_excepted(domain, name));
            }
            rest = domain.split_once('.').map(|(_, parent)| parent);
        }
        let upstreams = self.upstreams.as_slice();
        let is_asked = !upstreams.is_empty() && !self.is_excepted("", name);
        is_asked.then(|| self.route_of("", upstreams))
    }

    fn route_of<'f>(&'f self, domain: &'f str, upstreams: &'f [Upstream]) -> ForwardRoute<'f> {
        let alternates = self.alternates.get(domain).map_or(&[][..], Vec::as_slice);
        ForwardRoute { domain, upstreams, alternates }
    }

    /// How long answers of the upstreams of a domain are remembered.
    pub fn cache_of(&self, domain: &str) -> &CachePolicy {
        self.stub_caches.get(domain).unwrap_or(&self.cache)
    }

    fn is_excepted(&self, domain: &str, name: &str) -> bool {
        let zones = self.except.get(domain);
        zones.is_some_and(|zones| zones.iter().any(|zone| is_within(name, zone)))
    }

    /// Every list of upstreams with its domain, which is empty for that of all other names.
    pub fn routes(&self) -> impl Iterator<Item = ForwardRoute<'_>> {
        let stubs = self.stubs.iter();
        let stubs = stubs.map(|(domain, upstreams)| self.route_of(domain, upstreams));
        let others = self.route_of("", &self.upstreams);
        stubs.chain((!self.upstreams.is_empty()).then_some(others))
    }
}

/// Whether a name is a zone or below it; the empty zone is the root.
pub fn is_within(name: &str, zone: &str) -> bool {
    let below = name.strip_suffix(zone);
    zone.is_empty() || below.is_some_and(|it| it.is_empty() || it.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    #[test]
    fn the_longest_stub_domain_decides() {
        let at = |last: u8| Upstream::from(SocketAddr::from(([10, 0, 0, last], 53)));
        let stubs = [("corp", 1), ("lab.corp", 2)];
        let mut forward = Forward {
            upstreams: vec![at(9)],
            stubs: stubs.map(|(domain, last)| (domain.into(), vec![at(last)])).into(),
            ..Forward::default()
        };
        let rows = [("corp", 1), ("a.corp", 1), ("lab.corp", 2), ("a.b.lab.corp", 2)];
        let others = [("xcorp", 9), ("corp.org", 9), ("", 9)];
        for (name, last) in rows.into_iter().chain(others) {
            let upstreams = forward.route(name).map(|route| route.upstreams);
            assert_eq!(upstreams, Some(&[at(last)][..]), "{name}");
        }
        let domains = |forward: &Forward| -> Vec<String> {
            forward.routes().map(|route| route.domain.to_owned()).collect()
        };
        assert_eq!(domains(&forward), ["corp", "lab.corp", ""]);
        let except = [("", "secret.example"), ("corp", "x.corp")];
        forward.except = except.map(|(domain, zone)| (domain.into(), vec![zone.into()])).into();
        for (name, is_asked) in [
            ("a.secret.example", false),
            ("asecret.example", true),
            ("x.corp", false),
            ("corp", true),
        ] {
            assert_eq!(forward.route(name).is_some(), is_asked, "{name}");
        }
        forward.upstreams.clear();
        assert!(forward.is_on());
        assert_eq!(forward.route("example.org"), None);
        assert_eq!(forward.route("a.corp").map(|route| route.domain), Some("corp"));
        assert_eq!(domains(&forward), ["corp", "lab.corp"]);
    }
}
