//! Label selectors (meta/v1).

use crate::manifest::ObjectKey;
use crate::manifest::meta::{LabelRequirement, LabelSelector};
use crate::store::Objects;

/// Whether all of the requirements hold. An empty selector selects everything.
pub(super) fn selects<'a>(
    selector: &LabelSelector,
    label: impl Fn(&str) -> Option<&'a str>,
) -> bool {
    let has_all = selector.match_labels.iter().all(|(name, value)| label(name) == Some(value));
    has_all && selector.match_expressions.iter().all(|it| holds(it, label(&it.key)))
}

/// Whether a label is as a requirement has it; `None`: there is no such label.
pub(super) fn holds(requirement: &LabelRequirement, value: Option<&str>) -> bool {
    let is_listed = |value: &str| requirement.values.iter().any(|it| **it == *value);
    match &*requirement.operator {
        "In" => value.is_some_and(is_listed),
        "NotIn" => !value.is_some_and(is_listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// The value of a label of a namespace. Every namespace has its name as a label, whether it is
/// written or not, as the API server sees to it.
pub(super) fn namespace_label<'a>(
    objects: &'a Objects,
    namespace: &'a str,
    label: &str,
) -> Option<&'a str> {
    if label == "kubernetes.io/metadata.name" {
        return Some(namespace);
    }
    objects.namespaces.get(&ObjectKey::cluster(namespace))?.object.metadata.label(label)
}
