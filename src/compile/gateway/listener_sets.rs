//! ListenerSets of our Gateways (GEP-1713), and whether the Gateway lets them attach.

use std::collections::BTreeMap;

use super::allowed::allows;
use super::gateways::OwnGateway;
use super::{Context, Verdict};
use crate::compile::order::Seniority;
use crate::compile::report::Subject;
use crate::manifest::gateway::{GROUP, ListenerSet, ListenerSetSpec};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::store::Stored;

/// A ListenerSet whose Gateway is ours.
#[derive(Debug)]
pub(super) struct OwnListenerSet<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) stored: &'a Stored<ListenerSet>,
    /// The place of its Gateway.
    pub(super) gateway: usize,
    /// Why it is not accepted.
    pub(super) refused: Option<Verdict>,
}

impl<'a> OwnListenerSet<'a> {
    pub(super) fn spec(&self) -> &'a ListenerSetSpec {
        &self.stored.object.spec
    }

    pub(super) fn subject(&self) -> Subject<'a> {
        Subject::new(Kind::ListenerSet, self.key, self.stored)
    }

    pub(super) fn generation(&self) -> i64 {
        self.stored.object.metadata.generation.unwrap_or_default()
    }
}

/// Those of our Gateways, the oldest first.
pub(super) fn collect<'a>(
    gateways: &[OwnGateway<'a>],
    context: &mut Context<'a, '_, '_>,
) -> Vec<OwnListenerSet<'a>> {
    let places = gateways.iter().enumerate().map(|(place, it)| (it.key, place));
    let places: BTreeMap<_, _> = places.collect();
    let mut sets = Vec::new();
    for (key, stored) in &context.objects.listener_sets {
        let wanted = parent(key, stored, context);
        if let Some(gateway) = wanted.and_then(|it| places.get(&it).copied()) {
            sets.push(OwnListenerSet { key, stored, gateway, refused: None });
        }
    }
    sets.sort_by_cached_key(|it| Seniority::of(&it.stored.object.metadata, it.key));
    for set in &mut sets {
        let Some(gateway) = gateways.get(set.gateway) else { continue };
        set.refused = refused(set, gateway, context);
    }
    sets
}

/// The Gateway that it names, ours or not.
fn parent<'a>(
    key: &'a ObjectKey,
    stored: &'a Stored<ListenerSet>,
    context: &mut Context<'a, '_, '_>,
) -> Option<ObjectKey> {
    let subject = Subject::new(Kind::ListenerSet, key, stored);
    let Some(wanted) = &stored.object.spec.parent_ref else {
        let finding = subject.error(Code::BadValue, "spec", "parentRef is missing");
        context.findings.push(finding);
        return None;
    };
    let namespace = wanted.namespace.as_ref().unwrap_or(&key.namespace).clone();
    let gateway = ObjectKey { namespace, name: wanted.name.clone() };
    if *wanted.group != *GROUP || &*wanted.kind != "Gateway" {
        let message = format!("a ListenerSet attaches to a Gateway, not to a {}", wanted.kind);
        context.findings.push(subject.error(Code::BadValue, "spec.parentRef.kind", message));
        return None;
    }
    if context.references.gateway(&gateway).is_none() {
        let message = format!("Gateway {gateway} does not exist");
        let mut finding = subject.error(Code::MissingParent, "spec.parentRef.name", message);
        let names = context.objects.gateways.keys().map(|key| &*key.name);
        finding.help = context.findings.did_you_mean(&gateway.name, names);
        context.findings.push(finding);
    }
    Some(gateway)
}

fn refused<'a>(
    set: &OwnListenerSet<'a>,
    gateway: &OwnGateway<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Option<Verdict> {
    let rule = &gateway.spec().allowed_listeners.namespaces;
    let (own, other) = (&gateway.key.namespace, &set.key.namespace);
    if !allows(rule, "None", own, other, context.references) {
        let message =
            format!("Gateway {} lets no ListenerSet of namespace {other} attach", gateway.key);
        let finding = set.subject().error(Code::NotAttached, "spec.parentRef", message.as_str());
        let help =
            "set spec.allowedListeners.namespaces.from of the Gateway: Same, All or Selector";
        context.findings.push(finding.help(help));
        return Some(Verdict::new("NotAllowed", message));
    }
    let refused = gateway.refused.as_ref()?;
    let message = format!("Gateway {} is not accepted: {}", gateway.key, refused.message);
    Some(Verdict::new("ParentNotAccepted", message))
}
