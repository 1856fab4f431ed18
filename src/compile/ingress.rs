//! Ingress → rules.
//!
//! Rules stand in the order of their Ingresses (creation time, then namespace/name), then as
//! written: of two rules for the same host and path the first one wins. An invalid host or path
//! costs that rule or path only. A path whose backend cannot be resolved stays a rule, which
//! fails with the reason: a less specific rule must not get its requests.
//!
//! A default backend takes what no rule of any Ingress takes. If there are several, a request
//! goes to that of the Ingress that has a rule for its host, else to the oldest: the API leaves
//! this open, and so nobody gets the requests of another one's host.

mod class;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::manifest::ingress::{
    HttpIngressPath, Ingress, IngressBackend, IngressRule, IngressSpec,
};
use crate::manifest::{Code, Kind, ObjectKey, ObjectRef};
use crate::snapshot::matching::Predicates;
use crate::snapshot::{
    Action, AppProtocol, Backend, HostMatch, MatchPath, RouteTable, Rule, Target, Timeouts,
    WeightedBackend,
};
use crate::store::{Objects, Stored};

use super::gateway::ServicePolicies;
use super::order::Seniority;
use super::references::References;
use super::report::{Findings, Subject, named};
use super::settings::Settings;

pub(super) use values::{Refused, host, path};

/// An Ingress that is ours to serve.
#[derive(Debug)]
pub(super) struct OwnIngress<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) stored: &'a Stored<Ingress>,
}

impl<'a> OwnIngress<'a> {
    pub(super) fn spec(&self) -> &'a IngressSpec {
        &self.stored.object.spec
    }

    pub(super) fn subject(&self) -> Subject<'a> {
        Subject::new(Kind::Ingress, self.key, self.stored)
    }
}

/// The Ingresses of our class, the oldest first.
pub(super) fn ours<'a>(
    objects: &'a Objects,
    settings: &Settings,
    references: &References<'a>,
    findings: &mut Findings,
) -> Vec<OwnIngress<'a>> {
    let classes = class::Classes::new(objects, settings, references);
    let mut ours: Vec<_> = objects
        .ingresses
        .iter()
        .map(|(key, stored)| OwnIngress { key, stored })
        .filter(|ingress| classes.is_ours(ingress, findings))
        .collect();
    ours.sort_by_cached_key(|it| Seniority::of(&it.stored.object.metadata, it.key));
    ours
}

/// The rules of all of them; `None`: there is no Ingress.
pub(super) fn rules(
    ingresses: &[OwnIngress<'_>],
    references: &References<'_>,
    policies: &ServicePolicies<'_>,
    findings: &mut Findings,
) -> Option<Arc<RouteTable>> {
    let (rules, claims) = (Vec::new(), HashMap::default());
    let mut routes = Routes { references, policies, findings, rules, claims };
    let defaults: Vec<_> = ingresses.iter().map(|ingress| routes.add_rules(ingress)).collect();
    for (ingress, hosts) in ingresses.iter().zip(defaults) {
        routes.add_default(ingress, hosts);
    }
    (!ingresses.is_empty()).then(|| Arc::new(RouteTable::new(routes.rules)))
}

struct Routes<'a, 'b> {
    references: &'b References<'a>,
    policies: &'b ServicePolicies<'a>,
    findings: &'b mut Findings,
    rules: Vec<Arc<Rule>>,
    /// Who has a host and path: place in `rules`.
    claims: HashMap<(HostMatch, MatchPath), usize, RandomState>,
}

impl Routes<'_, '_> {
    /// Adds the rules with a path, and gives the hosts that the Ingress is for.
    fn add_rules(&mut self, ingress: &OwnIngress<'_>) -> Vec<HostMatch> {
        let spec = ingress.spec();
        if spec.rules.is_empty() && spec.default_backend.is_none() {
            let message = "the Ingress has neither rules nor a default backend";
            self.findings.push(ingress.subject().error(Code::BadValue, "spec", message));
        }
        let mut hosts = Vec::new();
        for (place, rule) in spec.rules.iter().enumerate() {
            let field = format!("spec.rules[{place}]");
            if let Some(host) = self.host(ingress, rule, &field) {
                self.add_paths(ingress, rule, &host, &field);
                hosts.push(host);
            }
        }
        hosts
    }

    fn host(
        &mut self,
        ingress: &OwnIngress<'_>,
        rule: &IngressRule,
        field: &str,
    ) -> Option<HostMatch> {
        match host(rule.host.as_deref().unwrap_or_default()) {
            Ok(host) => Some(host),
            Err(refused) => {
                self.refuse(ingress, &format!("{field}.host"), refused);
                None
            }
        }
    }

    fn add_paths(
        &mut self,
        ingress: &OwnIngress<'_>,
        rule: &IngressRule,
        host: &HostMatch,
        field: &str,
    ) {
        // Without `http` the rule only names a host, whose requests go to the default backend.
        let Some(http) = &rule.http else { return };
        if http.paths.is_empty() {
            let field = format!("{field}.http.paths");
            self.refuse(ingress, &field, Refused::because("the rule has no path"));
        }
        for (place, path) in http.paths.iter().enumerate() {
            let field = format!("{field}.http.paths[{place}]");
            let Some(matched) = self.path(ingress, path, &field) else { continue };
            let action = self.action(ingress, &path.backend, &format!("{field}.backend"));
            self.claim(ingress, host, &matched, &field);
            self.push(ingress, host.clone(), matched, action, &field);
        }
    }

    fn path(
        &mut self,
        ingress: &OwnIngress<'_>,
        path: &HttpIngressPath,
        field: &str,
    ) -> Option<MatchPath> {
        let subject = ingress.subject();
        let written = path.path.as_deref().unwrap_or_default();
        let kind = path.path_type.as_deref().unwrap_or_default();
        if kind.is_empty() {
            let refused = Refused::because("the path type is missing").or("pathType: Prefix");
            self.refuse(ingress, &format!("{field}.pathType"), refused);
            return None;
        }
        let kind_field = format!("{field}.pathType");
        if !subject.one_of(self.findings, &kind_field, kind, &values::PATH_TYPES) {
            return None;
        }
        let field = format!("{field}.path");
        match values::path(kind, written) {
            Ok(matched) => {
                if let Some(message) = values::never_matches(written) {
                    self.findings.push(subject.warning(Code::NeverMatches, &field, message));
                }
                Some(matched)
            }
            Err(refused) => {
                self.refuse(ingress, &field, refused);
                None
            }
        }
    }

    fn action(
        &mut self,
        ingress: &OwnIngress<'_>,
        backend: &IngressBackend,
        field: &str,
    ) -> Action {
        match self.references.backend(&ingress.key.namespace, backend, self.findings) {
            Ok(backend) => {
                let mut target = Target::plain(backend);
                self.policies.shape(&mut target);
                if let Err(failure) = self.policies.secure(&mut target) {
                    return Action::Fail(failure);
                }
                if target.backend.app_protocol == AppProtocol::Https && target.tls.is_none() {
                    self.warn_of_https(ingress, &target.backend, field);
                }
                let all = WeightedBackend { target: Ok(target), weight: 1, filters: Vec::new() };
                Action::Forward(vec![all])
            }
            Err(unresolved) => {
                self.findings.push(unresolved.finding(ingress.subject(), field));
                Action::Fail(unresolved.failure())
            }
        }
    }

    /// Whom to trust is said by a BackendTLSPolicy.
    fn warn_of_https(&mut self, ingress: &OwnIngress<'_>, backend: &Backend, field: &str) {
        let message = format!(
            "{} speaks HTTPS, no BackendTLSPolicy is for it: it is spoken to in the clear",
            backend.id
        );
        let finding = ingress.subject().warning(Code::UnsupportedBackend, field, message);
        let help = "write a BackendTLSPolicy with its hostname and authorities";
        self.findings.push(finding.help(help));
    }

    /// Says who has the host and path already.
    fn claim(&mut self, ingress: &OwnIngress<'_>, host: &HostMatch, path: &MatchPath, field: &str) {
        let claim = (host.clone(), path.clone());
        let place = *self.claims.entry(claim).or_insert(self.rules.len());
        let Some(first) = self.rules.get(place) else { return };
        let who = named(Kind::Ingress, &first.route.key, &first.origin);
        let message = format!("{path} of host {host} is routed by {who} at {}", first.field);
        let finding = ingress.subject().warning(Code::RouteConflict, field, message);
        let help = "the older Ingress wins, then the first by namespace and name";
        self.findings.push(finding.help(help));
    }

    /// Adds the default backend: for the hosts of the Ingress, and for every host.
    fn add_default(&mut self, ingress: &OwnIngress<'_>, hosts: Vec<HostMatch>) {
        let Some(backend) = &ingress.spec().default_backend else { return };
        let field = "spec.defaultBackend";
        let action = self.action(ingress, backend, field);
        let everything = (HostMatch::Any, MatchPath::Prefix("".into()));
        if let Some(first) = self.claims.get(&everything).and_then(|it| self.rules.get(*it)) {
            let who = named(Kind::Ingress, &first.route.key, &first.origin);
            let message = format!("{who} takes every path of every host at {}", first.field);
            self.findings.push(ingress.subject().warning(Code::NeverMatches, field, message));
        }
        let mut own = hosts;
        own.push(HostMatch::Any);
        own.sort();
        own.dedup();
        for host in own {
            self.push(ingress, host, MatchPath::Fallback, action.clone(), field);
        }
    }

    fn push(
        &mut self,
        ingress: &OwnIngress<'_>,
        host: HostMatch,
        path: MatchPath,
        action: Action,
        field: &str,
    ) {
        self.rules.push(Arc::new(Rule {
            route: ObjectRef::new(Kind::Ingress, ingress.key.clone()),
            label: ingress.key.to_string().into(),
            host,
            path,
            predicates: Predicates::default(),
            filters: Vec::new(),
            timeouts: Timeouts::default(),
            retry: None,
            session: None,
            action,
            origin: ingress.stored.origin.clone(),
            field: field.into(),
        }));
    }

    fn refuse(&mut self, ingress: &OwnIngress<'_>, field: &str, refused: Refused) {
        self.findings.push(refused.finding(ingress.subject(), field));
    }
}
