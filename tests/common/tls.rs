//! Certificates of the test, and a blocking client of TLS.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup,
    RootCertStore, SignatureScheme, StreamOwned, SupportedProtocolVersion,
};

use super::PATIENCE;

/// Of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Rsa,
    Ecdsa,
}

/// A certificate authority of the test.
pub struct Authority {
    issuer: rcgen::Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
    roots: Arc<RootCertStore>,
}

/// Somebody with a certificate.
pub struct Identity {
    certificate: rcgen::Certificate,
    key: KeyPair,
    serial: SerialNumber,
}

impl Identity {
    /// Certificate and key.
    pub fn pem(&self) -> String {
        self.certificate.pem() + &self.key.serialize_pem()
    }
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages =
            vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority of the test");
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        Self { issuer: rcgen::Issuer::new(params, key), certificate, roots: Arc::new(roots) }
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Whoever trusts it, and nobody else.
    pub fn roots(&self) -> Arc<RootCertStore> {
        self.roots.clone()
    }

    /// Certificate and key of a server, PEM.
    pub fn server(&self, hosts: &[&str]) -> (String, String) {
        self.server_of(hosts, Algorithm::Ecdsa)
    }

    /// A `kubernetes.io/tls` Secret for these names.
    pub fn secret(&self, name: &str, hosts: &[&str]) -> String {
        self.secret_of(name, hosts, Algorithm::Ecdsa)
    }

    /// The same, with a key of that algorithm.
    pub fn secret_of(&self, name: &str, hosts: &[&str], algorithm: Algorithm) -> String {
        let (certificate, key) = self.server_of(hosts, algorithm);
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: \
             kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indented(certificate),
            indented(key),
        )
    }

    fn server_of(&self, hosts: &[&str], algorithm: Algorithm) -> (String, String) {
        let key = match algorithm {
            Algorithm::Ecdsa => KeyPair::generate(),
            Algorithm::Rsa => KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256),
        };
        let key = key.expect("a key");
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "server of the test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        // as short as scanners ask for
        params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(1);
        params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(60);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A ConfigMap with its certificate, and whom it has revoked.
    pub fn config_map(&self, name: &str, revoked: Option<&[&Identity]>) -> String {
        let revoked = revoked
            .map(|revoked| format!("  ca.crl: |\n    {}\n", indented(self.revocations(revoked))));
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  ca.crt: |\n    \
             {}\n{}",
            indented(self.pem()),
            revoked.unwrap_or_default(),
        )
    }

    fn revocations(&self, revoked: &[&Identity]) -> String {
        let now = time::OffsetDateTime::now_utc();
        let revoked = revoked.iter().map(|it| RevokedCertParams {
            serial_number: it.serial.clone(),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + time::Duration::days(1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).expect("a list").pem().expect("text")
    }

    /// A certificate for a client.
    pub fn client_identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        // of its own and known, so that it can be revoked
        let serial = SerialNumber::from_slice(&key.public_key_raw()[1..9]);
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate, key, serial }
    }

    /// A client that trusts it.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots.clone());
        let Some(identity) = identity else { return builder.with_no_client_auth() };
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
        let chain = vec![identity.certificate.der().clone()];
        builder.with_client_auth_cert(chain, key).expect("an identity")
    }

    /// A client that trusts it and checks only signatures of these schemes.
    pub fn client_that_checks(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        schemes: &[SignatureScheme],
    ) -> Arc<ClientConfig> {
        let provider = Arc::new(default_provider());
        let all = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider);
        let verifier = Only { all: all.build().expect("a verifier"), schemes: schemes.to_vec() };
        let mut config = self.client(versions, None);
        config.dangerous().set_certificate_verifier(Arc::new(verifier));
        Arc::new(config)
    }
}

fn indented(pem: String) -> String {
    pem.replace('\n', "\n    ")
}

/// A connection after its handshake.
pub struct Tls(StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    pub fn connect(
        authority: &Authority,
        addr: SocketAddr,
        host: &str,
    ) -> Result<Self, std::io::Error> {
        Self::with(Arc::new(authority.client(rustls::ALL_VERSIONS, None)), addr, host)
    }

    pub fn with(
        config: Arc<ClientConfig>,
        addr: SocketAddr,
        host: &str,
    ) -> Result<Self, std::io::Error> {
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let connection = ClientConnection::new(config, name).expect("a client");
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    pub fn get(&mut self, host: &str) -> String {
        self.try_get(host).expect("an answer")
    }

    /// An error, or nothing: the connection has ended.
    pub fn try_get(&mut self, host: &str) -> Result<String, std::io::Error> {
        let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.write_all(request.as_bytes())?;
        let mut answer = [0; 4096];
        let length = self.0.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    /// Waits for its end, with an error or without.
    pub fn until_the_end(&mut self) {
        let mut rest = [0; 4096];
        loop {
            match self.0.read(&mut rest) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    assert!(!is_time_out(&error), "the connection must end");
                    return;
                }
            }
        }
    }

    pub fn certificate(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("a certificate");
        chain.first().expect("a leaf").clone().into_owned()
    }

    /// Of the key of the certificate that was shown.
    pub fn key_algorithm(&self) -> Algorithm {
        let der = self.certificate();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).expect("X.509");
        let key = certificate.public_key().parsed().expect("a key");
        let is_rsa = matches!(key, x509_parser::public_key::PublicKey::RSA(_));
        if is_rsa { Algorithm::Rsa } else { Algorithm::Ecdsa }
    }

    /// By which the keys were agreed.
    pub fn key_exchange(&self) -> NamedGroup {
        self.0.conn.negotiated_key_exchange_group().expect("a group").name()
    }

    pub fn kind(&self) -> HandshakeKind {
        self.0.conn.handshake_kind().expect("a handshake")
    }
}

fn is_time_out(error: &std::io::Error) -> bool {
    [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&error.kind())
}

/// Offers some schemes of signatures only.
#[derive(Debug)]
struct Only {
    all: Arc<WebPkiServerVerifier>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.all.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.all.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.all.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
