//! From a name to an object: the only place where it happens.
//!
//! What cannot be resolved keeps its reason: the rule that named it still owns its requests and
//! answers them with that reason.

mod gateway;
mod grants;

use std::sync::Arc;

use crate::manifest::core::Secret;
use crate::manifest::ingress::{IngressBackend, IngressClass, IngressServiceBackend};
use crate::manifest::{Code, Finding, Kind, ObjectKey, Origin};
use crate::snapshot::{Backend, Failure, Reason, Transport};
use crate::store::{Objects, Stored};

use super::backends::Backends;
use super::report::{Findings, Subject, named};
use super::services::{CheckedPort, CheckedService, Exposed, Services, Target};
use super::settings::Issued;

pub(super) use gateway::AuthoritySource;
use grants::Grants;
pub(super) use grants::Referrer;

/// Everything that can be named.
#[derive(Debug)]
pub(super) struct References<'a> {
    objects: &'a Objects,
    issued: &'a Issued,
    services: &'a Services<'a>,
    backends: &'a Backends<'a>,
    grants: Grants<'a>,
}

/// Why a reference leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unresolved {
    code: Code,
    reason: Reason,
    /// Below the field of the reference.
    field: &'static str,
    message: String,
    help: Option<String>,
    /// The reason in the condition `ResolvedRefs` of the Gateway API.
    condition: &'static str,
}

impl Unresolved {
    fn new(code: Code, reason: Reason, field: &'static str, message: String) -> Self {
        Self { code, reason, field, message, help: None, condition: "BackendNotFound" }
    }

    /// With that reason in the condition `ResolvedRefs`.
    fn condition(mut self, condition: &'static str) -> Self {
        self.condition = condition;
        self
    }

    /// As the Gateway API has it: 500, at that field of the reference.
    fn invalid(mut self, field: &'static str) -> Self {
        (self.reason, self.field) = (Reason::InvalidBackend, field);
        self
    }

    /// Reason and message of the condition `ResolvedRefs`.
    pub(super) fn verdict(&self) -> (&'static str, String) {
        (self.condition, self.message.clone())
    }

    /// As what requests are answered with.
    pub(super) fn failure(&self) -> Failure {
        Failure { reason: self.reason, detail: self.message.as_str().into() }
    }

    /// As a finding about the object that holds the reference at `field`.
    pub(super) fn finding(&self, subject: Subject<'_>, field: &str) -> Finding {
        let mut finding =
            subject.error(self.code, &format!("{field}{}", self.field), self.message.as_str());
        finding.help = self.help.clone();
        finding
    }

    /// As a finding about a reference that stands in no object.
    pub(super) fn finding_at(&self, origin: &Origin) -> Finding {
        let mut finding = Finding::error(self.code, origin, self.message.as_str());
        finding.help = self.help.clone();
        finding
    }
}

impl<'a> References<'a> {
    /// What there is to refer to.
    pub(super) fn objects(&self) -> &'a Objects {
        self.objects
    }

    pub(super) fn new(
        objects: &'a Objects,
        issued: &'a Issued,
        services: &'a Services<'a>,
        backends: &'a Backends<'a>,
    ) -> Self {
        Self { objects, issued, services, backends, grants: Grants::new(objects) }
    }

    /// The Service port behind a path: of the same namespace, over TCP. Headless Services and
    /// those without selector are as good as others, since requests go to endpoints.
    pub(super) fn backend(
        &self,
        namespace: &Arc<str>,
        wanted: &IngressBackend,
        findings: &mut Findings,
    ) -> Result<Arc<Backend>, Unresolved> {
        let service = match (&wanted.service, &wanted.resource) {
            (Some(service), None) => service,
            (None, Some(resource)) => {
                let message = format!("a backend of kind {} is not served", resource.kind);
                let reason = Reason::UnsupportedBackend;
                return Err(Unresolved::new(
                    Code::UnsupportedBackend,
                    reason,
                    ".resource",
                    message,
                ));
            }
            (Some(_), Some(_)) => {
                return Err(bad(".resource", "both service and resource are set"));
            }
            (None, None) => return Err(bad("", "the backend names no service")),
        };
        let key = ObjectKey { namespace: namespace.clone(), name: service.name.clone() };
        let Some((place, checked)) = self.services.find(&key) else {
            return Err(self.no_service(&key, findings));
        };
        if checked.exposed == Exposed::ExternalName {
            return Err(external(checked));
        }
        let port = self.port(checked, service, findings)?;
        let backend = self.backends.for_rule(place, port);
        backend.cloned().ok_or_else(|| bad(".service", "the Service has no such port"))
    }

    /// The TCP port that is named, by its place.
    fn port(
        &self,
        service: &CheckedService<'_>,
        wanted: &IngressServiceBackend,
        findings: &mut Findings,
    ) -> Result<usize, Unresolved> {
        let name = wanted.port.name.as_deref().filter(|name| !name.is_empty());
        let number = wanted.port.number.filter(|number| *number != 0);
        let is_wanted = |port: &CheckedPort| match (name, number) {
            (Some(name), _) => *port.name == *name,
            (None, number) => number == Some(port.number.into()),
        };
        let what = match (name, number) {
            (Some(_), Some(_)) => {
                return Err(bad(
                    ".service.port",
                    "both the name and the number of the port are set",
                ));
            }
            (None, None) => return Err(bad(".service.port", "the port is missing")),
            (Some(name), None) => format!("named {name:?}"),
            (None, Some(number)) => number.to_string(),
        };
        let mut ports = service.ports.iter();
        let found = ports.position(|it| it.transport == Transport::Tcp && is_wanted(it));
        found.ok_or_else(|| {
            let who = named(Kind::Service, service.key, &service.stored.origin);
            let message = format!("{who} has no TCP port {what}");
            let field = if name.is_some() { ".service.port.name" } else { ".service.port.number" };
            let mut missing = Unresolved::new(Code::MissingPort, Reason::NoService, field, message);
            missing.help = other_port(service, Transport::Tcp, name, number, findings);
            missing
        })
    }

    fn no_service(&self, key: &ObjectKey, findings: &mut Findings) -> Unresolved {
        let ObjectKey { namespace, name } = key;
        let message = format!("Service {name:?} does not exist in namespace {namespace}");
        let mut missing =
            Unresolved::new(Code::MissingService, Reason::NoService, ".service.name", message);
        missing.help = findings.did_you_mean(name, self.services.names_in(namespace));
        missing
    }

    /// Whether a Secret is among the objects, and not one that was ordered.
    pub(super) fn is_written(&self, secret: &ObjectKey) -> bool {
        self.objects.secrets.contains_key(secret)
    }

    /// A Secret of the same namespace; one that was ordered gives way to one that is written.
    pub(super) fn secret(
        &self,
        namespace: &Arc<str>,
        name: &Arc<str>,
        findings: &mut Findings,
    ) -> Result<(&'a ObjectKey, &'a Stored<Secret>), Unresolved> {
        let key = ObjectKey { namespace: namespace.clone(), name: name.clone() };
        let written = self.objects.secrets.get_key_value(&key);
        written.or_else(|| self.issued.get_key_value(&key)).ok_or_else(|| {
            let message = format!("Secret {name:?} does not exist in namespace {namespace}");
            let mut missing = Unresolved::new(Code::MissingSecret, Reason::NoService, "", message);
            let from = ObjectKey::new(namespace.clone(), "");
            let names = self.objects.secrets.range(from..).map(|(key, _)| key);
            let names = names.take_while(|key| key.namespace == *namespace);
            missing.help = findings.did_you_mean(name, names.map(|key| &*key.name));
            missing
        })
    }

    /// An IngressClass, which belongs to the cluster.
    pub(super) fn ingress_class(&self, name: &str) -> Option<&'a Stored<IngressClass>> {
        self.objects.ingress_classes.get(&ObjectKey::cluster(name))
    }
}

fn is_or_absent(written: Option<&Arc<str>>, kind: &str) -> bool {
    written.is_none_or(|written| **written == *kind)
}

/// A reference that the API server would refuse.
fn bad(field: &'static str, message: &str) -> Unresolved {
    Unresolved::new(Code::BadValue, Reason::NoService, field, message.to_owned())
}

/// Whoever may write a Service could reach any address of the proxy's network through it
/// (CVE-2021-25740).
fn external(service: &CheckedService<'_>) -> Unresolved {
    let who = named(Kind::Service, service.key, &service.stored.origin);
    let message = format!("{who} is of type ExternalName, which Ingress does not follow");
    let mut unresolved = Unresolved::new(
        Code::UnsupportedBackend,
        Reason::UnsupportedBackend,
        ".service.name",
        message,
    );
    unresolved.help =
        Some("name a Service without selector and write its EndpointSlice".to_owned());
    unresolved
}

/// The port that was probably meant: the one whose target was named, or one of a similar name;
/// else all there are.
fn other_port(
    service: &CheckedService<'_>,
    transport: Transport,
    name: Option<&str>,
    number: Option<i64>,
    findings: &mut Findings,
) -> Option<String> {
    let is_target = |port: &&CheckedPort| match &port.target {
        Target::Number(target) => number == Some((*target).into()),
        Target::Name(target) => name == Some(target),
    };
    let ports = || service.ports.iter().filter(|port| port.transport == transport);
    if let Some(port) = ports().find(is_target) {
        return Some(format!("that is the target port; the Service port is {}", port.number));
    }
    let names = ports().map(|port| &*port.name);
    if let Some(help) = name.and_then(|name| findings.did_you_mean(name, names)) {
        return Some(help);
    }
    let all = ports().map(|port| match &*port.name {
        "" => port.number.to_string(),
        name => format!("{} ({name})", port.number),
    });
    let all: Vec<_> = all.collect();
    let transport = transport.to_string().to_uppercase();
    (!all.is_empty()).then(|| format!("its {transport} ports: {}", all.join(", ")))
}
