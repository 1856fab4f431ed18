//! Who is asked about the names of others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The servers that are asked about names that are not ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// For every name without a stub domain; empty: such names are refused.
    pub upstreams: Vec<SocketAddr>,
    /// For a domain and everything below it. Domains are lower-case, without the trailing dot; no
    /// list is empty.
    pub stubs: BTreeMap<Arc<str>, Vec<SocketAddr>>,
    /// In which order those of one list are asked.
    pub policy: ForwardPolicy,
}

/// In which order upstreams are asked. Those that do not answer come last in each.
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

/// The upstreams of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardRoute<'f> {
    /// The stub domain; empty for all other names.
    pub domain: &'f str,
    /// Never empty.
    pub upstreams: &'f [SocketAddr],
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
                return Some(ForwardRoute { domain, upstreams });
            }
            rest = domain.split_once('.').map(|(_, parent)| parent);
        }
        let upstreams = self.upstreams.as_slice();
        (!upstreams.is_empty()).then_some(ForwardRoute { domain: "", upstreams })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stub_domain_decides() {
        let addr = |last: u8| SocketAddr::from(([10, 0, 0, last], 53));
        let stubs = [("corp", 1), ("lab.corp", 2)];
        let mut forward = Forward {
            upstreams: vec![addr(9)],
            stubs: stubs.map(|(domain, last)| (domain.into(), vec![addr(last)])).into(),
            ..Forward::default()
        };
        let rows = [("corp", 1), ("a.corp", 1), ("lab.corp", 2), ("a.b.lab.corp", 2)];
        let others = [("xcorp", 9), ("corp.org", 9), ("", 9)];
        for (name, last) in rows.into_iter().chain(others) {
            let upstreams = forward.route(name).map(|route| route.upstreams);
            assert_eq!(upstreams, Some(&[addr(last)][..]), "{name}");
        }
        forward.upstreams.clear();
        assert!(forward.is_on());
        assert_eq!(forward.route("example.org"), None);
        assert_eq!(forward.route("a.corp").map(|route| route.domain), Some("corp"));
    }
}
