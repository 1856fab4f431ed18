//! Certificates by host, from the `tls` entries of Ingresses.
//!
//! The older Ingress has a host that two of them give a certificate. Within one, a host may have several
//! with keys of different kinds (RSA beside ECDSA), of which the client's abilities choose. A certificate that cannot be
//! used leaves its hosts to the default, so that one bad Secret harms nobody else's handshake. An
//! expired one, or one that does not cover the host, is served: the client judges.
//!
//! The default, for every other name and for clients that send none, is the certificate of the
//! first `tls` entry without hosts, else the first certificate there is.

mod authorities;
mod certificate;
mod ordered;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use crate::manifest::core::Secret;
use crate::manifest::ingress::IngressTls;
use crate::manifest::{Code, Finding, Kind, ObjectKey};
use crate::snapshot::{Certificate, HostMatch, TlsEntry};
use crate::store::Stored;

use super::ingress::{self, OwnIngress};
use super::references::References;
use super::report::{Findings, WantedCertificate, named};

pub use authorities::parse_authorities;
pub(super) use authorities::{authorities, joined};
use certificate::key_kind;
pub(super) use certificate::{Reading, covers};
use ordered::Ordered;
pub(super) use ordered::{Order, is_asked};

/// The certificates that were asked for, each read once. What the last compilation read is taken
/// over where the Secret is still the same: checking a key is slow.
#[derive(Debug)]
pub(super) struct Certificates<'b> {
    held: &'b BTreeMap<ObjectKey, Reading>,
    readings: BTreeMap<ObjectKey, Reading>,
    ordered: Ordered,
    /// Seconds since 1970.
    now: i64,
}

impl<'b> Certificates<'b> {
    /// `can_order`: whether somebody orders what objects ask for.
    pub(super) fn new(
        held: &'b BTreeMap<ObjectKey, Reading>,
        now: SystemTime,
        can_order: bool,
    ) -> Self {
        let ordered = Ordered::new(can_order);
        Self { held, readings: BTreeMap::new(), ordered, now: seconds(now) }
    }

    /// What is to be ordered.
    pub(super) fn wanted(&mut self) -> Vec<WantedCertificate> {
        self.ordered.take()
    }

    /// Orders a certificate for a host.
    pub(super) fn order(&mut self, order: Order<'_>, host: &HostMatch, findings: &mut Findings) {
        self.ordered.add(order, host, findings);
    }

    /// What is wrong with a reference to a Secret: nothing, if that is on its way.
    pub(super) fn softened(&self, secret: &ObjectKey, finding: Finding) -> Finding {
        self.ordered.softened(secret, finding)
    }

    /// For the next compilation.
    pub(super) fn into_readings(self) -> BTreeMap<ObjectKey, Reading> {
        self.readings
    }

    /// Reads a Secret once, however many name it, and complains once. `None`: no handshake could
    /// use it.
    pub(super) fn read(
        &mut self,
        key: &ObjectKey,
        stored: &Stored<Secret>,
        findings: &mut Findings,
    ) -> Option<Arc<Certificate>> {
        if let Some(reading) = self.readings.get(key) {
            return reading.certificate().cloned();
        }
        let held = self.held.get(key).filter(|reading| reading.is_of(stored)).cloned();
        let reading = held.unwrap_or_else(|| Reading::new(key, stored));
        if let Some(finding) = reading.finding(self.now) {
            findings.push(finding);
        }
        let certificate = reading.certificate().cloned();
        self.readings.insert(key.clone(), reading);
        certificate
    }
}

/// `None` if no Ingress asks for TLS.
pub(super) fn entries(
    ingresses: &[OwnIngress<'_>],
    references: &References<'_>,
    certificates: &mut Certificates<'_>,
    findings: &mut Findings,
) -> Option<Vec<TlsEntry>> {
    let hosts = BTreeMap::new();
    let mut builder =
        Builder { references, certificates, findings, hosts, default: None, first: None };
    for ingress in ingresses {
        for (place, tls) in ingress.spec().tls.iter().enumerate() {
            builder.add(ingress, tls, &format!("spec.tls[{place}]"));
        }
    }
    let Builder { hosts, default, first, .. } = builder;
    let hosts = hosts.into_iter().map(|(host, claim)| (host, claim.certificates));
    let hosts = hosts.chain(default.or(first).map(|default| (HostMatch::Any, vec![default])));
    let entry = |(host, certificates)| TlsEntry { host, certificates, client_auth: None };
    let is_wanted = ingresses.iter().any(|ingress| !ingress.spec().tls.is_empty());
    is_wanted.then(|| hosts.map(entry).collect())
}

struct Builder<'a, 'b, 'c> {
    references: &'c References<'a>,
    certificates: &'c mut Certificates<'b>,
    findings: &'c mut Findings,
    hosts: BTreeMap<HostMatch, Claim>,
    default: Option<Arc<Certificate>>,
    first: Option<Arc<Certificate>>,
}

impl Builder<'_, '_, '_> {
    fn add(&mut self, ingress: &OwnIngress<'_>, tls: &IngressTls, field: &str) {
        let hosts = self.hosts(ingress, tls, field);
        self.order(ingress, tls, &hosts, field);
        let Some(certificate) = self.certificate(ingress, tls, field) else { return };
        self.first.get_or_insert_with(|| certificate.clone());
        if tls.hosts.is_empty() {
            self.default.get_or_insert_with(|| certificate.clone());
        }
        for (field, host) in hosts {
            self.check_cover(ingress, &certificate, &host, &field);
            self.claim(ingress, &certificate, host, &field);
        }
    }

    fn hosts(
        &mut self,
        ingress: &OwnIngress<'_>,
        tls: &IngressTls,
        field: &str,
    ) -> Vec<(String, HostMatch)> {
        let mut hosts = Vec::with_capacity(tls.hosts.len());
        for (place, written) in tls.hosts.iter().enumerate() {
            let field = format!("{field}.hosts[{place}]");
            match ingress::host(written) {
                Ok(host) => hosts.push((field, host)),
                Err(refused) => self.findings.push(refused.finding(ingress.subject(), &field)),
            }
        }
        hosts
    }

    /// The certificate of the entry's Secret.
    fn certificate(
        &mut self,
        ingress: &OwnIngress<'_>,
        tls: &IngressTls,
        field: &str,
    ) -> Option<Arc<Certificate>> {
        // Without a Secret the hosts are for whoever terminates TLS elsewhere.
        let name = tls.secret_name.as_ref().filter(|name| !name.is_empty())?;
        match self.references.secret(&ingress.key.namespace, name, self.findings) {
            Ok((key, stored)) => self.certificates.read(key, stored, self.findings),
            Err(unresolved) => {
                let field = format!("{field}.secretName");
                let finding = unresolved.finding(ingress.subject(), &field);
                let secret = secret_of(ingress, name);
                self.findings.push(self.certificates.softened(&secret, finding));
                None
            }
        }
    }

    /// Where the Ingress asks for it, orders what the Secret lacks.
    fn order(
        &mut self,
        ingress: &OwnIngress<'_>,
        tls: &IngressTls,
        hosts: &[(String, HostMatch)],
        field: &str,
    ) {
        let Some(name) = tls.secret_name.as_ref().filter(|name| !name.is_empty()) else { return };
        let metadata = &ingress.stored.object.metadata;
        if !is_asked(metadata, ingress.subject(), self.findings) {
            return;
        }
        let secret = secret_of(ingress, name);
        if self.references.is_written(&secret) {
            return;
        }
        if hosts.is_empty() {
            let message = "no certificate is ordered: there is no host that it could be for";
            let field = format!("{field}.hosts");
            self.findings.push(ingress.subject().warning(Code::BadValue, &field, message));
        }
        for (field, host) in hosts {
            let order = Order { secret: &secret, subject: ingress.subject(), field };
            self.certificates.order(order, host, self.findings);
        }
    }

    fn check_cover(
        &mut self,
        ingress: &OwnIngress<'_>,
        certificate: &Certificate,
        host: &HostMatch,
        field: &str,
    ) {
        if covers(certificate, host) {
            return;
        }
        let secret = named(Kind::Secret, &certificate.secret, &certificate.origin);
        let names = certificate.names.join(", ");
        let names = if names.is_empty() { "no name at all".to_owned() } else { names };
        let message =
            format!("the certificate of {secret} does not cover {host}; it is for {names}");
        self.findings.push(ingress.subject().warning(Code::UncoveredHost, field, message));
    }

    fn claim(
        &mut self,
        ingress: &OwnIngress<'_>,
        certificate: &Arc<Certificate>,
        host: HostMatch,
        field: &str,
    ) {
        if host == HostMatch::Any {
            return;
        }
        let claim = self.hosts.entry(host).or_insert_with(|| Claim::of(ingress.key));
        if let Err(holder) = claim.add(ingress.key, certificate) {
            let who = named(Kind::Secret, &holder.secret, &holder.origin);
            let message = format!("the host has the certificate of {who} already");
            self.findings.push(ingress.subject().warning(Code::RouteConflict, field, message));
        }
    }
}

/// The certificates of a host: one a kind of key, all given by one Ingress. Another must not add to
/// what clients of the host are shown.
struct Claim {
    ingress: ObjectKey,
    certificates: Vec<Arc<Certificate>>,
}

impl Claim {
    fn of(ingress: &ObjectKey) -> Self {
        Self { ingress: ingress.clone(), certificates: Vec::new() }
    }

    /// The error is who is there already.
    fn add(
        &mut self,
        ingress: &ObjectKey,
        certificate: &Arc<Certificate>,
    ) -> Result<(), Arc<Certificate>> {
        if self.certificates.iter().any(|it| it.secret == certificate.secret) {
            return Ok(());
        }
        let kind = key_kind(certificate);
        let is_in_the_way =
            |it: &&Arc<Certificate>| self.ingress != *ingress || key_kind(it) == kind;
        if let Some(holder) = self.certificates.iter().find(is_in_the_way) {
            return Err(holder.clone());
        }
        self.certificates.push(certificate.clone());
        Ok(())
    }
}

fn secret_of(ingress: &OwnIngress<'_>, name: &Arc<str>) -> ObjectKey {
    ObjectKey { namespace: ingress.key.namespace.clone(), name: name.clone() }
}

fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
