//! Certificates, authorities and clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::manifest::ObjectKey;
use crate::snapshot::{
    Authorities, CaBundle, Certificate, CertificateId, ClientAuth, ClientAuthMode, HostMatch,
    TlsEntry, TlsTable,
};

/// A certificate for a name.
pub(in crate::plane) fn certificate(id: u128, name: &str) -> Arc<Certificate> {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]);
    let made = made.expect("a certificate must be made");
    Arc::new(Certificate {
        id: CertificateId(id),
        secret: ObjectKey::new("default", name),
        origin: Default::default(),
        chain: vec![made.cert.der().to_vec()],
        key: made.signing_key.serialize_der(),
        names: vec![name.into()],
        not_after: i64::MAX,
    })
}

/// Who signs the certificates of clients.
pub(in crate::plane) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    bundle: Arc<CaBundle>,
}

impl Authority {
    pub(in crate::plane) fn new(id: u128) -> Self {
        let key = rcgen::KeyPair::generate().expect("a key must be made");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("authority {id}"));
        let made = params.self_signed(&key).expect("a certificate must be made");
        let bundle = CaBundle {
            id: CertificateId(id),
            certificates: vec![made.der().to_vec()],
            revocations: Vec::new(),
        };
        Self { issuer: rcgen::Issuer::new(params, key), bundle: Arc::new(bundle) }
    }

    /// A certificate for a client: without any name, as those of the conformance tests.
    pub(in crate::plane) fn client(&self) -> Certificate {
        self.client_until(None)
    }

    /// One that was valid once.
    pub(in crate::plane) fn expired_client(&self) -> Certificate {
        self.client_until(Some(rcgen::date_time_ymd(2020, 1, 1)))
    }

    fn client_until(&self, end: Option<time::OffsetDateTime>) -> Certificate {
        let key = rcgen::KeyPair::generate().expect("a key must be made");
        let mut params = rcgen::CertificateParams::default();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = end.unwrap_or(params.not_after);
        let made = params.signed_by(&key, &self.issuer).expect("a certificate must be made");
        let mut client = Certificate::clone(&certificate(0, "client"));
        (client.chain, client.key) = (vec![made.der().to_vec()], key.serialize_der());
        client
    }

    /// A certificate for servers of these names and addresses, valid until `end`.
    pub(in crate::plane) fn server(
        &self,
        names: &[&str],
        end: Option<time::OffsetDateTime>,
    ) -> Certificate {
        let key = rcgen::KeyPair::generate().expect("a key must be made");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).expect("names must be names");
        params.not_after = end.unwrap_or(params.not_after);
        let made = params.signed_by(&key, &self.issuer).expect("a certificate must be made");
        let mut server = Certificate::clone(&certificate(0, "server"));
        (server.chain, server.key) = (vec![made.der().to_vec()], key.serialize_der());
        server
    }

    /// Who trusts it.
    pub(in crate::plane) fn trusted(&self) -> Authorities {
        Authorities::Bundle(self.bundle.clone())
    }

    /// What a listener asks for.
    pub(in crate::plane) fn asked(&self, mode: ClientAuthMode) -> Arc<ClientAuth> {
        Arc::new(ClientAuth { authorities: self.bundle.clone(), mode })
    }
}

/// One certificate for every name.
pub(in crate::plane) fn table(
    certificate: &Arc<Certificate>,
    client_auth: Option<Arc<ClientAuth>>,
) -> Arc<TlsTable> {
    let certificates = vec![certificate.clone()];
    Arc::new(TlsTable::new(vec![TlsEntry { host: HostMatch::Any, certificates, client_auth }]))
}

/// A client that trusts everybody; the tests look at certificates themselves.
pub(in crate::plane) fn client_config(
    alpn: &[&str],
    identity: Option<&Certificate>,
) -> Arc<ClientConfig> {
    client_of_versions(rustls::ALL_VERSIONS, alpn, identity)
}

/// A client of some versions of TLS only.
pub(in crate::plane) fn client_of_versions(
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
    identity: Option<&Certificate>,
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("the provider must do TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Trusting));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.chain.iter().cloned().map(CertificateDer::from).collect();
            let key = PrivateKeyDer::try_from(identity.key.clone()).expect("a key must be one");
            builder.with_client_auth_cert(chain, key).expect("an identity must be one")
        }
    };
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Connects and shakes hands.
pub(in crate::plane) async fn shake_hands(
    addr: SocketAddr,
    name: &str,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name must be given");
    TlsConnector::from(config).connect(name, stream).await
}

/// Sends `words` and reads until `end`. An error: the connection was refused, which a client of
/// TLS 1.3 learns only after its handshake.
pub(in crate::plane) async fn ask(
    stream: &mut TlsStream<TcpStream>,
    words: &str,
    end: &str,
) -> io::Result<String> {
    stream.write_all(words.as_bytes()).await?;
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Whether a session was resumed.
pub(in crate::plane) fn is_resumed(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// What the client was shown.
pub(in crate::plane) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let chain = stream.get_ref().1.peer_certificates();
    chain.and_then(|chain| chain.first()).map(|it| it.to_vec()).unwrap_or_default()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Takes any certificate: the tests look at it themselves.
#[derive(Debug)]
struct Trusting;

impl rustls::client::danger::ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
