//! `allowedRoutes` and `allowedListeners`: who may attach.

use std::sync::Arc;

use super::listener::{OwnListener, Protocol};
use super::{Context, Verdict};
use crate::compile::references::References;
use crate::manifest::gateway::{GROUP, LabelRequirement, LabelSelector, RouteNamespaces};
use crate::manifest::{Code, Kind};

/// Which kinds of routes may attach: those that the protocol can carry, or the named ones among
/// them.
pub(super) fn allowed_kinds(
    listener: &mut OwnListener<'_>,
    protocol: Protocol,
    context: &mut Context<'_, '_, '_>,
) {
    let carried = protocol.kinds();
    let named = &listener.spec.allowed_routes.kinds;
    if named.is_empty() {
        listener.kinds = carried.to_vec();
        return;
    }
    for (place, wanted) in named.iter().enumerate() {
        let is_it = |kind: &&Kind| *wanted.group == *GROUP && *wanted.kind == *kind.name();
        if let Some(kind) = carried.iter().find(is_it) {
            listener.kinds.push(*kind);
            continue;
        }
        let names: Vec<_> = carried.iter().map(|kind| kind.name()).collect();
        let message = format!(
            "{} ({}) cannot attach to protocol {}; what can: {}",
            wanted.kind,
            wanted.group,
            listener.spec.protocol,
            names.join(", ")
        );
        let field = format!("{}.allowedRoutes.kinds[{place}]", listener.field);
        context.findings.push(listener.subject.error(Code::BadValue, &field, message.as_str()));
        listener.unresolved = Some(Verdict::new("InvalidRouteKinds", message));
    }
    if listener.kinds.is_empty() {
        let message = "no kind of route may attach";
        listener.unusable = Some(Verdict::new("Invalid", message));
    }
}

/// Whether objects of `namespace` are among those that an object of `own` namespace allows.
pub(super) fn allows<'a>(
    rule: &RouteNamespaces,
    default: &str,
    own: &Arc<str>,
    namespace: &'a Arc<str>,
    references: &References<'a>,
) -> bool {
    match rule.from.as_deref().unwrap_or(default) {
        "All" => true,
        "Same" => own == namespace,
        "Selector" => rule.selector.as_ref().is_some_and(|it| selects(it, namespace, references)),
        _ => false,
    }
}

/// Labels as meta/v1 has it: all of the requirements. An empty selector selects everything.
fn selects<'a>(selector: &LabelSelector, namespace: &'a str, references: &References<'a>) -> bool {
    let label = |name: &str| references.namespace_label(namespace, name);
    let has_all = selector.match_labels.iter().all(|(name, value)| label(name) == Some(value));
    has_all && selector.match_expressions.iter().all(|it| holds(it, label(&it.key)))
}

/// Whether a label is as a requirement has it; `None`: there is no such label.
pub(in crate::compile) fn holds(requirement: &LabelRequirement, value: Option<&str>) -> bool {
    let is_listed = |value: &str| requirement.values.iter().any(|it| **it == *value);
    match &*requirement.operator {
        "In" => value.is_some_and(is_listed),
        "NotIn" => !value.is_some_and(is_listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}
