//! HTTP: listeners, rules and what a rule does.

use std::fmt;
use std::sync::Arc;

use super::matching::{HostMap, Pattern, Predicates, host_matches};
use super::{
    Backend, Filter, Reason, RouteTable, SessionPersistence, Target, TlsTable, WeightedBackend,
};
use crate::manifest::{ObjectRef, Origin};

/// A socket that speaks HTTP, and the listeners that share it, told apart by host.
#[derive(Clone, Debug)]
pub struct HttpListener {
    /// `http`, `https`, or that of the Gateway: a metric label.
    pub name: Arc<str>,
    /// Certificates; absent for plain HTTP.
    pub tls: Option<Arc<TlsTable>>,
    /// Whether HTTP/3 is served at the same address and port: clients over TLS are told of it.
    pub has_http3: bool,
    hosts: Vec<Arc<VirtualHost>>,
    by_host: HostMap<usize>,
}

/// A listener among those of one socket. A request belongs to the one whose host is the most
/// specific that matches, and sees no rule of another (listener isolation, GEP-1713).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualHost {
    /// The metric label.
    pub name: Arc<str>,
    /// Which hosts.
    pub host: HostMatch,
    /// Rules by host and path.
    pub routes: Arc<RouteTable>,
}

impl HttpListener {
    /// A socket shared by `hosts`; of two for the same host the first is served.
    pub fn new(name: Arc<str>, tls: Option<Arc<TlsTable>>, hosts: Vec<Arc<VirtualHost>>) -> Self {
        let mut by_host = HostMap::default();
        for (place, host) in hosts.iter().enumerate().rev() {
            *by_host.entry(&host.host) = place;
        }
        Self { name, tls, has_http3: false, hosts, by_host }
    }

    /// A socket with one listener, for every host.
    pub fn single(name: Arc<str>, tls: Option<Arc<TlsTable>>, routes: Arc<RouteTable>) -> Self {
        let host = VirtualHost { name: name.clone(), host: HostMatch::Any, routes };
        Self::new(name, tls, vec![Arc::new(host)])
    }

    /// The same, with HTTP/3 at the same address and port.
    pub fn with_http3(self) -> Self {
        Self { has_http3: true, ..self }
    }

    /// The listener for a host (lower-case, without port).
    pub fn select(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        self.hosts.get(*self.by_host.matches(host).next()?)
    }

    /// Whether a connection that was opened for one host may carry requests for another: only if
    /// both belong to the same listener (421, RFC 9110 section 15.5.20).
    pub fn is_misdirected(&self, server_name: Option<&str>, host: &str) -> bool {
        if self.hosts.len() < 2 {
            return false;
        }
        let opened_for = self.by_host.matches(server_name.unwrap_or_default()).next();
        opened_for != self.by_host.matches(host).next()
    }

    /// Every listener of the socket.
    pub fn hosts(&self) -> &[Arc<VirtualHost>] {
        &self.hosts
    }

    /// Every rule of every listener.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.hosts.iter().flat_map(|host| host.routes.rules())
    }
}

impl PartialEq for HttpListener {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.tls, self.has_http3, &self.hosts)
            == (&other.name, &other.tls, other.has_http3, &other.hosts)
    }
}

impl Eq for HttpListener {}

/// One rule: which requests, and what happens to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The object that holds it.
    pub route: ObjectRef,
    /// `namespace/name` of the route: the metric label, made once.
    pub label: Arc<str>,
    /// Which hosts.
    pub host: HostMatch,
    /// Which paths.
    pub path: MatchPath,
    /// What else a request must have.
    pub predicates: Predicates,
    /// What is done to a request and its response, in order.
    pub filters: Vec<Filter>,
    /// How long it may take, where the rule says so.
    pub timeouts: Timeouts,
    /// Further attempts, where the rule asks for them.
    pub retry: Option<Retry>,
    /// Whether clients stay with their endpoint.
    pub session: Option<Arc<SessionPersistence>>,
    /// What happens.
    pub action: Action,
    /// Where the object is written.
    pub origin: Origin,
    /// The rule's field in it: `spec.rules[0].http.paths[1]`.
    pub field: Arc<str>,
}

impl Rule {
    /// Every backend that requests, copies of them or questions about them go to.
    pub fn backends(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.targets().map(|target| &target.backend)
    }

    /// The same, and how each is spoken to.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let weighted = match &self.action {
            Action::Forward(backends) => backends.as_slice(),
            Action::Redirect(_) | Action::Fail(_) => &[],
        };
        let filters = self.filters.iter().chain(weighted.iter().flat_map(|it| &it.filters));
        let others = filters.filter_map(|filter| match filter {
            Filter::Mirror(mirror) => Some(&mirror.target),
            Filter::ExternalAuth(auth) => auth.target.as_ref().ok(),
            Filter::RequestHeaders(_)
            | Filter::ResponseHeaders(_)
            | Filter::Rewrite(_)
            | Filter::Redirect(_)
            | Filter::Cors(_) => None,
        });
        weighted.iter().filter_map(|share| share.target.as_ref().ok()).chain(others)
    }
}

/// Time limits of a rule (GEP-1742).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request to the whole of its response; zero: without limit.
    pub request: Option<std::time::Duration>,
    /// Of one attempt at an endpoint; zero: without limit.
    pub backend: Option<std::time::Duration>,
}

/// Further attempts after responses and failures (GEP-1731).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Statuses of responses that are not wanted.
    pub codes: Vec<u16>,
    /// How many further attempts.
    pub attempts: u32,
    /// How long to wait before each.
    pub backoff: std::time::Duration,
}

/// Which hosts a rule takes, most specific first. Names are lower-case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostMatch {
    /// This host.
    Exact(Arc<str>),
    /// `*.example.com`, kept as `example.com`: exactly one label more (Ingress).
    Wildcard(Arc<str>),
    /// `*.example.com`, kept as `example.com`: one label more or several (Gateway API).
    Suffix(Arc<str>),
    /// Every host.
    Any,
}

impl HostMatch {
    /// Whether a host (lower-case, without port) is among them.
    pub fn takes(&self, host: &str) -> bool {
        host_matches(self, host)
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) | Self::Suffix(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Which paths a rule takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchPath {
    /// This path, byte for byte.
    Exact(Arc<str>),
    /// Paths that the whole of matches.
    Regex(Pattern),
    /// This path and all below it, element by element; kept without a trailing `/` (so that `/`
    /// is empty).
    Prefix(Arc<str>),
    /// What is left when no other rule matches: a default backend.
    Fallback,
}

impl fmt::Display for MatchPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "exact {path}"),
            Self::Regex(pattern) => write!(f, "regex {pattern}"),
            Self::Prefix(path) if path.is_empty() => f.write_str("prefix /"),
            Self::Prefix(path) => write!(f, "prefix {path}"),
            Self::Fallback => f.write_str("fallback"),
        }
    }
}

/// What a rule does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends it to one of these, by weight.
    Forward(Vec<WeightedBackend>),
    /// Answers it: the client is to ask elsewhere.
    Redirect(super::Redirect),
    /// Answers it: a rule whose backend cannot be used still owns its requests, and says why.
    Fail(Failure),
}

/// Why requests are answered in place of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status is the reason's.
    pub reason: Reason,
    /// What is wrong, for `explain`.
    pub detail: Arc<str>,
}
