//! Where a share of the traffic goes, and how its endpoints are spoken to.

use std::sync::Arc;
use std::time::Duration;

use super::{AppProtocol, Backend, Failure, Filter, UpstreamTls};

/// A backend as one rule sees it: two rules may speak to the same endpoints in different ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The endpoints.
    pub backend: Arc<Backend>,
    /// What is spoken to them (HTTP only).
    pub protocol: Protocol,
    /// TLS towards them (BackendTLSPolicy).
    pub tls: Option<Arc<UpstreamTls>>,
    /// What a policy says about the traffic to the Service (XBackendTrafficPolicy).
    pub policy: Option<Arc<TrafficPolicy>>,
}

impl Target {
    /// A backend as its Service describes it, without policies.
    pub fn plain(backend: Arc<Backend>) -> Self {
        let protocol = match backend.app_protocol {
            AppProtocol::H2c => Protocol::Http2,
            AppProtocol::Http | AppProtocol::Https => Protocol::Http1,
        };
        Self { backend, protocol, tls: None, policy: None }
    }
}

/// The version of HTTP that is spoken to endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: with prior knowledge in the clear, by ALPN within TLS.
    Http2,
}

/// A target and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedBackend {
    /// Where to, or why not: a share that cannot be served is answered, not given to others.
    pub target: Result<Target, Failure>,
    /// Share among the rule's backends.
    pub weight: u32,
    /// What is done to requests of this share, after the filters of the rule (HTTP only).
    pub filters: Vec<Filter>,
}

impl WeightedBackend {
    /// All of the traffic, as it is.
    pub fn all(backend: Arc<Backend>) -> Self {
        let target = Ok(Target::plain(backend));
        Self { target, weight: 1, filters: Vec::new() }
    }

    /// The backend, if the share can be served.
    pub fn backend(&self) -> Option<&Arc<Backend>> {
        self.target.as_ref().ok().map(|target| &target.backend)
    }
}

/// `XBackendTrafficPolicy`, as far as it touches one Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// How many retries it takes.
    pub retry_budget: Option<RetryBudget>,
    /// Whether clients stay with their endpoint, unless the rule says something itself.
    pub session: Option<Arc<SessionPersistence>>,
}

/// Which part of the traffic to a Service may be retries (GEP-3388).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Percent of the requests of `interval` that may be retries.
    pub percent: u32,
    /// Over which time requests are counted.
    pub interval: Duration,
    /// So many retries are allowed within `min_interval`, whatever the percentage.
    pub min_count: u32,
    /// See `min_count`.
    pub min_interval: Duration,
}

impl RetryBudget {
    /// That of a Service whose policy says nothing: what the GEP proposes.
    pub const DEFAULT: Self = Self {
        percent: 20,
        interval: Duration::from_secs(10),
        min_count: 10,
        min_interval: Duration::from_secs(1),
    };
}

/// Clients stay with the endpoint that answered them first (GEP-1619).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPersistence {
    /// Name of the cookie or header field.
    pub name: Arc<str>,
    /// How clients carry their session.
    pub carrier: SessionCarrier,
    /// After this time a session is over.
    pub absolute_timeout: Option<Duration>,
}

/// How clients carry their session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionCarrier {
    /// A cookie.
    Cookie {
        /// `Path` of the cookie.
        path: Arc<str>,
        /// Kept beyond the session of the browser, as long as `absolute_timeout`.
        permanent: bool,
    },
    /// A header field, which the client repeats.
    Header,
}
