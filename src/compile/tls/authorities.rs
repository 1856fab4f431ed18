//! `ca.crt` → authorities.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::{identity, value};
use crate::compile::references::AuthoritySource;
use crate::snapshot::CaBundle;

/// The certificates of a ConfigMap's or Secret's `ca.crt`. The error says what is wrong with it.
pub(in crate::compile) fn authorities(source: AuthoritySource<'_>) -> Result<CaBundle, String> {
    let (who, pem) = match source {
        AuthoritySource::ConfigMap(key, stored) => {
            let text = stored.object.data.get(CA).map(|text| text.as_bytes().to_vec());
            let text = text.ok_or_else(|| format!("ConfigMap {key} has no {CA}"));
            (format!("ConfigMap {key}"), text?)
        }
        AuthoritySource::Secret(key, stored) => {
            let text = value(&stored.object, CA);
            (format!("Secret {key}"), text.map_err(|why| format!("{why} ({key})"))?)
        }
    };
    parse_authorities(&format!("{CA} of {who}"), &pem)
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
    Ok(CaBundle { id: identity(&certificates, &[]), certificates })
}

/// All of them together.
pub(in crate::compile) fn joined(bundles: Vec<CaBundle>) -> Option<Arc<CaBundle>> {
    let mut certificates: Vec<_> = bundles.into_iter().flat_map(|it| it.certificates).collect();
    certificates.sort();
    certificates.dedup();
    let id = identity(&certificates, &[]);
    (!certificates.is_empty()).then(|| Arc::new(CaBundle { id, certificates }))
}

const CA: &str = "ca.crt";
