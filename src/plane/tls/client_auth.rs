//! What clients have to show (GEP-91), and who may show it no more.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

use crate::snapshot::{ClientAuth, ClientAuthMode};

/// The verifier of client certificates; an error if no authority can be used.
pub(super) fn verifier(
    client_auth: &ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    match client_auth.mode {
        ClientAuthMode::AllowInsecureFallback => Ok(Arc::new(Anybody(provider.clone()))),
        ClientAuthMode::AllowValidOnly => {
            let mut roots = RootCertStore::empty();
            let certificates = client_auth.authorities.certificates.iter().cloned();
            roots.add_parsable_certificates(certificates.map(CertificateDer::from));
            let revocations = client_auth.authorities.revocations.iter().cloned();
            // who is on no list is let in: an authority need not have one. A list counts until another
            // takes its place, also after the time at which its authority meant to make the next one
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
                .with_crls(revocations.map(CertificateRevocationListDer::from))
                .allow_unknown_revocation_status()
                .build()
                .map_err(|error| Error::General(error.to_string()))
        }
    }
}

/// Asks for a certificate and lets in whoever has none, or any. That a client has the key of the
/// certificate that it shows is checked all the same.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
