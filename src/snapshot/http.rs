//! HTTP: listeners, rules and what a rule does.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::{Backend, Reason, RouteTable, TlsTable};
use crate::manifest::{ObjectRef, Origin};

/// A listener that speaks HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpListener {
    /// `http`, `https`, or the Gateway's listener name; a metric label.
    pub name: Arc<str>,
    /// Certificates; absent for plain HTTP.
    pub tls: Option<Arc<TlsTable>>,
    /// Rules by host and path.
    pub routes: Arc<RouteTable>,
}

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
    /// What happens.
    pub action: Action,
    /// Where the object is written.
    pub origin: Origin,
    /// The rule's field in it: `spec.rules[0].http.paths[1]`.
    pub field: Arc<str>,
}

/// Which hosts a rule takes, most specific first. Names are lower-case, without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HostMatch {
    /// This host.
    Exact(Arc<str>),
    /// `*.example.com`, kept as `example.com`: exactly one label more (Ingress).
    Wildcard(Arc<str>),
    /// Every host.
    Any,
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Which paths a rule takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MatchPath {
    /// This path, byte for byte.
    Exact(Arc<str>),
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
    /// Answers it: a rule whose backend cannot be used still owns its requests, and says why.
    Fail {
        /// The status is the reason's.
        reason: Reason,
        /// What is wrong, for `explain`.
        detail: Arc<str>,
    },
}

/// A backend and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedBackend {
    /// Where to.
    pub backend: Arc<Backend>,
    /// Share among the rule's backends.
    pub weight: u32,
}
