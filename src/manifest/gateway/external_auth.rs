//! The filter that asks another server (GEP-1494, experimental).

use std::sync::Arc;

use serde::Deserialize;

use super::BackendRef;
use crate::manifest::meta::null_is_default;

/// `externalAuth` of a filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalAuthFilter {
    /// `GRPC` or `HTTP`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub protocol: Arc<str>,
    /// Who is asked.
    #[serde(default)]
    pub backend_ref: Option<BackendRef>,
    /// With `GRPC`.
    #[serde(default)]
    pub grpc: Option<GrpcAuth>,
    /// With `HTTP`.
    #[serde(default)]
    pub http: Option<HttpAuth>,
    /// Whether the body of the request is sent along.
    #[serde(default)]
    pub forward_body: Option<ForwardBody>,
}

/// `externalAuth.grpc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcAuth {
    /// Which fields of the request are sent; none: all.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_headers: Vec<Arc<str>>,
}

/// `externalAuth.http`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAuth {
    /// Stands in front of the path of the request.
    #[serde(default, deserialize_with = "null_is_default")]
    pub path: Arc<str>,
    /// Which fields of the request are sent beside those that always are.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_headers: Vec<Arc<str>>,
    /// Which fields of the answer go on to the backend; none: all but the host.
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_response_headers: Vec<Arc<str>>,
}

/// `externalAuth.forwardBody`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardBody {
    /// In bytes; zero: the body is not sent.
    #[serde(default)]
    pub max_size: i64,
}
