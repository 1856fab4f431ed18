//! BackendTLSPolicy (GEP-1897): which Services are spoken to within TLS.
//!
//! A policy for a port of a Service beats one for all of it; of two for the same the older one
//! counts. A policy that cannot be used makes requests fail: they must not go out in the clear.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::terminate::bundle;
use super::{Context, Verdict};
use crate::compile::order::Seniority;
use crate::compile::references::Referrer;
use crate::compile::report::Subject;
use crate::compile::tls::joined;
use crate::manifest::gateway::{BackendTlsPolicy, BackendTlsValidation, PolicyTargetReference};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::{Authorities, BackendId, SubjectName, UpstreamTls};
use crate::store::Stored;

/// A policy and what became of it.
#[derive(Debug)]
pub(super) struct OwnPolicy<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) stored: &'a Stored<BackendTlsPolicy>,
    /// The Services that it is for.
    pub(super) services: Vec<ObjectKey>,
    /// Why it is not accepted.
    pub(super) refused: Option<Verdict>,
    /// Which reference of it leads nowhere.
    pub(super) unresolved: Option<Verdict>,
}

/// Policies by Service and port.
#[derive(Debug, Default)]
pub(super) struct Policies<'a> {
    pub(super) all: Vec<OwnPolicy<'a>>,
    targets: BTreeMap<Target, Result<Arc<UpstreamTls>, String>>,
}

/// A Service and, maybe, the name of a port.
type Target = (ObjectKey, Option<Arc<str>>);

impl<'a> Policies<'a> {
    pub(super) fn new(context: &mut Context<'a, '_, '_>) -> Self {
        let mut stored: Vec<_> = context.objects.backend_tls_policies.iter().collect();
        stored.sort_by_cached_key(|(key, it)| Seniority::of(&it.object.metadata, key));
        let mut policies = Self::default();
        let mut holders = BTreeMap::new();
        for (key, stored) in stored {
            policies.add(key, stored, &mut holders, context);
        }
        policies
    }

    /// What a Service port is spoken to with; the error says why it cannot be.
    pub(super) fn of(&self, backend: &BackendId) -> Option<&Result<Arc<UpstreamTls>, String>> {
        if self.targets.is_empty() {
            return None;
        }
        // a port without a name, which stands there by its number, is the only one
        let BackendId { service, port, .. } = backend;
        let of_port = self.targets.get(&(service.clone(), Some(port.clone())));
        of_port.or_else(|| self.targets.get(&(service.clone(), None)))
    }

    fn add(
        &mut self,
        key: &'a ObjectKey,
        stored: &'a Stored<BackendTlsPolicy>,
        holders: &mut BTreeMap<Target, &'a ObjectKey>,
        context: &mut Context<'a, '_, '_>,
    ) {
        let subject = Subject::new(Kind::BackendTlsPolicy, key, stored);
        let (mut targets, mut refused) = (Vec::new(), None);
        for (place, wanted) in stored.object.spec.target_refs.iter().enumerate() {
            let field = format!("spec.targetRefs[{place}]");
            match target(key, wanted, subject, &field, context) {
                Ok(target) => targets.push((field, target)),
                Err(verdict) => refused = Some(verdict),
            }
        }
        let services = targets.iter().map(|(_, (service, _))| service.clone()).collect();
        let (tls, unresolved) = validation(subject, &stored.object.spec.validation, context);
        let mut taken = 0;
        for (field, target) in &targets {
            let holder = holders.entry(target.clone()).or_insert(key);
            if *holder == key {
                self.targets.insert(target.clone(), tls.clone().map_err(|it| it.message));
                taken += 1;
                continue;
            }
            let message = format!("BackendTLSPolicy {holder} is for the same and older");
            context.findings.push(subject.warning(Code::Conflict, field, message.as_str()));
            refused = Some(Verdict::new("Conflicted", message));
        }
        if taken > 0 {
            refused = None;
        }
        let refused = refused.or_else(|| tls.err());
        self.all.push(OwnPolicy { key, stored, services, refused, unresolved });
    }
}

/// The Service, if it exists, and the port, if it is one of its.
fn target<'a>(
    policy: &ObjectKey,
    wanted: &PolicyTargetReference,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'a, '_, '_>,
) -> Result<Target, Verdict> {
    if !wanted.group.is_empty() && &*wanted.group != "core" || &*wanted.kind != "Service" {
        let message = format!("a policy is for a Service, not for a {}", wanted.kind);
        let field = format!("{field}.kind");
        context.findings.push(subject.error(Code::BadValue, &field, message.as_str()));
        return Err(Verdict::new("TargetNotFound", message));
    }
    let key = ObjectKey { namespace: policy.namespace.clone(), name: wanted.name.clone() };
    let Some(ports) = context.references.policy_target(&key) else {
        let message = format!("Service {key} does not exist");
        let field = format!("{field}.name");
        context.findings.push(subject.error(Code::MissingService, &field, message.as_str()));
        return Err(Verdict::new("TargetNotFound", message));
    };
    let section = wanted.section_name.clone().filter(|name| !name.is_empty());
    if let Some(name) = section.as_ref().filter(|name| ports.iter().all(|it| it.name != **name)) {
        let message = format!("Service {key} has no port {name:?}");
        let field = format!("{field}.sectionName");
        context.findings.push(subject.error(Code::MissingPort, &field, message.as_str()));
        return Err(Verdict::new("TargetNotFound", message));
    }
    Ok((key, section))
}

/// How the certificate of endpoints is checked, and which reference leads nowhere.
fn validation(
    subject: Subject<'_>,
    validation: &BackendTlsValidation,
    context: &mut Context<'_, '_, '_>,
) -> (Result<Arc<UpstreamTls>, Verdict>, Option<Verdict>) {
    let (authorities, unresolved) = match authorities(subject, validation, context) {
        Ok(found) => found,
        Err((verdict, unresolved)) => return (Err(verdict), unresolved),
    };
    let mut refuse = |part: &str, message: String| {
        let field = format!("spec.validation.{part}");
        context.findings.push(subject.error(Code::BadValue, &field, message.as_str()));
        Err(Verdict::new("Invalid", message))
    };
    if validation.hostname.is_empty() {
        return (refuse("hostname", "the hostname is missing".to_owned()), unresolved);
    }
    let mut names = Vec::new();
    for (place, name) in validation.subject_alt_names.iter().enumerate() {
        names.push(match (&*name.kind, &name.hostname, &name.uri) {
            ("Hostname", Some(host), _) => SubjectName::Dns(host.to_ascii_lowercase().into()),
            ("URI", _, Some(uri)) => SubjectName::Uri(uri.clone()),
            (kind, _, _) => {
                let message = format!("a name of type {kind:?} needs its field: hostname or uri");
                let refused = refuse(&format!("subjectAltNames[{place}]"), message);
                return (refused, unresolved);
            }
        });
    }
    let server_name = validation.hostname.to_ascii_lowercase().into();
    (Ok(Arc::new(UpstreamTls { server_name, authorities, names, client: None })), unresolved)
}

type AuthoritiesOf = Result<(Authorities, Option<Verdict>), (Verdict, Option<Verdict>)>;

fn authorities(
    subject: Subject<'_>,
    validation: &BackendTlsValidation,
    context: &mut Context<'_, '_, '_>,
) -> AuthoritiesOf {
    let refs = &validation.ca_certificate_refs;
    match (validation.well_known_ca_certificates.as_deref(), refs.is_empty()) {
        (Some("System"), true) => return Ok((Authorities::System, None)),
        (None | Some(""), false) => {}
        (written, _) => {
            let message = match written {
                Some("System") => "caCertificateRefs and wellKnownCACertificates are both set",
                Some(_) => "the only well-known set of authorities is System",
                None => "neither caCertificateRefs nor wellKnownCACertificates is set",
            };
            let field = "spec.validation";
            context.findings.push(subject.error(Code::BadValue, field, message));
            return Err((Verdict::new("Invalid", message), None));
        }
    }
    let from = Referrer { kind: Kind::BackendTlsPolicy, namespace: &subject.key().namespace };
    let (mut bundles, mut unresolved) = (Vec::new(), None);
    for (place, wanted) in refs.iter().enumerate() {
        let field = format!("spec.validation.caCertificateRefs[{place}]");
        match bundle(from, wanted, subject, &field, context) {
            Ok(bundle) => bundles.push(bundle),
            Err(verdict) => unresolved = Some(verdict),
        }
    }
    match joined(bundles) {
        Some(bundle) => Ok((Authorities::Bundle(bundle), unresolved)),
        None => {
            let message = unresolved.as_ref().map(|it| it.message.clone()).unwrap_or_default();
            Err((Verdict::new("NoValidCACertificate", message), unresolved))
        }
    }
}
