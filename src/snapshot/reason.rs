//! Why a request or connection was not served: the closed list that log, metrics and error
//! bodies share. One reason has one cause.

use std::fmt;

use serde::{Serialize, Serializer};

/// Why traffic ended without an answer of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No rule matches host and path.
    NoRoute,
    /// The rule names a Service or port that does not exist; or a client came to a virtual address
    /// by a port that no Service has there.
    NoService,
    /// The rule names a backend that rutter does not serve.
    UnsupportedBackend,
    /// The route's reference to a backend leads nowhere or is not permitted, or its rule has no
    /// backend at all (Gateway API: 500).
    InvalidBackend,
    /// The Service has no usable endpoint.
    NoReadyEndpoint,
    /// The Service leads to endpoints of this node only, and has usable ones elsewhere only.
    NoLocalEndpoint,
    /// The client is in none of the Service's `loadBalancerSourceRanges`.
    SourceNotAllowed,
    /// Every endpoint tried refused the connection or was unreachable.
    ConnectRefused,
    /// Every endpoint tried let the connect time-out pass.
    ConnectTimeout,
    /// The TLS handshake with every endpoint tried failed: the certificate is not what the policy
    /// asks for, or the endpoint does not take ours.
    UpstreamTls,
    /// The endpoint closed the connection before a whole response.
    UpstreamReset,
    /// The endpoint's response breaks HTTP.
    UpstreamProtocol,
    /// The endpoint did not answer in time.
    ResponseTimeout,
    /// The request asks for another protocol on its connection, as WebSocket does, and the
    /// endpoints speak HTTP/2.
    UpgradeUnsupported,
    /// Every attempt that the rule allows ended without a response.
    RetriesExhausted,
    /// The endpoint failed, and its Service takes no more retries now (GEP-3388).
    RetryBudgetExhausted,
    /// The authorization server refused the request; the status is the one that it chose.
    AuthDenied,
    /// The authorization server did not answer, or not as its protocol wants it.
    AuthUnavailable,
    /// The request, or the connection of HTTP/2 or HTTP/3, breaks its protocol.
    BadRequest,
    /// The body is larger than what the authorization server may be sent.
    ContentTooLarge,
    /// The connection was opened for another listener's host.
    Misdirected,
    /// The request's URI is too long.
    UriTooLong,
    /// The request's header section is too large.
    HeadersTooLarge,
    /// A method that is not served, such as CONNECT.
    MethodNotAllowed,
    /// The method is longer than any that is served.
    MethodTooLong,
    /// The client took too long to send the request, or to shake hands before it.
    RequestTimeout,
    /// The client sent its body, or took the response, too slowly for too long.
    ClientTooSlow,
    /// The client went away.
    ClientClosed,
    /// The TLS handshake with the client failed: it wants what is not served, shows no certificate
    /// that is asked for, or does not speak TLS.
    TlsHandshake,
    /// The client of HTTP/2 makes work for nothing, and was sent away (RFC 9113 section 7).
    EnhanceYourCalm,
    /// There are as many connections as the limit of all allows; of HTTP/3, that of its socket.
    ConnectionLimit,
    /// The client has as many connections as one may have.
    ClientLimit,
    /// Memory, or the room for what is asked for, is nearly used up.
    Overloaded,
    /// The Service has as many requests as its limit allows, and as many wait already.
    QueueFull,
    /// The Service had no room for the request within the time that it may wait.
    QueueTimeout,
    /// rutter is shutting down.
    Draining,
    /// A defect of rutter; the exchange ended, nothing else did.
    Internal,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 37] = [
        Self::NoRoute,
        Self::NoService,
        Self::UnsupportedBackend,
        Self::InvalidBackend,
        Self::NoReadyEndpoint,
        Self::NoLocalEndpoint,
        Self::SourceNotAllowed,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::UpstreamTls,
        Self::UpstreamReset,
        Self::UpstreamProtocol,
        Self::ResponseTimeout,
        Self::UpgradeUnsupported,
        Self::RetriesExhausted,
        Self::RetryBudgetExhausted,
        Self::AuthDenied,
        Self::AuthUnavailable,
        Self::BadRequest,
        Self::ContentTooLarge,
        Self::Misdirected,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::MethodNotAllowed,
        Self::MethodTooLong,
        Self::RequestTimeout,
        Self::ClientTooSlow,
        Self::ClientClosed,
        Self::TlsHandshake,
        Self::EnhanceYourCalm,
        Self::ConnectionLimit,
        Self::ClientLimit,
        Self::Overloaded,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::Draining,
        Self::Internal,
    ];

    /// As it stands in log, metric label and body.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::NoService => "no_service",
            Self::UnsupportedBackend => "unsupported_backend",
            Self::InvalidBackend => "invalid_backend",
            Self::NoReadyEndpoint => "no_ready_endpoint",
            Self::NoLocalEndpoint => "no_local_endpoint",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::UpstreamTls => "upstream_tls",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::ResponseTimeout => "response_timeout",
            Self::UpgradeUnsupported => "upgrade_unsupported",
            Self::RetriesExhausted => "retries_exhausted",
            Self::RetryBudgetExhausted => "retry_budget_exhausted",
            Self::AuthDenied => "auth_denied",
            Self::AuthUnavailable => "auth_unavailable",
            Self::BadRequest => "bad_request",
            Self::ContentTooLarge => "content_too_large",
            Self::Misdirected => "misdirected",
            Self::UriTooLong => "uri_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MethodTooLong => "method_too_long",
            Self::RequestTimeout => "request_timeout",
            Self::ClientTooSlow => "client_too_slow",
            Self::ClientClosed => "client_closed",
            Self::TlsHandshake => "tls_handshake",
            Self::EnhanceYourCalm => "enhance_your_calm",
            Self::ConnectionLimit => "connection_limit",
            Self::ClientLimit => "client_limit",
            Self::Overloaded => "overloaded",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// The status that a client sees for it.
    pub fn status(self) -> u16 {
        match self {
            Self::NoRoute => 404,
            Self::BadRequest | Self::TlsHandshake => 400,
            Self::AuthDenied | Self::SourceNotAllowed => 403,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout | Self::ClientTooSlow => 408,
            Self::ContentTooLarge => 413,
            Self::UriTooLong => 414,
            Self::Misdirected => 421,
            Self::EnhanceYourCalm => 429,
            Self::HeadersTooLarge => 431,
            Self::ClientClosed => 499,
            Self::Internal | Self::UnsupportedBackend | Self::InvalidBackend => 500,
            Self::UpgradeUnsupported | Self::MethodTooLong => 501,
            Self::ConnectRefused
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::UpstreamProtocol => 502,
            Self::NoService
            | Self::NoReadyEndpoint
            | Self::NoLocalEndpoint
            | Self::RetriesExhausted
            | Self::RetryBudgetExhausted
            | Self::AuthUnavailable
            | Self::ConnectionLimit
            | Self::ClientLimit
            | Self::Overloaded
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::Draining => 503,
            Self::ConnectTimeout | Self::ResponseTimeout => 504,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
