//! The references of the Gateway API: backends, certificates, authorities, parents.

use std::sync::Arc;

use super::grants::{Named, Referrer, missing_grant};
use super::{References, Unresolved, is_or_absent, other_port};
use crate::compile::report::{Findings, named};
use crate::compile::selector::namespace_label;
use crate::compile::services::{CheckedPort, CheckedService, Exposed};
use crate::manifest::core::{ConfigMap, Secret};
use crate::manifest::gateway::{BackendRef, Gateway, GatewayClass, ListenerSet, ObjectReference};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::{Backend, Reason, Transport};
use crate::store::Stored;

/// Where authorities are written: `ca.crt` of either.
#[derive(Clone, Copy, Debug)]
pub(in crate::compile) enum AuthoritySource<'a> {
    ConfigMap(&'a ObjectKey, &'a Stored<ConfigMap>),
    Secret(&'a ObjectKey, &'a Stored<Secret>),
}

impl<'a> References<'a> {
    /// The Service port behind a `backendRef` of a route (or of a filter of it). Requests go to
    /// endpoints, so headless Services and those without selector are as good as others.
    pub(in crate::compile) fn route_backend(
        &self,
        from: Referrer<'_>,
        wanted: &BackendRef,
        transport: Transport,
        findings: &mut Findings,
    ) -> Result<Arc<Backend>, Unresolved> {
        if !wanted.group.is_empty() && &*wanted.group != "core" || &*wanted.kind != "Service" {
            let group = if wanted.group.is_empty() { "core" } else { &wanted.group };
            let message = format!("a backend of kind {} ({group}) is not served", wanted.kind);
            let code = Code::UnsupportedBackend;
            let refused = Unresolved::new(code, Reason::InvalidBackend, ".kind", message);
            return Err(refused.condition("InvalidKind"));
        }
        let namespace = wanted.namespace.as_ref().unwrap_or(from.namespace);
        let key = ObjectKey { namespace: namespace.clone(), name: wanted.name.clone() };
        self.permit(from, Named { kind: Kind::Service, key: &key })?;
        let Some((place, service)) = self.services.find(&key) else {
            return Err(self.no_service(&key, findings).invalid(".name"));
        };
        if service.exposed == Exposed::ExternalName {
            return Err(super::external(service).invalid(".name").condition("InvalidKind"));
        }
        let at = route_port(service, wanted.port, transport, findings)?;
        let backend = self.backends.for_rule(place, at);
        backend.cloned().ok_or_else(|| missing_port(service, transport, ""))
    }

    /// A Secret with a certificate, for a listener or towards backends.
    pub(in crate::compile) fn certificate(
        &self,
        from: Referrer<'_>,
        wanted: &ObjectReference,
        findings: &mut Findings,
    ) -> Result<(&'a ObjectKey, &'a Stored<Secret>), Unresolved> {
        if !wanted.group.is_empty() || !is_or_absent(wanted.kind.as_ref(), "Secret") {
            let kind = wanted.kind.as_deref().unwrap_or("Secret");
            let message = format!("certificates are Secrets, not {kind} ({})", wanted.group);
            let refused = Unresolved::new(Code::BadValue, Reason::InvalidBackend, "", message);
            return Err(refused.condition("InvalidCertificateRef"));
        }
        let namespace = wanted.namespace.as_ref().unwrap_or(from.namespace);
        let key = ObjectKey { namespace: namespace.clone(), name: wanted.name.clone() };
        self.permit(from, Named { kind: Kind::Secret, key: &key })?;
        let missing = |missing: Unresolved| missing.condition("InvalidCertificateRef");
        self.secret(namespace, &wanted.name, findings).map_err(missing)
    }

    /// A ConfigMap or Secret with authorities.
    pub(in crate::compile) fn authorities(
        &self,
        from: Referrer<'_>,
        wanted: &ObjectReference,
        findings: &mut Findings,
    ) -> Result<AuthoritySource<'a>, Unresolved> {
        let kind = match (&*wanted.group, wanted.kind.as_deref().unwrap_or("ConfigMap")) {
            ("", "ConfigMap") => Kind::ConfigMap,
            ("", "Secret") => Kind::Secret,
            (group, kind) => {
                let message = format!("authorities are ConfigMaps or Secrets, not {kind} {group}");
                let refused = Unresolved::new(Code::BadValue, Reason::InvalidBackend, "", message);
                return Err(refused.condition("InvalidKind"));
            }
        };
        let namespace = wanted.namespace.as_ref().unwrap_or(from.namespace);
        let key = ObjectKey { namespace: namespace.clone(), name: wanted.name.clone() };
        self.permit(from, Named { kind, key: &key })?;
        let missing = |missing: Unresolved| missing.condition("InvalidCACertificateRef");
        if kind == Kind::Secret {
            let found = self.secret(namespace, &wanted.name, findings).map_err(missing)?;
            return Ok(AuthoritySource::Secret(found.0, found.1));
        }
        let found = self.objects.config_maps.get_key_value(&key);
        found.map(|(key, stored)| AuthoritySource::ConfigMap(key, stored)).ok_or_else(|| {
            let ObjectKey { namespace, name } = &key;
            let message = format!("ConfigMap {name:?} does not exist in namespace {namespace}");
            let code = Code::MissingObject;
            let mut unresolved = Unresolved::new(code, Reason::InvalidBackend, ".name", message);
            let names = self.objects.config_maps.keys().filter(|it| it.namespace == *namespace);
            unresolved.help = findings.did_you_mean(name, names.map(|key| &*key.name));
            missing(unresolved)
        })
    }

    /// The Service of a policy's target, and its ports.
    pub(in crate::compile) fn policy_target(&self, key: &ObjectKey) -> Option<&'a [CheckedPort]> {
        self.services.find(key).map(|(_, service)| &*service.ports)
    }

    /// A Gateway.
    pub(in crate::compile) fn gateway(&self, key: &ObjectKey) -> Option<&'a Stored<Gateway>> {
        self.objects.gateways.get(key)
    }

    /// A ListenerSet.
    pub(in crate::compile) fn listener_set(
        &self,
        key: &ObjectKey,
    ) -> Option<&'a Stored<ListenerSet>> {
        self.objects.listener_sets.get(key)
    }

    /// A GatewayClass, which belongs to the cluster.
    pub(in crate::compile) fn gateway_class(&self, name: &str) -> Option<&'a Stored<GatewayClass>> {
        self.objects.gateway_classes.get(&ObjectKey::cluster(name))
    }

    /// The value of a label of a namespace.
    pub(in crate::compile) fn namespace_label(
        &self,
        namespace: &'a str,
        label: &str,
    ) -> Option<&'a str> {
        namespace_label(self.objects, namespace, label)
    }

    fn permit(&self, from: Referrer<'_>, to: Named<'_>) -> Result<(), Unresolved> {
        if self.grants.permit(from, to) {
            return Ok(());
        }
        let message = format!(
            "no ReferenceGrant of namespace {} lets a {} of namespace {} name {} {:?}",
            to.key.namespace, from.kind, from.namespace, to.kind, to.key.name
        );
        let code = Code::MissingGrant;
        let mut refused = Unresolved::new(code, Reason::InvalidBackend, ".namespace", message);
        refused.help = Some(missing_grant(from, to));
        Err(refused.condition("RefNotPermitted"))
    }
}

/// The place of the port of that number.
fn route_port(
    service: &CheckedService<'_>,
    number: Option<i64>,
    transport: Transport,
    findings: &mut Findings,
) -> Result<usize, Unresolved> {
    let Some(number) = number else {
        let message = "the port of the Service is missing".to_owned();
        return Err(Unresolved::new(Code::BadValue, Reason::InvalidBackend, "", message));
    };
    let is_wanted =
        |port: &CheckedPort| port.transport == transport && i64::from(port.number) == number;
    service.ports.iter().position(is_wanted).ok_or_else(|| {
        let mut missing = missing_port(service, transport, &number.to_string());
        missing.help = other_port(service, transport, None, Some(number), findings);
        missing
    })
}

fn missing_port(service: &CheckedService<'_>, transport: Transport, number: &str) -> Unresolved {
    let who = named(Kind::Service, service.key, &service.stored.origin);
    let transport = transport.to_string().to_uppercase();
    let message = format!("{who} has no {transport} port {number}");
    Unresolved::new(Code::MissingPort, Reason::InvalidBackend, ".port", message)
}
