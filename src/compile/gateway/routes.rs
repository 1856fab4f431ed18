//! Routes of every kind, attached and compiled, the oldest first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::attach::{Attaching, Attachment, Parent, Parents, merged};
use super::gateways::OwnGateway;
use super::http_route::Compiled;
use super::listener::{OwnListener, host};
use super::listener_sets::OwnListenerSet;
use super::targets::{Targets, filters_with_client, with_client};
use super::{Context, ServicePolicies, Verdict, grpc_route, http_route, stream_route};
use crate::compile::ingress::Refused;
use crate::compile::order::Seniority;
use crate::compile::report::Subject;
use crate::manifest::gateway::{GrpcRoute, HttpRoute};
use crate::manifest::{Code, Kind, Metadata, ObjectKey, ObjectRef};
use crate::snapshot::matching::Predicates;
use crate::snapshot::{HostMatch, MatchPath, Rule};
use crate::store::Stored;

/// What became of all routes.
#[derive(Debug)]
pub(super) struct Routes<'a> {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) policies: ServicePolicies<'a>,
    /// Through which Gateways each Service is reached.
    pub(super) used: BTreeMap<ObjectKey, BTreeSet<usize>>,
}

/// What became of one route.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) route: ObjectRef,
    pub(super) generation: i64,
    pub(super) parents: Vec<Parent>,
    pub(super) unresolved: Option<Verdict>,
    /// Why some of its rules cannot be carried out.
    pub(super) invalid: Option<Verdict>,
    /// Whether that is all of them.
    pub(super) all_invalid: bool,
}

/// Attaches and compiles every route.
pub(super) fn compile<'a>(
    gateways: &[OwnGateway<'a>],
    sets: &[OwnListenerSet<'a>],
    listeners: &mut [OwnListener<'a>],
    policies: ServicePolicies<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Routes<'a> {
    let mut compiler = Compiler {
        gateways,
        parents: Parents::new(gateways, sets, listeners, context.objects),
        targets: Targets::new(policies),
        used: BTreeMap::new(),
        outcomes: Vec::new(),
        context,
    };
    compiler.http(listeners);
    stream_route::compile(&mut compiler, listeners);
    shadowed(listeners, compiler.context);
    let Compiler { targets, used, outcomes, .. } = compiler;
    Routes { outcomes, policies: targets.policies, used }
}

/// What compiling routes needs.
pub(super) struct Compiler<'a, 'r, 'b, 'c> {
    pub(super) gateways: &'r [OwnGateway<'a>],
    parents: Parents<'r, 'a>,
    pub(super) targets: Targets<'a>,
    used: BTreeMap<ObjectKey, BTreeSet<usize>>,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) context: &'r mut Context<'a, 'b, 'c>,
}

/// An HTTPRoute or GRPCRoute: they share listeners.
enum Written<'a> {
    Http(&'a HttpRoute),
    Grpc(&'a GrpcRoute),
}

impl<'a> Compiler<'a, '_, '_, '_> {
    /// Attaches a route of any kind.
    pub(super) fn attach(
        &mut self,
        kind: Kind,
        subject: Subject<'a>,
        parents: &'a [crate::manifest::gateway::ParentReference],
        hostnames: &'a [Arc<str>],
        listeners: &[OwnListener<'a>],
    ) -> Vec<Parent> {
        let mut hosts = Vec::with_capacity(hostnames.len());
        for (place, written) in hostnames.iter().enumerate() {
            match named_host(written) {
                Ok(host) => hosts.push(host),
                Err(refused) => {
                    let field = format!("spec.hostnames[{place}]");
                    self.context.findings.push(refused.finding(subject, &field));
                }
            }
        }
        if parents.is_empty() {
            let message = "the route names no parent: it is not served";
            let mut finding = subject.warning(Code::MissingParent, "spec.parentRefs", message);
            finding.help = self.gateways.first().map(|it| format!("there is Gateway {}", it.key));
            self.context.findings.push(finding);
        }
        let has_hosts = !hostnames.is_empty();
        let route = Attaching { kind, subject, parents, hosts, has_hosts };
        self.parents.attach(&route, listeners, self.context)
    }

    /// Remembers what came of a route, which Services it leads to through which Gateway.
    pub(super) fn conclude(
        &mut self,
        subject: Subject<'a>,
        metadata: &Metadata,
        parents: Vec<Parent>,
        attachments: &[Attachment],
        listeners: &[OwnListener<'a>],
        compiled: &Compiled,
    ) {
        let resolved = self.targets.take();
        let gateways: BTreeSet<_> = attachments
            .iter()
            .filter_map(|it| listeners.get(it.listener))
            .map(|it| it.gateway)
            .collect();
        for service in resolved.services {
            self.used.entry(service).or_default().extend(&gateways);
        }
        self.outcomes.push(Outcome {
            route: subject.reference(),
            generation: metadata.generation.unwrap_or_default(),
            parents,
            unresolved: resolved.unresolved,
            invalid: compiled.invalid.clone(),
            all_invalid: compiled.all_invalid,
        });
    }

    fn http(&mut self, listeners: &mut [OwnListener<'a>]) {
        let objects = self.context.objects;
        let mut routes: Vec<(Subject<'a>, &'a Metadata, Written<'a>)> = Vec::new();
        for (key, stored) in &objects.http_routes {
            let subject = Subject::new(Kind::HttpRoute, key, stored);
            routes.push((subject, &stored.object.metadata, Written::Http(&stored.object)));
        }
        for (key, stored) in &objects.grpc_routes {
            let subject = Subject::new(Kind::GrpcRoute, key, stored);
            routes.push((subject, &stored.object.metadata, Written::Grpc(&stored.object)));
        }
        routes.sort_by_cached_key(|(subject, metadata, _)| Seniority::of(metadata, subject.key()));
        for (subject, metadata, written) in routes {
            self.http_or_grpc(subject, metadata, &written, listeners);
        }
    }

    fn http_or_grpc(
        &mut self,
        subject: Subject<'a>,
        metadata: &'a Metadata,
        written: &Written<'a>,
        listeners: &mut [OwnListener<'a>],
    ) {
        let (kind, refs, hostnames) = match written {
            Written::Http(it) => (Kind::HttpRoute, &it.spec.parent_refs, &it.spec.hostnames),
            Written::Grpc(it) => (Kind::GrpcRoute, &it.spec.parent_refs, &it.spec.hostnames),
        };
        let mut parents = self.attach(kind, subject, refs, hostnames, listeners);
        self.refuse_other_kind(kind, subject, &mut parents, listeners);
        if parents.is_empty() {
            return;
        }
        let compiled = match written {
            Written::Http(it) => http_route::compile(it, subject, &mut self.targets, self.context),
            Written::Grpc(it) => grpc_route::compile(it, subject, &mut self.targets, self.context),
        };
        let attachments = merged(&parents);
        for attachment in &attachments {
            let Some(listener) = listeners.get_mut(attachment.listener) else { continue };
            listener.attached += 1;
            let client = self.gateways.get(listener.gateway);
            let client = client.and_then(|it| it.client_certificate.as_ref()?.as_ref().ok());
            for host in &attachment.hosts {
                listener.hold(host, &subject.reference());
                let rules = compiled.rules.iter().map(|rule| instance(rule, host, client));
                listener.rules.extend(rules);
            }
        }
        self.conclude(subject, metadata, parents, &attachments, listeners, &compiled);
    }

    /// A host of a listener belongs to HTTPRoutes or to GRPCRoutes: the older one decides
    /// (Gateway API, `GRPCRoute.spec.hostnames`). The younger stays with its other listeners.
    fn refuse_other_kind(
        &mut self,
        kind: Kind,
        subject: Subject<'a>,
        parents: &mut [Parent],
        listeners: &[OwnListener<'a>],
    ) {
        for (place, parent) in parents.iter_mut().enumerate() {
            let mut held = None;
            parent.attachments.retain(|attachment| {
                let listener = listeners.get(attachment.listener);
                let holder =
                    listener.and_then(|it| it.holder_of_other_kind(kind, &attachment.hosts));
                held = held.take().or_else(|| holder.cloned());
                holder.is_none()
            });
            let Some((host, holder)) = held else { continue };
            let message =
                format!("host {host} of the listener belongs to {holder}, which is older");
            let field = format!("spec.parentRefs[{place}]");
            let finding = subject.error(Code::Conflict, &field, message.as_str());
            let help = "give the HTTPRoute and the GRPCRoute hostnames of their own";
            self.context.findings.push(finding.help(help));
            if parent.attachments.is_empty() {
                parent.refused = Some(Verdict::new("HostnameConflict", message));
            }
        }
    }
}

/// A host that is written; none would be every host, which is said by leaving it away.
fn named_host(written: &str) -> Result<HostMatch, Refused> {
    match written {
        "" => Err(Refused::because("the host is empty: leave it away for all")),
        written => host(written),
    }
}

/// A rule for a host, as the Gateway speaks to backends.
fn instance(
    rule: &Rule,
    host: &HostMatch,
    client: Option<&Arc<crate::snapshot::Certificate>>,
) -> Arc<Rule> {
    let mut rule = Rule { host: host.clone(), ..rule.clone() };
    if let Some(client) = client {
        with_client(&mut rule.action, client);
        filters_with_client(&mut rule.filters, client);
    }
    Arc::new(rule)
}

/// Rules that an earlier one shadows completely: same host, same path, same predicates.
fn shadowed(listeners: &[OwnListener<'_>], context: &mut Context<'_, '_, '_>) {
    let mut said = BTreeSet::new();
    for listener in listeners {
        type Claim<'r> = (&'r HostMatch, &'r MatchPath, &'r Predicates);
        let mut first: HashMap<Claim<'_>, &Arc<Rule>, RandomState> = HashMap::default();
        for rule in &listener.rules {
            let holder = first.entry((&rule.host, &rule.path, &rule.predicates)).or_insert(rule);
            if Arc::ptr_eq(holder, rule) || !said.insert((rule.route.clone(), rule.field.clone())) {
                continue;
            }
            let message = format!(
                "no request comes here: {} takes the same at {} of {}",
                holder.field, holder.route, listener.spec.name
            );
            let finding = crate::manifest::Finding::warning(
                Code::NeverMatches,
                &rule.origin,
                format!("{message} ({} {})", rule.host, rule.path),
            );
            context.findings.push(finding.about(rule.route.clone()).at(rule.field.to_string()));
        }
    }
}

/// The key and metadata of what is stored, the oldest first.
pub(super) fn by_age<'a, T>(
    stored: impl Iterator<Item = (&'a ObjectKey, &'a Stored<T>)>,
    metadata: impl Fn(&'a T) -> &'a Metadata,
) -> Vec<(&'a ObjectKey, &'a Stored<T>)>
where
    T: 'a,
{
    let mut all: Vec<_> = stored.collect();
    all.sort_by_cached_key(|(key, it)| Seniority::of(metadata(&it.object), key));
    all
}
