//! Secret → certificate and key, checked against each other.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, GeneralName, Validity, X509Certificate};

use crate::compile::report::Subject;
use crate::manifest::core::Secret;
use crate::manifest::{Code, Finding, Kind, ObjectKey};
use crate::snapshot::matching::one_label_below;
use crate::snapshot::{Certificate, CertificateId, HostMatch};
use crate::store::Stored;

/// What a Secret gave. Checking a key is slow, so it is kept between compilations for as long as
/// the Secret stays as it is; only the time is looked at anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Reading {
    secret: Stored<Secret>,
    /// An error if no handshake could use it.
    outcome: Result<Readable, Box<Finding>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Readable {
    certificate: Arc<Certificate>,
    /// Seconds since 1970.
    not_before: i64,
}

impl Reading {
    pub(super) fn new(key: &ObjectKey, stored: &Stored<Secret>) -> Self {
        Self { secret: stored.clone(), outcome: read(key, stored) }
    }

    /// Whether it is still what the Secret says.
    pub(super) fn is_of(&self, stored: &Stored<Secret>) -> bool {
        self.secret == *stored
    }

    pub(super) fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.outcome.as_ref().ok().map(|readable| &readable.certificate)
    }

    /// What is wrong with it at that time.
    pub(super) fn finding(&self, now: i64) -> Option<Finding> {
        let Readable { certificate, not_before } = match &self.outcome {
            Ok(readable) => readable,
            Err(finding) => return Some((**finding).clone()),
        };
        let message = if now > certificate.not_after {
            format!("the certificate expired on {}", day(certificate.not_after))
        } else if now < *not_before {
            format!("the certificate is not valid before {}", day(*not_before))
        } else {
            return None;
        };
        let subject = Subject::new(Kind::Secret, &certificate.secret, &self.secret);
        let finding = subject.error(
            Code::ExpiredCertificate,
            &field(&self.secret.object, CERTIFICATE),
            message,
        );
        Some(finding.help("renew it; until then it is served as it is"))
    }
}

/// `2026-11-24`.
fn day(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or_else(|_| seconds.to_string(), |time| time.date().to_string())
}

/// Where a key of a Secret is written.
fn field(secret: &Secret, key: &str) -> String {
    let map = if secret.string_data.contains_key(key) { "stringData" } else { "data" };
    format!("{map}.{key}")
}

fn read(key: &ObjectKey, stored: &Stored<Secret>) -> Result<Readable, Box<Finding>> {
    let secret = &*stored.object;
    let subject = Subject::new(Kind::Secret, key, stored);
    let bad = |key: &str, message: String| {
        Box::new(subject.error(Code::BadCertificate, &field(secret, key), message))
    };
    let pem = |key| value(secret, key).map_err(|message| bad(key, message));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem(CERTIFICATE)?)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(CERTIFICATE, format!("the certificate is not PEM: {error}")))?;
    let Some(leaf) = chain.first() else {
        return Err(bad(CERTIFICATE, "there is no certificate in it".to_owned()));
    };
    let (names, validity) = read_leaf(leaf).map_err(|message| bad(CERTIFICATE, message))?;
    let private = PrivateKeyDer::from_pem_slice(&pem(KEY)?)
        .map_err(|error| bad(KEY, format!("the private key is not PEM: {error}")))?;
    check_pair(secret, &chain, &private, subject)?;
    let chain: Vec<Vec<u8>> = chain.into_iter().map(|it| it.to_vec()).collect();
    let private = private.secret_der().to_vec();
    let certificate = Arc::new(Certificate {
        id: identity(&chain, &private),
        secret: key.clone(),
        origin: stored.origin.clone(),
        chain,
        key: private,
        names,
        not_after: validity.not_after.timestamp(),
    });
    Ok(Readable { certificate, not_before: validity.not_before.timestamp() })
}

/// Whether the key is one that rustls signs with, and the certificate's.
fn check_pair(
    secret: &Secret,
    chain: &[CertificateDer<'static>],
    private: &PrivateKeyDer<'_>,
    subject: Subject<'_>,
) -> Result<(), Box<Finding>> {
    let error = |code, key: &str, message: String| {
        Err(Box::new(subject.error(code, &field(secret, key), message)))
    };
    let signing = match any_supported_type(private) {
        Ok(signing) => signing,
        Err(why) => {
            let message = format!("the private key cannot be used: {why}");
            return error(Code::BadCertificate, KEY, message);
        }
    };
    match CertifiedKey::new(chain.to_vec(), signing).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(Error::InconsistentKeys(_)) => {
            let message = "the private key is not the one of the certificate";
            error(Code::KeyMismatch, KEY, message.to_owned())
        }
        Err(why) => {
            let message = format!("the certificate cannot be used: {why}");
            error(Code::BadCertificate, CERTIFICATE, message)
        }
    }
}

const CERTIFICATE: &str = "tls.crt";

const KEY: &str = "tls.key";

/// The bytes of a key of a Secret.
pub(super) fn value(secret: &Secret, key: &str) -> Result<Vec<u8>, String> {
    if let Some(text) = secret.string_data.get(key) {
        return Ok(text.as_bytes().to_vec());
    }
    let Some(encoded) = secret.data.get(key) else {
        return Err(format!("the Secret has no {key}"));
    };
    let encoded: String = encoded.split_ascii_whitespace().collect();
    STANDARD.decode(encoded).map_err(|error| format!("{key} is not base64: {error}"))
}

/// DNS names, which alone count (RFC 9525 section 6.3), and the time of validity.
fn read_leaf(leaf: &CertificateDer<'_>) -> Result<(Vec<Arc<str>>, Validity), String> {
    let (_, parsed) =
        X509Certificate::from_der(leaf).map_err(|error| format!("not X.509: {error}"))?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|extension| &extension.value.general_names);
    let dns_name = |name: &GeneralName<'_>| {
        let GeneralName::DNSName(name) = name else { return None };
        Some(name.to_ascii_lowercase().into())
    };
    Ok((names.filter_map(dns_name).collect(), parsed.validity().clone()))
}

/// Of which kind the key of a certificate is, as an object identifier: RSA, elliptic curves, …
pub(super) fn key_kind(certificate: &Certificate) -> Option<String> {
    let (_, leaf) = X509Certificate::from_der(certificate.chain.first()?).ok()?;
    Some(leaf.public_key().algorithm.algorithm.to_id_string())
}

/// SHA-256 of everything, the first half. It must resist whoever looks for a second chain and key
/// of the same identity: planes cache keys by it, and Secrets of different tenants meet there.
pub(super) fn identity(chain: &[Vec<u8>], key: &[u8]) -> CertificateId {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("the suite must be one of TLS 1.3");
    let mut hash = suite.common.hash_provider.start();
    for part in chain.iter().map(Vec::as_slice).chain([key]) {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finish();
    let first = digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    CertificateId(u128::from_be_bytes(*first))
}

/// Whether the certificate names the host; a wildcard name covers one label.
pub(in crate::compile) fn covers(certificate: &Certificate, host: &HostMatch) -> bool {
    let has = |name: &str| certificate.names.iter().any(|it| **it == *name);
    match host {
        HostMatch::Exact(host) => {
            has(host) || one_label_below(host).is_some_and(|suffix| has(&format!("*.{suffix}")))
        }
        HostMatch::Wildcard(suffix) | HostMatch::Suffix(suffix) => has(&format!("*.{suffix}")),
        HostMatch::Any => true,
    }
}
