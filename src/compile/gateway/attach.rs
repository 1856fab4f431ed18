//! Which route to which listener.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::allowed::allows;
use super::gateways::OwnGateway;
use super::hosts::intersection;
use super::listener::{OwnListener, by_owner};
use super::listener_sets::OwnListenerSet;
use super::{Context, Owner, Verdict};
use crate::compile::report::Subject;
use crate::manifest::gateway::{GROUP, ParentReference};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::HostMatch;
use crate::store::Objects;

/// A route of any kind, as far as attaching asks.
#[derive(Debug)]
pub(super) struct Attaching<'a> {
    pub(super) kind: Kind,
    pub(super) subject: Subject<'a>,
    pub(super) parents: &'a [ParentReference],
    /// Those that can be read.
    pub(super) hosts: Vec<HostMatch>,
    /// Whether any are written.
    pub(super) has_hosts: bool,
}

/// What one of our parents makes of a route.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) reference: ParentReference,
    /// Why it takes nothing of the route.
    pub(super) refused: Option<Verdict>,
    pub(super) attachments: Vec<Attachment>,
}

/// A listener that takes a route, for these hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) listener: usize,
    pub(super) hosts: Vec<HostMatch>,
}

/// What there is to attach to.
#[derive(Debug)]
pub(super) struct Parents<'r, 'a> {
    gateways: &'r [OwnGateway<'a>],
    sets: &'r [OwnListenerSet<'a>],
    gateways_by_key: BTreeMap<&'a ObjectKey, usize>,
    sets_by_key: BTreeMap<&'a ObjectKey, usize>,
    /// The places of their listeners.
    listeners: BTreeMap<Owner, Vec<usize>>,
    /// The first Gateway of each name, ours or not.
    by_name: BTreeMap<&'a str, &'a ObjectKey>,
}

impl<'r, 'a> Parents<'r, 'a> {
    pub(super) fn new(
        gateways: &'r [OwnGateway<'a>],
        sets: &'r [OwnListenerSet<'a>],
        listeners: &[OwnListener<'a>],
        objects: &'a Objects,
    ) -> Self {
        let by_name = objects.gateways.keys().rev().map(|key| (&*key.name, key)).collect();
        Self {
            gateways,
            sets,
            gateways_by_key: gateways.iter().enumerate().map(|(at, it)| (it.key, at)).collect(),
            sets_by_key: sets.iter().enumerate().map(|(at, it)| (it.key, at)).collect(),
            listeners: by_owner(listeners),
            by_name,
        }
    }

    /// What each of our parents makes of a route; parents of others are theirs to judge.
    pub(super) fn attach(
        &self,
        route: &Attaching<'a>,
        listeners: &[OwnListener<'a>],
        context: &mut Context<'a, '_, '_>,
    ) -> Vec<Parent> {
        let mut parents = Vec::new();
        for (place, reference) in route.parents.iter().enumerate() {
            let field = format!("spec.parentRefs[{place}]");
            let Some(owner) = self.owner(route, reference, &field, context) else { continue };
            let outcome = self.listeners_of(owner, route, reference, listeners, context);
            let (attachments, refused) = match outcome {
                Ok(attachments) => (attachments, None),
                Err((part, verdict)) => {
                    let field = format!("{field}{part}");
                    let message = verdict.message.as_str();
                    context.findings.push(route.subject.error(Code::NotAttached, &field, message));
                    (Vec::new(), Some(verdict))
                }
            };
            parents.push(Parent { reference: reference.clone(), refused, attachments });
        }
        parents
    }

    /// The Gateway or ListenerSet of ours that is named.
    fn owner(
        &self,
        route: &Attaching<'a>,
        reference: &ParentReference,
        field: &str,
        context: &mut Context<'a, '_, '_>,
    ) -> Option<Owner> {
        let namespace = reference.namespace.as_ref();
        let namespace = namespace.unwrap_or_else(|| &route.subject.key().namespace);
        let key = ObjectKey { namespace: namespace.clone(), name: reference.name.clone() };
        let (found, exists) = match (&*reference.group, &*reference.kind) {
            (GROUP, "Gateway") => (
                self.gateways_by_key.get(&key).map(|it| Owner::Gateway(*it)),
                context.references.gateway(&key).is_some(),
            ),
            (GROUP, "ListenerSet") => (
                self.sets_by_key.get(&key).map(|it| Owner::Set(*it)),
                context.references.listener_set(&key).is_some(),
            ),
            ("" | "core", "Service") => {
                let message = "routes of Services (GAMMA) are not carried";
                let finding = route.subject.warning(Code::NotCarried, field, message);
                context.findings.push(finding.help("name a Gateway as the parent"));
                return None;
            }
            (group, kind) => {
                let message = format!("a route attaches to no {kind} of group {group:?}");
                let field = format!("{field}.kind");
                context.findings.push(route.subject.warning(Code::BadValue, &field, message));
                return None;
            }
        };
        if !exists {
            let message = format!("{} {key} does not exist", reference.kind);
            let field = format!("{field}.name");
            let mut finding = route.subject.error(Code::MissingParent, &field, message);
            finding.help = self.nearest(&key, context);
            context.findings.push(finding);
        }
        found
    }

    /// The Gateway that was probably meant: one of a similar name, else one that there is.
    fn nearest(&self, key: &ObjectKey, context: &mut Context<'a, '_, '_>) -> Option<String> {
        if let Some(elsewhere) = self.by_name.get(&*key.name) {
            return Some(format!("set namespace: {}", elsewhere.namespace));
        }
        let names = context.objects.gateways.keys().map(|it| &*it.name);
        let similar = context.findings.did_you_mean(&key.name, names);
        let first = || self.gateways.first().map(|it| format!("there is Gateway {}", it.key));
        similar.or_else(first)
    }

    /// The listeners that take the route; else the reason, which is that of the last step that
    /// one of them came to, with the part of the reference that it is about.
    fn listeners_of(
        &self,
        owner: Owner,
        route: &Attaching<'a>,
        reference: &ParentReference,
        listeners: &[OwnListener<'a>],
        context: &Context<'a, '_, '_>,
    ) -> Result<Vec<Attachment>, (&'static str, Verdict)> {
        let who = owner.name(self.gateways, self.sets);
        if let Some(refused) = self.refusal(owner) {
            let message = format!("{} {who} is not accepted: {}", reference.kind, refused.message);
            return Err(("", Verdict::new("NoMatchingParent", message)));
        }
        let places = self.listeners.get(&owner).into_iter().flatten();
        let all = places.filter_map(|place| Some((*place, listeners.get(*place)?)));
        let section = reference.section_name.as_ref().filter(|name| !name.is_empty());
        let named: Vec<_> =
            all.filter(|(_, it)| section.is_none_or(|name| it.spec.name == *name)).collect();
        if named.is_empty() {
            let section = section.map(|name| &**name).unwrap_or_default();
            let message = format!("{} {who} has no listener {section:?}", reference.kind);
            return Err((".sectionName", Verdict::new("NoMatchingParent", message)));
        }
        let on_port = |it: &OwnListener<'_>| reference.port.is_none_or(|port| it.spec.port == port);
        let named: Vec<_> = named.into_iter().filter(|(_, it)| on_port(it)).collect();
        if named.is_empty() {
            let port = reference.port.unwrap_or_default();
            let message = format!("{} {who} has no such listener on port {port}", reference.kind);
            return Err((".port", Verdict::new("NoMatchingParent", message)));
        }
        Self::allowed(named, route, context)
    }

    fn allowed(
        named: Vec<(usize, &OwnListener<'a>)>,
        route: &Attaching<'a>,
        context: &Context<'a, '_, '_>,
    ) -> Result<Vec<Attachment>, (&'static str, Verdict)> {
        let namespace = &route.subject.key().namespace;
        let lets = |it: &OwnListener<'a>| {
            let rule = &it.spec.allowed_routes.namespaces;
            let own = &it.subject.key().namespace;
            it.kinds.contains(&route.kind)
                && allows(rule, "Same", own, namespace, context.references)
        };
        let allowed: Vec<_> = named.iter().filter(|(_, it)| lets(it)).collect();
        if allowed.is_empty() {
            let message = refusal_of(&named, route, namespace);
            return Err(("", Verdict::new("NotAllowedByListeners", message)));
        }
        let accepted = allowed.iter().filter(|(_, it)| it.is_accepted());
        let accepted: Vec<_> = accepted.collect();
        if accepted.is_empty() {
            let message = "no listener that would take it is accepted";
            return Err(("", Verdict::new("NoMatchingParent", message)));
        }
        let attachments: Vec<_> = accepted
            .iter()
            .map(|(place, it)| Attachment { listener: *place, hosts: hosts(route, &it.host) })
            .filter(|attachment| !attachment.hosts.is_empty())
            .collect();
        if attachments.is_empty() {
            let own: Vec<_> = accepted.iter().map(|(_, it)| it.host.to_string()).collect();
            let message =
                format!("none of its hostnames is one of the listeners' ({})", own.join(", "));
            return Err(("", Verdict::new("NoMatchingListenerHostname", message)));
        }
        Ok(attachments)
    }

    fn refusal(&self, owner: Owner) -> Option<&Verdict> {
        match owner {
            Owner::Gateway(place) => self.gateways.get(place)?.refused.as_ref(),
            Owner::Set(place) => self.sets.get(place)?.refused.as_ref(),
        }
    }
}

fn refusal_of(
    named: &[(usize, &OwnListener<'_>)],
    route: &Attaching<'_>,
    namespace: &Arc<str>,
) -> String {
    let carries = |(_, it): &&(usize, &OwnListener<'_>)| it.kinds.contains(&route.kind);
    match named.iter().find(carries) {
        Some((_, it)) => format!(
            "listener {:?} takes no route of namespace {namespace} \
             (allowedRoutes.namespaces.from: {})",
            it.spec.name,
            it.spec.allowed_routes.namespaces.from.as_deref().unwrap_or("Same")
        ),
        None => {
            let kinds = named.iter().flat_map(|(_, it)| &it.kinds).map(|kind| kind.name());
            let mut kinds: Vec<_> = kinds.collect();
            kinds.dedup();
            format!("the listeners take {}, not {}", kinds.join(", "), route.kind)
        }
    }
}

/// The hosts of a route on a listener.
fn hosts(route: &Attaching<'_>, own: &HostMatch) -> Vec<HostMatch> {
    if !route.has_hosts {
        return vec![own.clone()];
    }
    let mut hosts: Vec<_> = route.hosts.iter().filter_map(|it| intersection(it, own)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// All attachments of a route, one for each listener: two parent references may name the same.
pub(super) fn merged(parents: &[Parent]) -> Vec<Attachment> {
    let mut merged: BTreeMap<usize, BTreeSet<HostMatch>> = BTreeMap::new();
    for attachment in parents.iter().flat_map(|parent| &parent.attachments) {
        merged.entry(attachment.listener).or_default().extend(attachment.hosts.iter().cloned());
    }
    let attachment = |(listener, hosts): (usize, BTreeSet<HostMatch>)| Attachment {
        listener,
        hosts: hosts.into_iter().collect(),
    };
    merged.into_iter().map(attachment).collect()
}
