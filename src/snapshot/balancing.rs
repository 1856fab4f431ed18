//! How the requests of a Service are shared out among its endpoints.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

/// What a Service says about it (annotations `rutter.dev/…`); the default where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Balancing {
    /// By which rule an endpoint is chosen.
    pub algorithm: Algorithm,
    /// The time in which an endpoint that is new, or comes back, rises to its full share; zero: at
    /// once.
    pub slow_start: Duration,
    /// How many requests there may be at a time, if not any number.
    pub limits: Option<RequestLimits>,
    /// What endpoints are asked from time to time, if anything.
    pub check: Option<EndpointCheck>,
}

/// Whether an endpoint is well, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct EndpointCheck {
    /// What it is asked.
    pub question: CheckQuestion,
    /// How often.
    pub interval: Duration,
}

/// What an endpoint is asked. Within TLS its certificate is not verified, as the kubelet has it: nothing
/// is carried that could be stolen, and requests are refused to whoever is not who it should be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckQuestion {
    /// Whether it takes connections.
    Tcp,
    /// `GET` by HTTP/1.1: 200 to 399 is well.
    Http {
        /// And query.
        path: Arc<str>,
        /// Whether within TLS.
        tls: bool,
    },
    /// `grpc.health.v1.Health/Check`: `SERVING` is well.
    Grpc {
        /// The service that is asked for; empty: the whole server.
        service: Arc<str>,
        /// Whether within TLS.
        tls: bool,
    },
}

impl fmt::Display for CheckQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Http { path, tls } => write!(f, "http{}:{path}", s(*tls)),
            Self::Grpc { service, tls } if service.is_empty() => write!(f, "grpc{}", s(*tls)),
            Self::Grpc { service, tls } => write!(f, "grpc{}:{service}", s(*tls)),
        }
    }
}

/// The end of the name of a protocol.
fn s(tls: bool) -> &'static str {
    if tls { "s" } else { "" }
}

/// How many requests there may be at a time, of all workers together. What is beyond waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RequestLimits {
    /// At the Service port.
    pub per_service: Option<NonZeroU32>,
    /// At each of its endpoints.
    pub per_endpoint: Option<NonZeroU32>,
    /// How many may wait; more are answered by 503.
    pub queue: u32,
    /// How long each may; longer is 503.
    pub queue_time: Duration,
}

/// The rule by which an endpoint is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Of two random ones that with the lower product of latency and requests in flight, where
    /// latency rises at once and falls slowly (Finagle's Peak EWMA).
    #[default]
    PeakEwma,
    /// One after the other.
    RoundRobin,
    /// Of two random ones that with fewer requests in flight.
    LeastRequest,
    /// A random one.
    Random,
    /// The same for the same key, whoever asks (Eisenbud et al., NSDI 2016). Requests without the
    /// key go by [`Algorithm::PeakEwma`].
    Maglev(HashKey),
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeakEwma => f.write_str("peak-ewma"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::LeastRequest => f.write_str("least-request"),
            Self::Random => f.write_str("random"),
            Self::Maglev(key) => write!(f, "maglev on {key}"),
        }
    }
}

/// What requests are alike by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKey {
    /// The address of the client.
    Source,
    /// The value of a header field, whose name is in lower case.
    Header(Arc<str>),
    /// The value of a cookie.
    Cookie(Arc<str>),
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}
