//! What rules do to requests and responses on their way.
//!
//! In: the filters of the snapshot. Out: changed heads, answers of rutter's own (redirects,
//! preflights), copies of requests, questions about them. Called by `decide`, `exchange` and where
//! heads are written.
//!
//! Invariant: a rule without filters costs nothing: heads are written as always and gone over
//! again only if there is something to change.
//! Invariant: no filter touches what frames a message or belongs to one hop.

pub(super) mod cors;
pub(super) mod external_auth;
pub(super) mod mirror;
pub(super) mod redirect;

mod fields;

pub(super) use fields::{change_head, change_map, change_section, may_change, written};

use crate::snapshot::HeaderModifier;

/// What is changed in a request.
#[derive(Debug, Default)]
pub(super) struct Changes<'r> {
    /// Changes of its fields, in order.
    pub(super) modifiers: Vec<&'r HeaderModifier>,
    /// Its new host.
    pub(super) host: Option<&'r str>,
    /// Its new path.
    pub(super) path: Option<String>,
}
