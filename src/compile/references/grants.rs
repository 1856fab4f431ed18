//! Who may name what across namespaces (GEP-709 ReferenceGrant).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::gateway::ReferenceGrantSpec;
use crate::manifest::{Kind, ObjectKey};
use crate::store::Objects;

/// The object that holds a reference, as far as grants ask.
#[derive(Clone, Copy, Debug)]
pub(in crate::compile) struct Referrer<'a> {
    pub(in crate::compile) kind: Kind,
    pub(in crate::compile) namespace: &'a Arc<str>,
}

/// What is named.
#[derive(Clone, Copy, Debug)]
pub(in crate::compile) struct Named<'a> {
    pub(in crate::compile) kind: Kind,
    pub(in crate::compile) key: &'a ObjectKey,
}

/// Every ReferenceGrant, by the namespace that it opens.
#[derive(Debug)]
pub(super) struct Grants<'a>(BTreeMap<&'a str, Vec<&'a ReferenceGrantSpec>>);

impl<'a> Grants<'a> {
    pub(super) fn new(objects: &'a Objects) -> Self {
        let mut grants: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (key, stored) in &objects.reference_grants {
            grants.entry(&key.namespace).or_default().push(&stored.object.spec);
        }
        Self(grants)
    }

    /// Within a namespace everything may be named; across, some grant must list both ends.
    pub(super) fn permit(&self, from: Referrer<'_>, to: Named<'_>) -> bool {
        if *from.namespace == to.key.namespace {
            return true;
        }
        let grants = self.0.get(&*to.key.namespace);
        grants.into_iter().flatten().any(|grant| is_from(grant, from) && is_to(grant, to))
    }
}

fn is_from(grant: &ReferenceGrantSpec, from: Referrer<'_>) -> bool {
    grant.from.iter().any(|it| {
        *it.group == *from.kind.group()
            && *it.kind == *from.kind.name()
            && it.namespace == *from.namespace
    })
}

fn is_to(grant: &ReferenceGrantSpec, to: Named<'_>) -> bool {
    grant.to.iter().any(|it| {
        let name = it.name.as_ref().filter(|name| !name.is_empty());
        *it.group == *to.kind.group()
            && *it.kind == *to.kind.name()
            && name.is_none_or(|name| *name == to.key.name)
    })
}

/// The manifest that would permit it, on one line.
pub(super) fn missing_grant(from: Referrer<'_>, to: Named<'_>) -> String {
    let (from_group, from_kind) = (from.kind.group(), from.kind);
    let (to_group, to_kind, to_name) = (to.kind.group(), to.kind, &to.key.name);
    let quoted = |group: &str| if group.is_empty() { "\"\"".to_owned() } else { group.to_owned() };
    format!(
        "allow it with {{apiVersion: gateway.networking.k8s.io/v1, kind: ReferenceGrant, \
         metadata: {{name: {from_namespace}-to-{to_name}, namespace: {to_namespace}}}, \
         spec: {{from: [{{group: {from_group}, kind: {from_kind}, namespace: {from_namespace}}}], \
         to: [{{group: {to_group}, kind: {to_kind}, name: {to_name}}}]}}}}",
        from_namespace = from.namespace,
        to_namespace = to.key.namespace,
        from_group = quoted(from_group),
        to_group = quoted(to_group),
    )
}
