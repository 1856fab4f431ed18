//! References across namespaces, against an independent reading of the rules: 100,000 random
//! graphs of tenants, references and grants.

use std::sync::Arc;

use super::now;
use crate::balance::Rng;
use crate::compile::status::Status;
use crate::compile::{Allocations, Settings, compile};
use crate::manifest::core::Secret;
use crate::manifest::gateway::{
    BackendRef, Gateway, GrpcRoute, GrpcRouteRule, HttpRoute, HttpRouteRule, Listener, ListenerTls,
    ObjectReference, ParentReference, ReferenceGrant, ReferenceGrantFrom, ReferenceGrantTo,
    RouteNamespaces,
};
use crate::manifest::service::{Service, ServicePort};
use crate::manifest::{Kind, Metadata, Object, ObjectKey, Origin};
use crate::snapshot::{Action, Snapshot};
use crate::source::Sourced;
use crate::store::Objects;

const GRAPHS: u64 = 100_000;
const TENANTS: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 3] = ["x", "y", "z"];
/// Mostly the right ones, so that many grants matter.
const GROUPS: [&str; 4] =
    ["gateway.networking.k8s.io", "gateway.networking.k8s.io", "gateway.networking.k8s.io", ""];
const FROM_KINDS: [&str; 5] = ["HTTPRoute", "HTTPRoute", "GRPCRoute", "Gateway", "Service"];
const TO_KINDS: [&str; 4] = ["Service", "Service", "Secret", "ConfigMap"];

/// A reference as the model sees it.
#[derive(Clone, Debug)]
struct Reference {
    from_kind: &'static str,
    from: &'static str,
    to_kind: &'static str,
    to: &'static str,
    name: &'static str,
}

/// The rule, word by word: within a namespace always; across, if the target's namespace holds a
/// grant with an entry of `from` that is the referrer's group, kind and namespace, and an entry of
/// `to` that is the target's group and kind, without a name or with its name.
fn is_permitted(reference: &Reference, grants: &[(&'static str, ReferenceGrant)]) -> bool {
    if reference.from == reference.to {
        return true;
    }
    for (namespace, grant) in grants {
        if *namespace != reference.to {
            continue;
        }
        let mut from = false;
        for it in &grant.spec.from {
            from |= &*it.group == "gateway.networking.k8s.io"
                && &*it.kind == reference.from_kind
                && &*it.namespace == reference.from;
        }
        let mut to = false;
        for it in &grant.spec.to {
            let named = match &it.name {
                None => true,
                Some(name) => &**name == reference.name,
            };
            to |= it.group.is_empty() && &*it.kind == reference.to_kind && named;
        }
        if from && to {
            return true;
        }
    }
    false
}

struct Graph {
    objects: Objects,
    services: Vec<(&'static str, &'static str)>,
    grants: Vec<(&'static str, ReferenceGrant)>,
    /// Of rules, in the order of their routes: the name of a route is its number.
    backends: Vec<Reference>,
    certificates: Vec<Reference>,
}

fn one<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len())]
}

fn metadata(namespace: &str, name: &str) -> Metadata {
    Metadata { namespace: namespace.into(), name: name.into(), ..Metadata::default() }
}

fn graph(rng: &mut Rng) -> Graph {
    let mut graph = Graph {
        objects: Objects::default(),
        services: Vec::new(),
        grants: Vec::new(),
        backends: Vec::new(),
        certificates: Vec::new(),
    };
    let mut apply = |object: Object| {
        graph.objects.apply(&Sourced { object, origin: Origin::default(), stale: false });
    };
    for _ in 0..3 {
        let (namespace, name) = (one(rng, &TENANTS), one(rng, &NAMES));
        graph.services.push((namespace, name));
        let mut service = Service { metadata: metadata(namespace, name), ..Service::default() };
        service.spec.cluster_ip = Some("None".into());
        service.spec.ports = vec![ServicePort { port: 80, ..ServicePort::default() }];
        apply(Object::Service(Arc::new(service)));
    }
    for _ in 0..1 + rng.below(4) {
        let namespace = one(rng, &TENANTS);
        let name = format!("g{}", rng.below(3));
        let grant = grant(rng, namespace, &name);
        graph.grants.retain(|(known, it)| *known != namespace || *it.metadata.name != *name);
        graph.grants.push((namespace, grant.clone()));
        apply(Object::ReferenceGrant(Arc::new(grant)));
    }
    apply(Object::Gateway(Arc::new(edge())));
    for number in 0..3 {
        let from_kind = one(rng, &["HTTPRoute", "GRPCRoute"]);
        let (from, to, name) = (one(rng, &TENANTS), one(rng, &TENANTS), one(rng, &NAMES));
        let reference = Reference { from_kind, from, to_kind: "Service", to, name };
        apply(route(&reference, number));
        graph.backends.push(reference);
    }
    let (from, to, name) = (one(rng, &TENANTS), one(rng, &TENANTS), one(rng, &NAMES));
    let reference = Reference { from_kind: "Gateway", from, to_kind: "Secret", to, name };
    apply(Object::Secret(Arc::new(Secret { metadata: metadata(to, name), ..Secret::default() })));
    apply(Object::Gateway(Arc::new(secured(&reference))));
    graph.certificates.push(reference);
    graph
}

fn grant(rng: &mut Rng, namespace: &str, name: &str) -> ReferenceGrant {
    let mut grant =
        ReferenceGrant { metadata: metadata(namespace, name), ..ReferenceGrant::default() };
    for _ in 0..rng.below(4) {
        grant.spec.from.push(ReferenceGrantFrom {
            group: one(rng, &GROUPS).into(),
            kind: one(rng, &FROM_KINDS).into(),
            namespace: one(rng, &TENANTS).into(),
        });
    }
    for _ in 0..rng.below(4) {
        let name = one(rng, &[None, None, Some("x"), Some("y")]);
        grant.spec.to.push(ReferenceGrantTo {
            group: one(rng, &["", "", "", "example.com"]).into(),
            kind: one(rng, &TO_KINDS).into(),
            name: name.map(Into::into),
        });
    }
    grant
}

fn listener(name: &str, port: i64) -> Listener {
    let namespaces = RouteNamespaces { from: Some("All".into()), selector: None };
    let mut listener = Listener { name: name.into(), port, ..Listener::default() };
    listener.protocol = "HTTP".into();
    listener.allowed_routes.namespaces = namespaces;
    listener
}

/// A Gateway that takes routes of every tenant, each on a port of its own.
fn edge() -> Gateway {
    let mut gateway = Gateway { metadata: metadata("infra", "edge"), ..Gateway::default() };
    gateway.spec.gateway_class_name = "rutter".into();
    gateway.spec.listeners = (0..3).map(|it| listener(&format!("l{it}"), 8000 + it)).collect();
    gateway
}

fn secured(reference: &Reference) -> Gateway {
    let mut gateway =
        Gateway { metadata: metadata(reference.from, "secured"), ..Gateway::default() };
    gateway.spec.gateway_class_name = "rutter".into();
    let mut listener = listener("https", 8443);
    listener.protocol = "HTTPS".into();
    let wanted = ObjectReference {
        namespace: Some(reference.to.into()),
        name: reference.name.into(),
        ..ObjectReference::default()
    };
    let certificate_refs = vec![wanted];
    listener.tls = Some(ListenerTls { certificate_refs, ..ListenerTls::default() });
    gateway.spec.listeners = vec![listener];
    gateway
}

fn route(reference: &Reference, number: usize) -> Object {
    let metadata = metadata(reference.from, &format!("r{number}"));
    let parent = ParentReference {
        group: "gateway.networking.k8s.io".into(),
        kind: "Gateway".into(),
        namespace: Some("infra".into()),
        name: "edge".into(),
        section_name: Some(format!("l{number}").into()),
        port: None,
    };
    let backend = BackendRef {
        group: "".into(),
        kind: "Service".into(),
        namespace: Some(reference.to.into()),
        name: reference.name.into(),
        port: Some(80),
        weight: None,
        filters: Vec::new(),
    };
    if reference.from_kind == "GRPCRoute" {
        let mut route = GrpcRoute { metadata, ..GrpcRoute::default() };
        route.spec.parent_refs = vec![parent];
        let rule = GrpcRouteRule {
            matches: vec![Default::default()],
            backend_refs: vec![backend],
            ..GrpcRouteRule::default()
        };
        route.spec.rules = vec![rule];
        return Object::GrpcRoute(Arc::new(route));
    }
    let mut route = HttpRoute { metadata, ..HttpRoute::default() };
    route.spec.parent_refs = vec![parent];
    let rule = HttpRouteRule { backend_refs: vec![backend], ..HttpRouteRule::default() };
    route.spec.rules = vec![rule];
    Object::HttpRoute(Arc::new(route))
}

/// Where the rule of a route leads.
fn target(snapshot: &Snapshot, reference: &Reference, number: usize) -> Option<ObjectKey> {
    let key = ObjectKey::new(reference.from, format!("r{number}"));
    let listeners = snapshot.listeners.values().filter_map(|it| it.serve.http());
    let mut rules = listeners.flat_map(|http| http.rules());
    let rule = rules.find(|rule| rule.route.key == key).expect("every route is attached");
    match &rule.action {
        Action::Forward(shares) => shares[0].backend().map(|it| it.id.service.clone()),
        other @ (Action::Redirect(_) | Action::Fail(_)) => panic!("{other:?}"),
    }
}

#[test]
fn the_resolver_agrees_with_a_literal_reading_of_the_rules_on_random_graphs() {
    let mut granted = 0;
    for seed in 0..GRAPHS {
        let graph = graph(&mut Rng::new(seed));
        let compiled =
            compile(&graph.objects, &Settings::default(), &Allocations::default(), now());
        for (number, reference) in graph.backends.iter().enumerate() {
            let exists = graph.services.contains(&(reference.to, reference.name));
            let permitted = is_permitted(reference, &graph.grants);
            let expected =
                (exists && permitted).then(|| ObjectKey::new(reference.to, reference.name));
            let found = target(&compiled.snapshot, reference, number);
            assert_eq!(found, expected, "seed {seed}: {reference:?} {:?}", graph.grants);
            granted += usize::from(expected.is_some() && reference.from != reference.to);
        }
        for reference in &graph.certificates {
            let key = ObjectKey::new(reference.from, "secured");
            let object = crate::manifest::ObjectRef::new(Kind::Gateway, key);
            let Some(Status::Gateway { listeners, .. }) = compiled.report.statuses.get(&object)
            else {
                panic!("seed {seed}: no status of {object}");
            };
            let conditions = &listeners[0].conditions;
            let resolved = conditions.iter().find(|it| it.kind == "ResolvedRefs");
            let is_refused = resolved.is_some_and(|it| it.reason == "RefNotPermitted");
            let permitted = is_permitted(reference, &graph.grants);
            assert_eq!(is_refused, !permitted, "seed {seed}: {reference:?} {:?}", graph.grants);
            granted += usize::from(permitted && reference.from != reference.to);
        }
    }
    assert!(granted > 1_000, "the graphs must hold grants that matter: {granted}");
}
