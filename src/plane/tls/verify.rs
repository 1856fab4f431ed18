//! What must be true of an endpoint's certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::snapshot::SubjectName;

/// Verifies chain, validity and that nobody took the certificate back, then names: one of `names`, or
/// the server name if there are none (GEP-1897). webpki compares no URIs, so subject alternative names
/// are compared here.
#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    pub(super) names: Vec<SubjectName>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.webpki.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        if self.names.is_empty() {
            return verified;
        }
        match verified {
            // the name is what is looked at last
            Ok(_)
            | Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        if !is_for_one_of(end_entity, &self.names) {
            return Err(CertificateError::NotValidForName.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Takes every certificate, and sees that it is the server's own.
#[derive(Debug)]
pub(super) struct Unverified(pub(super) WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// Whether one of the certificate's subject alternative names is one of `names`.
fn is_for_one_of(certificate: &[u8], names: &[SubjectName]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return false };
    let shown = &alternatives.value.general_names;
    names.iter().any(|wanted| shown.iter().any(|shown| is_match(wanted, shown)))
}

fn is_match(wanted: &SubjectName, shown: &GeneralName<'_>) -> bool {
    match (wanted, shown) {
        (SubjectName::Dns(wanted), GeneralName::DNSName(shown)) => {
            let (wanted, shown) = (wanted.to_ascii_lowercase(), shown.to_ascii_lowercase());
            wanted == shown || covers(&shown, &wanted) || covers(&wanted, &shown)
        }
        (SubjectName::Uri(wanted), GeneralName::URI(shown)) => **wanted == **shown,
        (SubjectName::Dns(_) | SubjectName::Uri(_), _) => false,
    }
}

/// Whether a wildcard stands for a host: `*` is exactly one label, the first (RFC 9525).
fn covers(wildcard: &str, host: &str) -> bool {
    let below = host.split_once('.').filter(|(label, _)| !label.is_empty() && *label != "*");
    match (wildcard.strip_prefix("*."), below) {
        (Some(suffix), Some((_, parent))) => suffix == parent,
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn san(kind: &str, value: &str) -> SanType {
        let text = Ia5String::try_from(value).expect("a name is ASCII");
        match kind {
            "dns" => SanType::DnsName(text),
            "uri" => SanType::URI(text),
            "mail" => SanType::Rfc822Name(text),
            "ip" => SanType::IpAddress(value.parse().expect("an address")),
            other => panic!("{other}"),
        }
    }

    fn certificate(names: &str) -> Vec<u8> {
        let mut params = CertificateParams::default();
        let names = names.split_whitespace().map(|it| it.split_once('=').expect("kind=name"));
        params.subject_alt_names = names.map(|(kind, name)| san(kind, name)).collect();
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn one_name_of_the_policy_must_be_one_name_of_the_certificate() {
        let rows = [
            ("dns=a.test", "dns=a.test", true),
            ("dns=A.test", "dns=a.TEST", true),
            ("dns=a.test", "dns=b.test", false),
            ("dns=x.test dns=b.test", "dns=a.test dns=b.test", true),
            ("dns=*.test", "dns=a.test", true),
            ("dns=*.test", "dns=a.b.test", false),
            ("dns=*.test", "dns=test", false),
            ("dns=*.test", "dns=.test", false),
            ("dns=*.test", "dns=*.test", true),
            ("dns=a.test", "dns=*.test", true),
            ("dns=a.b.test", "dns=*.test", false),
            ("dns=*.b.test", "dns=*.test", false),
            ("dns=*.test", "dns=*.b.test", false),
            ("uri=spiffe://a/b", "uri=spiffe://a/b", true),
            ("uri=spiffe://a/b", "uri=spiffe://a/B", false),
            ("uri=spiffe://a/b", "uri=spiffe://a", false),
            ("uri=spiffe://a/b dns=a.test", "uri=spiffe://c dns=a.test", true),
            ("uri=a.test", "dns=a.test", false),
            ("dns=a.test", "uri=a.test", false),
            ("mail=a@a.test", "dns=a@a.test", false),
            ("ip=127.0.0.1", "dns=127.0.0.1", false),
            ("", "dns=a.test", false),
        ];
        for (shown, wanted, expected) in rows {
            let names = wanted.split_whitespace().map(|it| match it.split_once('=') {
                Some(("dns", name)) => SubjectName::Dns(name.into()),
                Some(("uri", name)) => SubjectName::Uri(name.into()),
                other => panic!("{other:?}"),
            });
            let names: Vec<_> = names.collect();
            assert_eq!(is_for_one_of(&certificate(shown), &names), expected, "{shown} {wanted}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_for_nobody() {
        assert!(!is_for_one_of(b"no certificate", &[SubjectName::Dns("a".into())]));
    }
}
