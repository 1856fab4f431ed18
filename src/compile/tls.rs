//! Certificates of Ingresses: Secrets → DER, checked, by server name.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foldhash::fast::FixedState;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::findings::{Findings, Subject};
use super::path;
use super::references::References;
use crate::manifest::core::Secret;
use crate::manifest::ingress::Ingress;
use crate::manifest::{Code, Kind, ObjectKey, ObjectRef, Origin};
use crate::snapshot::{Certificate, CertificateId, HostMatch, TlsTable};

/// Collects certificates; of two for one name the first stays.
pub(super) struct Certificates<'a> {
    references: &'a References<'a>,
    now: i64,
    findings: &'a mut Findings,
    /// What each Secret gave, so that one that many hosts share is read and reported once.
    read: BTreeMap<ObjectKey, Option<Arc<Certificate>>>,
    table: TlsTable,
    /// The first certificate of all: the default, if no Ingress names one.
    first: Option<Arc<Certificate>>,
}

impl<'a> Certificates<'a> {
    /// None yet; `now` decides which are valid.
    pub(super) fn new(
        references: &'a References<'a>,
        now: SystemTime,
        findings: &'a mut Findings,
    ) -> Self {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            references,
            now: i64::try_from(now).unwrap_or(i64::MAX),
            findings,
            read: BTreeMap::new(),
            table: TlsTable::default(),
            first: None,
        }
    }

    /// Adds the certificates of one Ingress.
    pub(super) fn add(&mut self, ingress: &Ingress, subject: &Subject) {
        for (index, tls) in ingress.spec.tls.iter().enumerate() {
            let field = format!("spec.tls[{index}]");
            let Some(name) = &tls.secret_name else { continue };
            let key = ObjectKey::new(subject.object.key.namespace.clone(), name.clone());
            let Some(certificate) = self.certificate(&key, &field, subject) else { continue };
            self.first.get_or_insert_with(|| certificate.clone());
            if tls.hosts.is_empty() {
                self.table.default.get_or_insert_with(|| certificate.clone());
            }
            for (place, host) in tls.hosts.iter().enumerate() {
                self.add_host(host, &certificate, &format!("{field}.hosts[{place}]"), subject);
            }
        }
    }

    /// The table; without a named default, the first certificate of all is it.
    pub(super) fn finish(mut self) -> TlsTable {
        self.table.default = self.table.default.or(self.first);
        self.table
    }

    fn add_host(
        &mut self,
        text: &str,
        certificate: &Arc<Certificate>,
        field: &str,
        subject: &Subject,
    ) {
        let host = match path::host(text) {
            Ok(host) => host,
            Err(message) => {
                return self.findings.add(subject).error(Code::BadValue, field, message);
            }
        };
        if !covers(&certificate.names, &host) {
            let names = certificate.names.join(", ");
            let message =
                format!("the certificate of Secret {} does not name {host}", certificate.secret);
            let help = format!("it names {names}");
            let adding = self.findings.add(subject);
            adding.warning_help(Code::UncoveredHost, field, message, help);
        }
        let certificate = certificate.clone();
        match host {
            HostMatch::Exact(host) => self.table.exact.entry(host).or_insert(certificate),
            HostMatch::Wildcard(suffix) => self.table.wildcard.entry(suffix).or_insert(certificate),
            HostMatch::Any => self.table.default.get_or_insert(certificate),
        };
    }

    fn certificate(
        &mut self,
        key: &ObjectKey,
        field: &str,
        subject: &Subject,
    ) -> Option<Arc<Certificate>> {
        if let Some(read) = self.read.get(key) {
            return read.clone();
        }
        let stored = match self.references.secret(key) {
            Ok(stored) => stored,
            Err(missing) => {
                let field = format!("{field}.secretName");
                let severity = crate::manifest::Severity::Error;
                let (message, help) = (missing.message, missing.help);
                self.findings.add(subject).push(severity, missing.code, &field, message, help);
                return None;
            }
        };
        let object = ObjectRef::new(Kind::Secret, key.clone());
        let secret = Subject { object, origin: stored.origin.clone() };
        let certificate = match read(key, &stored.object, &stored.origin) {
            Ok(certificate) => {
                self.check_validity(&certificate, &secret);
                Some(Arc::new(certificate))
            }
            Err(Unusable { code, field, message }) => {
                self.findings.add(&secret).error(code, field, message);
                None
            }
        };
        self.read.insert(key.clone(), certificate.clone());
        certificate
    }

    fn check_validity(&mut self, certificate: &Certificate, secret: &Subject) {
        let Some(leaf) = certificate.chain.first() else { return };
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return };
        let validity = leaf.validity();
        let message = if validity.not_after.timestamp() < self.now {
            format!("the certificate expired on {}", validity.not_after)
        } else if validity.not_before.timestamp() > self.now {
            format!("the certificate is not valid before {}", validity.not_before)
        } else {
            return;
        };
        let adding = self.findings.add(secret);
        adding.warning_help(
            Code::ExpiredCertificate,
            "data",
            message,
            "renew it; it is served as it is",
        );
    }
}

/// A Secret that holds no certificate.
struct Unusable {
    code: Code,
    field: &'static str,
    message: String,
}

impl Unusable {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { code: Code::BadCertificate, field, message: message.into() }
    }
}

fn read(key: &ObjectKey, secret: &Secret, origin: &Origin) -> Result<Certificate, Unusable> {
    let (certificate_field, key_field) = ("data[\"tls.crt\"]", "data[\"tls.key\"]");
    let pem =
        value(secret, "tls.crt").map_err(|message| Unusable::new(certificate_field, message))?;
    let key_pem = value(secret, "tls.key").map_err(|message| Unusable::new(key_field, message))?;
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|error| {
            Unusable::new(certificate_field, format!("tls.crt is not PEM: {error}"))
        })?;
    let Some(leaf) = chain.first() else {
        return Err(Unusable::new(certificate_field, "tls.crt holds no certificate"));
    };
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|error| {
        Unusable::new(key_field, format!("tls.key holds no private key: {error}"))
    })?;
    let (names, not_after) = inspect(leaf)?;
    check_pair(&chain, &private)?;
    Ok(Certificate {
        id: CertificateId(FixedState::with_seed(SEED).hash_one((&pem, &key_pem))),
        secret: key.clone(),
        origin: origin.clone(),
        chain: chain.iter().map(|der| der.to_vec()).collect(),
        key: private.secret_der().to_vec(),
        names,
        not_after,
    })
}

const SEED: u64 = 0x6365_7274;

/// The bytes of a key of the Secret: `stringData` wins over `data`, which is Base64.
fn value(secret: &Secret, key: &str) -> Result<Vec<u8>, String> {
    if let Some(text) = secret.string_data.get(key) {
        return Ok(text.as_bytes().to_vec());
    }
    let text = secret.data.get(key).ok_or_else(|| format!("the Secret has no {key}"))?;
    let compact: String = text.split_whitespace().collect();
    STANDARD.decode(compact).map_err(|error| format!("{key} is not Base64: {error}"))
}

/// The names of a certificate and the end of its validity.
fn inspect(leaf: &CertificateDer<'_>) -> Result<(Vec<Arc<str>>, i64), Unusable> {
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| {
        Unusable::new("data[\"tls.crt\"]", format!("no X.509 certificate: {error}"))
    })?;
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
    let names = names.filter_map(|name| {
        let GeneralName::DNSName(name) = name else { return None };
        Some(name.to_ascii_lowercase().into())
    });
    Ok((names.collect(), leaf.validity().not_after.timestamp()))
}

fn check_pair(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), Unusable> {
    let signing = any_supported_type(key)
        .map_err(|error| Unusable::new("data[\"tls.key\"]", format!("tls.key: {error}")))?;
    match CertifiedKey::new(chain.to_vec(), signing).keys_match() {
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(Unusable {
                code: Code::KeyMismatch,
                field: "data[\"tls.key\"]",
                message: "tls.key is not the key of tls.crt".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Whether a certificate is for a host (RFC 6125: a wildcard stands for one label).
fn covers(names: &[Arc<str>], host: &HostMatch) -> bool {
    let covers_name = |name: &Arc<str>| match host {
        HostMatch::Exact(host) => {
            let below = crate::snapshot::matching::one_label_below(host);
            name == host || name.strip_prefix("*.").is_some_and(|suffix| below == Some(suffix))
        }
        HostMatch::Wildcard(suffix) => name.strip_prefix("*.") == Some(&**suffix),
        HostMatch::Any => true,
    };
    names.iter().any(covers_name)
}
