//! A certificate and its key, as text.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::renewal::Renewal;

/// PEM of both.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pair {
    /// Leaf first.
    pub(super) chain: String,
    /// PKCS#8.
    pub(super) key: String,
}

impl Pair {
    /// One that nobody trusts.
    pub(super) fn placeholder(names: &[Arc<str>]) -> Result<Self, rcgen::Error> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "rutter placeholder");
        let key = KeyPair::generate()?;
        Ok(Self { chain: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// Both from one text; `None` if one is missing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let place = text.find("-----BEGIN PRIVATE KEY-----")?;
        let (chain, key) = text.split_at_checked(place)?;
        PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
        let pair = Self { chain: chain.to_owned(), key: key.to_owned() };
        pair.leaf().map(|_| pair)
    }

    /// The certificate itself.
    pub(super) fn leaf(&self) -> Option<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).ok()
    }

    /// Whether it is for these names (in lower case, sorted) and no others.
    pub(super) fn is_for(&self, names: &[Arc<str>]) -> bool {
        let Some(leaf) = self.leaf() else { return false };
        let Ok((_, certificate)) = X509Certificate::from_der(&leaf) else { return false };
        let Ok(Some(shown)) = certificate.subject_alternative_name() else { return false };
        let shown = shown.value.general_names.iter().map(|name| {
            let GeneralName::DNSName(host) = name else { return name.to_string() };
            host.to_ascii_lowercase()
        });
        let mut shown: Vec<_> = shown.collect();
        shown.sort();
        shown.iter().map(String::as_str).eq(names.iter().map(AsRef::as_ref))
    }

    /// When it is to be renewed by its age.
    pub(super) fn renewal(&self, now: SystemTime) -> Renewal {
        let Some(leaf) = self.leaf() else { return Renewal::Now };
        let Ok((_, certificate)) = X509Certificate::from_der(&leaf) else { return Renewal::Now };
        let time = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or_default())
        };
        let validity = certificate.validity();
        let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Renewal::by_age(time(from), time(to), now)
    }
}
