//! `allowedRoutes` and `allowedListeners`: who may attach.

use std::sync::Arc;

use super::listener::{OwnListener, Protocol};
use super::{Context, Verdict};
use crate::compile::references::References;
use crate::compile::selector::selects;
use crate::manifest::gateway::{GROUP, RouteNamespaces};
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
        "Selector" => rule.selector.as_ref().is_some_and(|selector| {
            selects(selector, |name| references.namespace_label(namespace, name))
        }),
        _ => false,
    }
}
