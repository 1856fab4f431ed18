//! Session persistence (GEP-1619, experimental).

use std::sync::Arc;

use serde::Deserialize;

/// `sessionPersistence` of a rule or policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// Of the cookie or header field.
    #[serde(default)]
    pub session_name: Option<Arc<str>>,
    /// When a session is over; a duration of GEP-2257.
    #[serde(default)]
    pub absolute_timeout: Option<Arc<str>>,
    /// `Cookie` if absent, or `Header`.
    #[serde(default, rename = "type")]
    pub kind: Option<Arc<str>>,
    /// With `Cookie`.
    #[serde(default)]
    pub cookie_config: Option<CookieConfig>,
}

/// `sessionPersistence.cookieConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CookieConfig {
    /// `Session` if absent, or `Permanent`.
    #[serde(default)]
    pub lifetime_type: Option<Arc<str>>,
}
