//! Who comes first where two objects want the same.

use std::cmp::Reverse;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::manifest::{Metadata, ObjectKey};

/// Place of an object in every order of precedence: the older first, then by namespace and name,
/// as the Gateway API orders routes. Objects without a creation time (those of a directory, which
/// no API server has seen) come after those with one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seniority<'a> {
    created: Reverse<Option<Reverse<OffsetDateTime>>>,
    key: &'a ObjectKey,
}

impl<'a> Seniority<'a> {
    pub(super) fn of(metadata: &Metadata, key: &'a ObjectKey) -> Self {
        Self { created: Reverse(Self::created(metadata).map(Reverse)), key }
    }

    /// Namespace and name.
    pub(super) fn key(&self) -> &'a ObjectKey {
        self.key
    }

    /// When the API server first saw the object.
    pub(super) fn created(metadata: &Metadata) -> Option<OffsetDateTime> {
        OffsetDateTime::parse(metadata.creation_timestamp.as_deref()?, &Rfc3339).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(created: Option<&str>) -> Metadata {
        Metadata { creation_timestamp: created.map(Into::into), ..Metadata::default() }
    }

    #[test]
    fn the_older_comes_first_then_the_name_and_those_without_a_time_last() {
        let rows = [
            ("z", Some("2020-01-01T00:00:00Z")),
            ("c", Some("2020-01-01T03:00:00+02:00")),
            ("d", Some("2020-01-01T01:00:00Z")),
            ("a", None),
            ("b", Some("yesterday")),
        ];
        let keys = rows.map(|(name, _)| ObjectKey::new("default", name));
        let order: Vec<_> = rows
            .iter()
            .zip(&keys)
            .map(|((_, created), key)| Seniority::of(&metadata(*created), key))
            .collect();
        assert!(order.is_sorted(), "{order:?}");
    }
}
