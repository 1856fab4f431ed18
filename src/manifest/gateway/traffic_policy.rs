//! XBackendTrafficPolicy of `gateway.networking.x-k8s.io` (GEP-3388, experimental).

use std::sync::Arc;

use serde::Deserialize;

use super::{PolicyTargetReference, SessionPersistence};
use crate::manifest::meta::{Metadata, null_is_default};

/// What is asked of the traffic to Services.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BackendTrafficPolicy {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: Metadata,
    /// Which Services, and what.
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: BackendTrafficPolicySpec,
}

/// `XBackendTrafficPolicy.spec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTrafficPolicySpec {
    /// Services of the same namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub target_refs: Vec<PolicyTargetReference>,
    /// How many retries.
    #[serde(default)]
    pub retry_constraint: Option<RetryConstraint>,
    /// Whether clients stay with their endpoint.
    #[serde(default)]
    pub session_persistence: Option<SessionPersistence>,
}

/// `retryConstraint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryConstraint {
    /// Share of the traffic.
    #[serde(default, deserialize_with = "null_is_default")]
    pub budget: RetryBudget,
    /// What is allowed in any case.
    #[serde(default, deserialize_with = "null_is_default")]
    pub min_retry_rate: RequestRate,
}

/// `retryConstraint.budget`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RetryBudget {
    /// 0 to 100; 20 if absent.
    pub percent: i64,
    /// `10s` if absent.
    pub interval: Arc<str>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { percent: 20, interval: "10s".into() }
    }
}

/// `retryConstraint.minRetryRate`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RequestRate {
    /// 10 if absent.
    pub count: i64,
    /// `1s` if absent.
    pub interval: Arc<str>,
}

impl Default for RequestRate {
    fn default() -> Self {
        Self { count: 10, interval: "1s".into() }
    }
}
