//! TLS in front of the pod, and what is told about it.

use std::net::SocketAddr;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The certificate of a pod, as PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The chain, leaf first.
    pub certificate: Vec<u8>,
    /// Its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: Vec<u8>,
    /// Who may have signed certificates of clients. A client that shows one must have it from
    /// there; one that shows none is served.
    pub client_ca: Option<Vec<u8>>,
}

/// PEM that cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// No PEM, or none of what is needed.
    #[error("not PEM: {0}")]
    Pem(#[from] rustls_pki_types::pem::Error),
    /// Not usable for TLS.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// Not usable for the certificates of clients.
    #[error(transparent)]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

impl Tls {
    /// What accepts connections and agrees on one of `protocols` (ALPN) where there are any.
    pub(super) fn acceptor(&self, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
        let provider = Arc::new(default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                for root in certificates(ca)? {
                    roots.add(root)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    Ok(CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?)
}

/// Shakes hands. `None`: the client is told why by an alert.
pub(super) async fn accept(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    client: SocketAddr,
) -> Option<Box<TlsStream<TcpStream>>> {
    match acceptor.accept(stream).await {
        Ok(stream) => Some(Box::new(stream)),
        Err(error) => {
            tracing::debug!(%client, %error, "no TLS");
            None
        }
    }
}

/// What was agreed on; the names are those of Go's crypto/tls, as the conformance suites have them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    /// `TLSv1.3`.
    pub(super) version: String,
    /// PEM, leaf first; none if the client showed none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) peer_certificates: Vec<String>,
    /// As the client sent it; empty if it sent none.
    pub(super) server_name: String,
    /// By ALPN; empty if there was no agreement.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) negotiated_protocol: String,
    /// `TLS_AES_128_GCM_SHA256`.
    pub(super) cipher_suite: String,
}

impl Session {
    pub(super) fn of(connection: &ServerConnection) -> Self {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
            other => format!("{other:?}"),
        };
        let suite = connection.negotiated_cipher_suite();
        let suite = suite.map_or_else(String::new, |suite| format!("{:?}", suite.suite()));
        let protocol = connection.alpn_protocol().unwrap_or_default();
        Self {
            version,
            peer_certificates: connection
                .peer_certificates()
                .into_iter()
                .flatten()
                .map(|certificate| pem(certificate))
                .collect(),
            server_name: connection.server_name().unwrap_or_default().to_owned(),
            negotiated_protocol: String::from_utf8_lossy(protocol).into_owned(),
            cipher_suite: suite.replacen("TLS13_", "TLS_", 1),
        }
    }
}

/// RFC 7468: 64 characters a line.
fn pem(certificate: &[u8]) -> String {
    let text = BASE64.encode(certificate);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem += line;
        pem += "\n";
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}
