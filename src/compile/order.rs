//! Who wins where objects compete.

use std::sync::Arc;

use crate::manifest::{Metadata, ObjectKey};

/// The older object first, then by namespace and name (as the Gateway API defines it). An object
/// without a creation time is younger than any with one.
pub(super) type Precedence = (bool, Option<Arc<str>>, ObjectKey);

/// The precedence of an object. RFC 3339 times in UTC compare as text.
pub(super) fn precedence(metadata: &Metadata) -> Precedence {
    let created = metadata.creation_timestamp.clone();
    (created.is_none(), created, metadata.key())
}
