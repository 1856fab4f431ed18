//! ReferenceGrant and BackendTLSPolicy.

use std::sync::Arc;

use serde::Deserialize;

use super::ObjectReference;
use crate::manifest::meta::{Metadata, null_is_default};

/// Lets objects of other namespaces name objects of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrant {
    /// Its namespace is the one that is opened.
    #[serde(default)]
    pub metadata: Metadata,
    /// Who may name what.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: ReferenceGrantSpec,
}

/// `ReferenceGrant.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantSpec {
    /// Any of these …
    #[serde(default, deserialize_with = "null_is_default")]
    pub from: Vec<ReferenceGrantFrom>,
    /// … may name any of these.
    #[serde(default, deserialize_with = "null_is_default")]
    pub to: Vec<ReferenceGrantTo>,
}

/// Objects that may name others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantFrom {
    /// Empty for core.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: Arc<str>,
    /// Their kind.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// Their namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace: Arc<str>,
}

/// Objects that may be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReferenceGrantTo {
    /// Empty for core.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: Arc<str>,
    /// Their kind.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// Only this one; absent: all of the namespace.
    #[serde(default)]
    pub name: Option<Arc<str>>,
}

/// TLS towards the endpoints of Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BackendTlsPolicy {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Which Services, and how their certificate is checked.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: BackendTlsPolicySpec,
}

/// `BackendTLSPolicy.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicySpec {
    /// Services of the same namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub target_refs: Vec<PolicyTargetReference>,
    /// How the certificate is checked.
    #[serde(default, deserialize_with = "null_is_default")]
    pub validation: BackendTlsValidation,
}

/// A Service, or one port of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetReference {
    /// Empty for core.
    #[serde(default, deserialize_with = "null_is_default")]
    pub group: Arc<str>,
    /// `Service`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// Its name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: Arc<str>,
    /// The name of a port; absent: all.
    #[serde(default)]
    pub section_name: Option<Arc<str>>,
}

/// `BackendTLSPolicy.spec.validation`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsValidation {
    /// ConfigMaps with `ca.crt`.
    #[serde(default, deserialize_with = "null_is_default")]
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// `System` instead of references.
    #[serde(default, rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<Arc<str>>,
    /// Sent as server name; checked too, unless there are names below.
    #[serde(default, deserialize_with = "null_is_default")]
    pub hostname: Arc<str>,
    /// Any of these must be in the certificate.
    #[serde(default, deserialize_with = "null_is_default")]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// A name of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct SubjectAltName {
    /// `Hostname` or `URI`.
    #[serde(default, rename = "type", deserialize_with = "null_is_default")]
    pub kind: Arc<str>,
    /// A host.
    #[serde(default)]
    pub hostname: Option<Arc<str>>,
    /// A URI, as of SPIFFE.
    #[serde(default)]
    pub uri: Option<Arc<str>>,
}
