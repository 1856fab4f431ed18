//! Gateway API v1.6 (`gateway.networking.k8s.io`), as users write it.
//!
//! In: serde. Out: types that `compile` reads. One type each for what several kinds share:
//! [`ParentReference`], [`BackendRef`], [`HttpFilter`].
//!
//! Invariant: defaults of the CRDs are applied here, so that directory and cluster see the same;
//! numbers and enumerations are kept as written, so that `compile` can say what is wrong with
//! them and where.
//! Deliberately absent: experimental fields of the API without a conformance test, but for those
//! that rutter serves.

mod external_auth;
mod filter;
mod gateway_kinds;
mod gateway_tls;
mod grpc_route;
mod http_route;
mod policy;
mod route;
mod session;
mod stream_route;
mod traffic_policy;
mod unread;

#[cfg(test)]
mod tests;

pub use external_auth::{ExternalAuthFilter, ForwardBody, GrpcAuth, HttpAuth};
pub use filter::{
    CorsFilter, Fraction, HeaderFilter, HttpFilter, HttpHeader, PathModifier, RedirectFilter,
    RequestMirror, UrlRewrite,
};
pub use gateway_kinds::{
    AllowedListeners, AllowedRoutes, Gateway, GatewayAddress, GatewayClass, GatewayClassSpec,
    GatewayInfrastructure, GatewaySpec, Listener, ListenerSet, ListenerSetSpec, ListenerTls,
    ParametersReference, RouteGroupKind, RouteNamespaces,
};
pub use gateway_tls::{
    FrontendTls, FrontendTlsConfig, FrontendTlsPort, FrontendTlsValidation, GatewayBackendTls,
    GatewayTls,
};
pub use grpc_route::{GrpcMethodMatch, GrpcRoute, GrpcRouteMatch, GrpcRouteRule, GrpcRouteSpec};
pub use http_route::{
    HttpPathMatch, HttpRetry, HttpRoute, HttpRouteMatch, HttpRouteRule, HttpRouteSpec,
    HttpTimeouts, NamedMatch,
};
pub use policy::{
    BackendTlsPolicy, BackendTlsPolicySpec, BackendTlsValidation, PolicyTargetReference,
    ReferenceGrant, ReferenceGrantFrom, ReferenceGrantSpec, ReferenceGrantTo, SubjectAltName,
};
pub use route::{BackendRef, ObjectReference, ParentReference};
pub use session::{CookieConfig, SessionPersistence};
pub use stream_route::{StreamRouteRule, TcpRoute, TlsRoute, TlsRouteSpec, UdpRoute};
pub use traffic_policy::{
    BackendTrafficPolicy, BackendTrafficPolicySpec, RequestRate, RetryBudget, RetryConstraint,
};

pub(super) use unread::fields;

/// The group of every kind in here but the experimental ones.
pub const GROUP: &str = "gateway.networking.k8s.io";
