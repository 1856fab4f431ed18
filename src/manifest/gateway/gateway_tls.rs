//! `Gateway.spec.tls`: what is asked of clients (GEP-91) and shown to backends (GEP-3155).

use std::sync::Arc;

use serde::Deserialize;

use super::ObjectReference;
use crate::manifest::meta::null_is_default;

/// `Gateway.spec.tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct GatewayTls {
    /// Towards backends.
    #[serde(default)]
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients.
    #[serde(default)]
    pub frontend: Option<FrontendTls>,
}

/// `spec.tls.backend`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// The Secret that is shown to backends that ask.
    #[serde(default)]
    pub client_certificate_ref: Option<ObjectReference>,
}

/// `spec.tls.frontend`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTls {
    /// Of every HTTPS listener …
    #[serde(default, deserialize_with = "null_is_default")]
    pub default: FrontendTlsConfig,
    /// … but for those on these ports.
    #[serde(default, deserialize_with = "null_is_default")]
    pub per_port: Vec<FrontendTlsPort>,
}

/// `spec.tls.frontend.perPort[]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct FrontendTlsPort {
    /// The port.
    #[serde(default)]
    pub port: i64,
    /// What counts on it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub tls: FrontendTlsConfig,
}

/// What is asked of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct FrontendTlsConfig {
    /// Absent: no certificate is asked for.
    #[serde(default)]
    pub validation: Option<FrontendTlsValidation>,
}

/// How certificates of clients are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsValidation {
    /// ConfigMaps with `ca.crt`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// `AllowValidOnly` if absent, or `AllowInsecureFallback`.
    #[serde(default)]
    pub mode: Option<Arc<str>>,
}
