//! `ca.crt` → authorities, `ca.crl` → whom they have revoked.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use x509_parser::prelude::{CertificateRevocationList, FromDer, X509Certificate};

use super::certificate::{identity, value};
use crate::compile::references::AuthoritySource;
use crate::manifest::core::Secret;
use crate::snapshot::CaBundle;

/// The certificates of a ConfigMap's or Secret's `ca.crt`, and the lists of its `ca.crl`, if it has
/// one. The error says what is wrong with it. A list that cannot be read makes the whole of no use:
/// without it somebody would get in who is to be kept out.
pub(in crate::compile) fn authorities(source: AuthoritySource<'_>) -> Result<CaBundle, String> {
    let who = match source {
        AuthoritySource::ConfigMap(key, _) => format!("ConfigMap {key}"),
        AuthoritySource::Secret(key, _) => format!("Secret {key}"),
    };
    let text = |name: &str| match source {
        AuthoritySource::ConfigMap(_, stored) => {
            Ok(stored.object.data.get(name).map(|text| text.as_bytes().to_vec()))
        }
        AuthoritySource::Secret(key, stored) => {
            let Secret { data, string_data, .. } = &*stored.object;
            let is_there = data.contains_key(name) || string_data.contains_key(name);
            let text = || value(&stored.object, name).map_err(|why| format!("{why} ({key})"));
            is_there.then(text).transpose()
        }
    };
    let pem = text(CA)?.ok_or_else(|| format!("{who} has no {CA}"))?;
    let mut bundle = parse_authorities(&format!("{CA} of {who}"), &pem)?;
    if let Some(pem) = text(CRL)? {
        let what = format!("{CRL} of {who}");
        bundle.revocations = parse_revocations(&what, &pem)?;
        check(&bundle).map_err(|error| format!("{what} cannot be used: {error}"))?;
        bundle.id = identity(&bundle.certificates, &bundle.revocations.concat());
    }
    Ok(bundle)
}

/// The certificates of a PEM text. The error says what is wrong with it, which is called `what`.
pub fn parse_authorities(what: &str, pem: &[u8]) -> Result<CaBundle, String> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| format!("{what} is not PEM: {error}"))?;
    if read.is_empty() {
        return Err(format!("{what} holds no certificate"));
    }
    for der in &read {
        X509Certificate::from_der(der).map_err(|error| format!("{what} is not X.509: {error}"))?;
    }
    let certificates: Vec<Vec<u8>> = read.into_iter().map(|it| it.to_vec()).collect();
    let id = identity(&certificates, &[]);
    Ok(CaBundle { id, certificates, revocations: Vec::new() })
}

/// The lists of a PEM text.
fn parse_revocations(what: &str, pem: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let read = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|error| format!("{what} is not PEM: {error}"))?;
    if read.is_empty() {
        return Err(format!("{what} holds no list of revoked certificates"));
    }
    for der in &read {
        CertificateRevocationList::from_der(der)
            .map_err(|error| format!("{what} is no list of revoked certificates: {error}"))?;
    }
    Ok(read.into_iter().map(|it| it.to_vec()).collect())
}

/// Whether clients can be verified by it.
fn check(bundle: &CaBundle) -> Result<(), VerifierBuilderError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(bundle.certificates.iter().cloned().map(CertificateDer::from));
    let lists = bundle.revocations.iter().cloned().map(CertificateRevocationListDer::from);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    verifier.with_crls(lists).build().map(drop)
}

/// All of them together.
pub(in crate::compile) fn joined(bundles: Vec<CaBundle>) -> Option<Arc<CaBundle>> {
    let (mut certificates, mut revocations) = (Vec::new(), Vec::new());
    for bundle in bundles {
        certificates.extend(bundle.certificates);
        revocations.extend(bundle.revocations);
    }
    for ders in [&mut certificates, &mut revocations] {
        ders.sort();
        ders.dedup();
    }
    let id = identity(&certificates, &revocations.concat());
    (!certificates.is_empty()).then(|| Arc::new(CaBundle { id, certificates, revocations }))
}

const CA: &str = "ca.crt";
const CRL: &str = "ca.crl";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pem(der: &[u8]) -> String {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN X509 CRL-----\n{text}\n-----END X509 CRL-----\n")
    }

    /// An authority and an empty list of it, DER.
    fn authority() -> (Vec<u8>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a certificate").der().to_vec();
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2026, 2, 1),
            crl_number: rcgen::SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&rcgen::Issuer::new(params, key)).expect("a list");
        (certificate, list.der().to_vec())
    }

    #[test]
    fn what_is_no_list_is_told() {
        let (certificate, list) = authority();
        let read = parse_revocations("it", (pem(&list) + &pem(&list)).as_bytes());
        assert_eq!(read, Ok(vec![list.clone(), list]));
        for (text, expected) in [
            (String::new(), "holds no list"),
            ("-----BEGIN X509 CRL-----\n?\n-----END X509 CRL-----\n".into(), "is not PEM"),
            (pem(b"nothing"), "is no list"),
            (pem(&certificate), "is no list"),
        ] {
            let told = parse_revocations("it", text.as_bytes()).expect_err(&text);
            assert!(told.contains(expected), "{told}");
        }
    }

    proptest! {
        /// RUSTSEC-2026-0104: a list is read before its signature is checked.
        #[test]
        fn a_damaged_list_is_survived(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            end in any::<prop::sample::Index>(),
        ) {
            let (certificate, mut list) = authority();
            for (place, byte) in damage {
                let place = place.index(list.len());
                list[place] = byte;
            }
            list.truncate(end.index(list.len()) + 1);
            let _ = parse_revocations("it", pem(&list).as_bytes());
            let id = identity(&[], &[]);
            let _ = check(&CaBundle { id, certificates: vec![certificate], revocations: vec![list] });
        }
    }
}
