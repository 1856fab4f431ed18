//! Ingress v1 → rules, certificates and the two listeners.
//!
//! A default backend takes what no rule takes: for the hosts of its own Ingress, and, that of the
//! oldest Ingress which has one, for every other request.

use std::sync::Arc;
use std::time::SystemTime;

use super::class::Classes;
use super::findings::{Findings, Subject};
use super::listeners::Listeners;
use super::order::precedence;
use super::path;
use super::references::References;
use super::services::one_of;
use super::settings::Settings;
use super::tls::Certificates;
use crate::manifest::ingress::{HttpIngressPath, Ingress, IngressBackend};
use crate::manifest::{Code, Kind, ObjectKey, ObjectRef};
use crate::snapshot::{
    Action, HostMatch, HttpListener, MatchPath, Reason, RouteTable, Rule, Serve, SocketKey,
    TlsTable, Transport, WeightedBackend,
};
use crate::store::Objects;

/// Adds what the Ingresses of our class publish.
pub(super) fn add(
    listeners: &mut Listeners,
    objects: &Objects,
    references: &References<'_>,
    settings: &Settings,
    now: SystemTime,
    findings: &mut Findings,
) {
    let ingresses = ours(objects, settings, findings);
    let Some((_, first)) = ingresses.first() else { return };
    let mut rules = Rules { references, findings, rules: Vec::new(), last: Vec::new() };
    for (ingress, subject) in &ingresses {
        rules.add(ingress, subject);
    }
    let routes = Arc::new(RouteTable::new(rules.finish()));
    let mut certificates = Certificates::new(references, now, findings);
    for (ingress, subject) in &ingresses {
        certificates.add(ingress, subject);
    }
    let tls = certificates.finish();
    add_listeners(listeners, settings, &routes, tls, first, findings);
}

fn ours<'a>(
    objects: &'a Objects,
    settings: &Settings,
    findings: &mut Findings,
) -> Vec<(&'a Ingress, Subject)> {
    let classes = Classes::new(objects, settings);
    let mut ours: Vec<_> = objects
        .ingresses
        .iter()
        .map(|(key, stored)| {
            let object = ObjectRef::new(Kind::Ingress, key.clone());
            (&*stored.object, Subject { object, origin: stored.origin.clone() })
        })
        .filter(|(ingress, subject)| classes.is_ours(ingress, subject, findings))
        .collect();
    ours.sort_by_cached_key(|(ingress, _)| precedence(&ingress.metadata));
    ours
}

/// Collects rules in order of precedence.
struct Rules<'a> {
    references: &'a References<'a>,
    findings: &'a mut Findings,
    rules: Vec<Arc<Rule>>,
    /// Default backends, which come after every rule.
    last: Vec<Arc<Rule>>,
}

impl Rules<'_> {
    fn add(&mut self, ingress: &Ingress, subject: &Subject) {
        let spec = &ingress.spec;
        if spec.default_backend.is_none() && spec.rules.is_empty() {
            let message = "an Ingress needs rules or a defaultBackend";
            self.findings.add(subject).error(Code::BadValue, "spec", message);
        }
        let mut hosts = Vec::new();
        for (index, rule) in spec.rules.iter().enumerate() {
            let field = format!("spec.rules[{index}]");
            let host = match path::host(rule.host.as_deref().unwrap_or_default()) {
                Ok(host) => host,
                Err(message) => {
                    let field = format!("{field}.host");
                    self.findings.add(subject).error(Code::BadValue, &field, message);
                    continue;
                }
            };
            hosts.push(host.clone());
            let Some(http) = &rule.http else { continue };
            if http.paths.is_empty() {
                let message = "http needs at least one path";
                let field = format!("{field}.http");
                self.findings.add(subject).error(Code::BadValue, &field, message);
            }
            for (place, path) in http.paths.iter().enumerate() {
                self.add_path(&host, path, &format!("{field}.http.paths[{place}]"), subject);
            }
        }
        if let Some(backend) = &spec.default_backend {
            self.add_default(backend, hosts, subject);
        }
    }

    fn add_path(
        &mut self,
        host: &HostMatch,
        path: &HttpIngressPath,
        field: &str,
        subject: &Subject,
    ) {
        let Some(matched) = self.check_path(path, field, subject) else { return };
        let text = path.path.as_deref().unwrap_or_default();
        if text.contains(['?', '#']) {
            let message =
                format!("path {text:?} never matches: queries and fragments are no part of it");
            let field = format!("{field}.path");
            self.findings.add(subject).warning(Code::NeverMatches, &field, message);
        }
        let twin = self.rules.iter().find(|rule| rule.host == *host && rule.path == matched);
        if let Some(twin) = twin {
            let message = format!("{host} {matched} belongs to {} ({})", twin.route, twin.origin);
            let field = format!("{field}.path");
            self.findings.add(subject).warning(Code::RouteConflict, &field, message);
        }
        let action = self.action(&path.backend, &format!("{field}.backend"), subject);
        self.rules.push(rule(subject, host.clone(), matched, action, field));
    }

    fn check_path(
        &mut self,
        path: &HttpIngressPath,
        field: &str,
        subject: &Subject,
    ) -> Option<MatchPath> {
        let kind = path.path_type.as_deref().unwrap_or_default();
        if !PATH_TYPES.contains(&kind) {
            let (message, help) = match kind {
                "" => ("pathType is required".to_owned(), "Prefix is what most mean".to_owned()),
                other => (format!("pathType {other:?} is not known"), one_of(other, &PATH_TYPES)),
            };
            let field = format!("{field}.pathType");
            self.findings.add(subject).error_help(Code::BadValue, &field, message, help);
            return None;
        }
        match path::path(kind, path.path.as_deref().unwrap_or_default()) {
            Ok(path) => Some(path),
            Err(message) => {
                let field = format!("{field}.path");
                self.findings.add(subject).error(Code::BadValue, &field, message);
                None
            }
        }
    }

    fn add_default(&mut self, backend: &IngressBackend, hosts: Vec<HostMatch>, subject: &Subject) {
        let field = "spec.defaultBackend";
        let action = self.action(backend, field, subject);
        for host in hosts.into_iter().filter(|host| *host != HostMatch::Any) {
            let everything = MatchPath::Prefix("".into());
            self.last.push(rule(subject, host, everything, action.clone(), field));
        }
        self.last.push(rule(subject, HostMatch::Any, MatchPath::Fallback, action, field));
    }

    fn action(&mut self, backend: &IngressBackend, field: &str, subject: &Subject) -> Action {
        let service = match (&backend.service, &backend.resource) {
            (Some(service), None) => service,
            (None, Some(resource)) => {
                let message =
                    format!("{} {:?} is no backend that is served", resource.kind, resource.name);
                let field = format!("{field}.resource");
                return self.fail(Code::UnsupportedBackend, &field, message, subject);
            }
            _ => {
                let message = "a backend is exactly one of service and resource".to_owned();
                return self.fail(Code::BadValue, field, message, subject);
            }
        };
        if service.port.name.is_some() == service.port.number.is_some() {
            let message = "a port is exactly one of name and number".to_owned();
            return self.fail(Code::BadValue, &format!("{field}.service.port"), message, subject);
        }
        let key = ObjectKey::new(subject.object.key.namespace.clone(), service.name.clone());
        match self.references.service_port(&key, &service.port) {
            Ok(backend) => Action::Forward(vec![WeightedBackend { backend, weight: 1 }]),
            Err(unresolved) => {
                let field = format!("{field}.service{}", unresolved.part);
                let (message, help) = (unresolved.message, unresolved.help);
                let detail = message.as_str().into();
                let severity = crate::manifest::Severity::Error;
                self.findings.add(subject).push(severity, unresolved.code, &field, message, help);
                Action::Fail { reason: unresolved.reason, detail }
            }
        }
    }

    fn fail(&mut self, code: Code, field: &str, message: String, subject: &Subject) -> Action {
        let detail = message.as_str().into();
        self.findings.add(subject).error(code, field, message);
        Action::Fail { reason: Reason::UnsupportedBackend, detail }
    }

    fn finish(self) -> Vec<Arc<Rule>> {
        let mut rules = self.rules;
        rules.extend(self.last);
        rules
    }
}

const PATH_TYPES: [&str; 3] = ["Exact", "Prefix", "ImplementationSpecific"];

fn rule(
    subject: &Subject,
    host: HostMatch,
    path: MatchPath,
    action: Action,
    field: &str,
) -> Arc<Rule> {
    Arc::new(Rule {
        route: subject.object.clone(),
        label: subject.object.key.to_string().into(),
        host,
        path,
        action,
        origin: subject.origin.clone(),
        field: field.into(),
    })
}

/// HTTP and HTTPS on every address of `--ingress-address`; HTTPS only once there is a certificate.
fn add_listeners(
    listeners: &mut Listeners,
    settings: &Settings,
    routes: &Arc<RouteTable>,
    tls: TlsTable,
    first: &Subject,
    findings: &mut Findings,
) {
    let tls = (tls != TlsTable::default()).then(|| Arc::new(tls));
    let listener =
        |name: &str, tls| HttpListener { name: name.into(), tls, routes: routes.clone() };
    let http = settings.http_port.map(|port| (port, Arc::new(listener("http", None))));
    let https = settings.https_port.zip(tls);
    let https = https.map(|(port, tls)| (port, Arc::new(listener("https", Some(tls)))));
    for (port, listener) in http.into_iter().chain(https) {
        for ip in &settings.ingress_addresses {
            let key = SocketKey { transport: Transport::Tcp, addr: (*ip, port).into() };
            let serve = Serve::Http(listener.clone());
            listeners.add(key, serve, first, "", findings);
        }
    }
}
