//! The status of every object of the group that is ours.

use std::collections::{BTreeMap, BTreeSet};

use super::class::{self, Classes};
use super::gateways::OwnGateway;
use super::listener::{OwnListener, by_owner};
use super::listener_sets::OwnListenerSet;
use super::policies::OwnPolicy;
use super::routes::{Outcome, Routes};
use super::{Context, Owner, Verdict, features};
use crate::compile::settings::GATEWAY_CONTROLLER;
use crate::compile::status::{
    Condition, ListenerStatus, PolicyAncestorStatus, RouteParentStatus, Status, StatusAddress,
    SupportedKind,
};
use crate::manifest::gateway::{GROUP, ParentReference};
use crate::manifest::{Kind, ObjectRef};
use crate::snapshot::ClientAuthMode;

/// Reports all of them.
pub(super) fn report(
    classes: &Classes<'_, '_>,
    gateways: &[OwnGateway<'_>],
    sets: &[OwnListenerSet<'_>],
    listeners: &[OwnListener<'_>],
    routes: &Routes<'_>,
    context: &mut Context<'_, '_, '_>,
) {
    for (key, stored) in classes.ours() {
        class::report(key, stored, context);
        let generation = stored.object.metadata.generation.unwrap_or_default();
        let refused = class::refused(&stored.object);
        let status = Status::GatewayClass {
            conditions: vec![
                condition("Accepted", "Accepted", refused.as_ref(), generation),
                Condition::yes("SupportedVersion", "SupportedVersion", generation),
            ],
            supported_features: features::supported(),
        };
        context.findings.status(ObjectRef::new(Kind::GatewayClass, key.clone()), status);
    }
    let places = by_owner(listeners);
    let of = |owner: Owner| -> Vec<&OwnListener<'_>> {
        let places = places.get(&owner).into_iter().flatten();
        places.filter_map(|place| listeners.get(*place)).collect()
    };
    let mut attached: BTreeMap<usize, usize> = BTreeMap::new();
    for (place, set) in sets.iter().enumerate() {
        let is_valid = of(Owner::Set(place)).iter().any(|it| it.is_programmed());
        if set.refused.is_none() && is_valid {
            *attached.entry(set.gateway).or_default() += 1;
        }
    }
    for (place, gateway) in gateways.iter().enumerate() {
        let attached = attached.get(&place).copied().unwrap_or_default();
        let status = of_gateway(gateway, &of(Owner::Gateway(place)), attached);
        let object = ObjectRef::new(Kind::Gateway, gateway.key.clone());
        context.findings.status(object, status);
    }
    for (place, set) in sets.iter().enumerate() {
        let Some(gateway) = gateways.get(set.gateway) else { continue };
        let status = of_set(set, gateway, &of(Owner::Set(place)));
        context.findings.status(ObjectRef::new(Kind::ListenerSet, set.key.clone()), status);
    }
    for outcome in &routes.outcomes {
        context.findings.status(outcome.route.clone(), of_route(outcome));
    }
    for policy in &routes.policies.tls.all {
        let object = ObjectRef::new(Kind::BackendTlsPolicy, policy.key.clone());
        context.findings.status(object, of_policy(policy, routes, gateways));
    }
}

/// A condition that holds unless something stands against it.
fn condition(
    kind: &'static str,
    reason: &'static str,
    refused: Option<&Verdict>,
    generation: i64,
) -> Condition {
    match refused {
        None => Condition::yes(kind, reason, generation),
        Some(it) => Condition::no(kind, it.reason, it.message.as_str(), generation),
    }
}

fn of_gateway(
    gateway: &OwnGateway<'_>,
    listeners: &[&OwnListener<'_>],
    attached_listener_sets: usize,
) -> Status {
    let generation = gateway.generation();
    let mut conditions = vec![accepted(gateway, listeners), programmed(gateway, listeners)];
    if gateway.refused.is_none() {
        conditions.push(resolved(gateway, listeners));
    }
    let is_insecure = |it: &&&OwnListener<'_>| {
        let mode = it.client_auth.as_ref().map(|auth| auth.mode);
        mode == Some(ClientAuthMode::AllowInsecureFallback)
    };
    if listeners.iter().any(|it| is_insecure(&it)) {
        let kind = "InsecureFrontendValidationMode";
        conditions.push(Condition::yes(kind, "ConfigurationChanged", generation));
    }
    let address = |ip: &std::net::IpAddr| StatusAddress { kind: "IPAddress", value: *ip };
    Status::Gateway {
        addresses: gateway.addresses.iter().map(address).collect(),
        conditions,
        listeners: listeners.iter().map(|it| of_listener(it, gateway, generation)).collect(),
        attached_listener_sets,
    }
}

fn accepted(gateway: &OwnGateway<'_>, listeners: &[&OwnListener<'_>]) -> Condition {
    let generation = gateway.generation();
    if let Some(refused) = &gateway.refused {
        return Condition::no("Accepted", refused.reason, refused.message.as_str(), generation);
    }
    let mut refused = listeners.iter().filter_map(|it| it.refused.as_ref());
    let Some(first) = refused.next() else {
        return Condition::yes("Accepted", "Accepted", generation);
    };
    let any = listeners.iter().any(|it| it.is_accepted());
    Condition {
        kind: "Accepted",
        holds: any,
        reason: "ListenersNotValid",
        message: first.message.clone(),
        observed_generation: generation,
    }
}

fn programmed(gateway: &OwnGateway<'_>, listeners: &[&OwnListener<'_>]) -> Condition {
    let generation = gateway.generation();
    let no = |reason, message: &str| Condition::no("Programmed", reason, message, generation);
    if let Some(refused) = &gateway.refused {
        return no("Invalid", &refused.message);
    }
    if let Some(unusable) = &gateway.unusable {
        return no(unusable.reason, &unusable.message);
    }
    if !listeners.is_empty() && !listeners.iter().any(|it| it.is_programmed()) {
        return no("Invalid", "no listener can be served");
    }
    Condition::yes("Programmed", "Programmed", generation)
}

fn resolved(gateway: &OwnGateway<'_>, listeners: &[&OwnListener<'_>]) -> Condition {
    let generation = gateway.generation();
    if let Some(Err(verdict)) = &gateway.client_certificate {
        let message = verdict.message.as_str();
        return Condition::no("ResolvedRefs", verdict.reason, message, generation);
    }
    match listeners.iter().find_map(|it| it.unresolved.as_ref()) {
        Some(verdict) => {
            let message = verdict.message.as_str();
            Condition::no("ResolvedRefs", "ListenersNotResolved", message, generation)
        }
        None => Condition::yes("ResolvedRefs", "ResolvedRefs", generation),
    }
}

fn of_listener(
    listener: &OwnListener<'_>,
    gateway: &OwnGateway<'_>,
    generation: i64,
) -> ListenerStatus {
    let refused = listener.refused.as_ref();
    let conflict = refused.filter(|_| listener.is_conflicted);
    let in_the_way = match (conflict, refused.or(listener.unusable.as_ref())) {
        (Some(conflict), _) => Some(conflict.clone()),
        (None, Some(it)) => Some(Verdict::new("Invalid", it.message.as_str())),
        (None, None) if gateway.listens_at().is_empty() => {
            Some(Verdict::new("Pending", "the Gateway has no address"))
        }
        (None, None) => None,
    };
    let mut conditions = vec![
        condition("Accepted", "Accepted", refused, generation),
        condition("Programmed", "Programmed", in_the_way.as_ref(), generation),
        condition("ResolvedRefs", "ResolvedRefs", listener.unresolved.as_ref(), generation),
        match conflict {
            Some(it) => Condition {
                holds: true,
                ..Condition::no("Conflicted", it.reason, it.message.as_str(), generation)
            },
            None => Condition::no("Conflicted", "NoConflicts", "", generation),
        },
    ];
    if let Some(it) = &listener.overlaps {
        let overlapping =
            Condition::no("OverlappingTLSConfig", it.reason, it.message.as_str(), generation);
        conditions.push(Condition { holds: true, ..overlapping });
    }
    let kind = |kind: &Kind| SupportedKind { group: GROUP, kind: kind.name() };
    ListenerStatus {
        name: listener.spec.name.clone(),
        supported_kinds: listener.kinds.iter().map(kind).collect(),
        attached_routes: listener.attached,
        conditions,
    }
}

fn of_set(
    set: &OwnListenerSet<'_>,
    gateway: &OwnGateway<'_>,
    listeners: &[&OwnListener<'_>],
) -> Status {
    let generation = set.generation();
    let invalid = || {
        let any = listeners.iter().any(|it| it.is_programmed());
        (!any).then(|| Verdict::new("ListenersNotValid", "none of its listeners can be served"))
    };
    let refused = set.refused.clone().or_else(invalid);
    Status::ListenerSet {
        conditions: vec![
            condition("Accepted", "Accepted", refused.as_ref(), generation),
            condition("Programmed", "Programmed", refused.as_ref(), generation),
        ],
        listeners: listeners.iter().map(|it| of_listener(it, gateway, generation)).collect(),
    }
}

fn of_route(outcome: &Outcome) -> Status {
    let generation = outcome.generation;
    let parent = |parent: &super::attach::Parent| {
        let invalid = outcome.invalid.as_ref();
        let refused = parent.refused.as_ref().or_else(|| invalid.filter(|_| outcome.all_invalid));
        let mut conditions = vec![
            condition("Accepted", "Accepted", refused, generation),
            condition("ResolvedRefs", "ResolvedRefs", outcome.unresolved.as_ref(), generation),
        ];
        if let (Some(it), false) = (invalid, outcome.all_invalid) {
            let message = format!("rules that cannot be carried out fail: {}", it.message);
            let partial = Condition::no("PartiallyInvalid", it.reason, message, generation);
            conditions.push(Condition { holds: true, ..partial });
        }
        RouteParentStatus {
            parent_ref: parent.reference.clone(),
            controller_name: GATEWAY_CONTROLLER,
            conditions,
        }
    };
    Status::Route { parents: outcome.parents.iter().map(parent).collect() }
}

/// A policy has a status for each Gateway through which one of its Services is reached.
fn of_policy(policy: &OwnPolicy<'_>, routes: &Routes<'_>, gateways: &[OwnGateway<'_>]) -> Status {
    let generation = policy.stored.object.metadata.generation.unwrap_or_default();
    let used = policy.services.iter().filter_map(|service| routes.used.get(service));
    let through: BTreeSet<usize> = used.flatten().copied().collect();
    let ancestor = |gateway: &OwnGateway<'_>| PolicyAncestorStatus {
        ancestor_ref: ParentReference {
            group: GROUP.into(),
            kind: "Gateway".into(),
            namespace: Some(gateway.key.namespace.clone()),
            name: gateway.key.name.clone(),
            section_name: None,
            port: None,
        },
        controller_name: GATEWAY_CONTROLLER,
        conditions: vec![
            condition("Accepted", "Accepted", policy.refused.as_ref(), generation),
            condition("ResolvedRefs", "ResolvedRefs", policy.unresolved.as_ref(), generation),
        ],
    };
    let through = through.into_iter().filter_map(|place| gateways.get(place));
    Status::Policy { ancestors: through.map(ancestor).collect() }
}
