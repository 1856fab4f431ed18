//! A certificate authority, and endpoints that show what it signed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::life;
use crate::manifest::ObjectKey;
use crate::snapshot::{
    Authorities, CaBundle, Certificate, CertificateId, SubjectName, UpstreamTls,
};

/// Signs certificates.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    id: u128,
}

impl Authority {
    pub(super) fn new(id: u128) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        Self { issuer, id }
    }

    fn der(&self) -> Vec<u8> {
        self.issuer.as_ref().der().to_vec()
    }

    /// A certificate for hosts, addresses and, if they have a colon, URIs; valid up to a year.
    pub(super) fn sign(&self, id: u128, names: &[&str], until: i32) -> Arc<Certificate> {
        let (uris, hosts): (Vec<&str>, Vec<&str>) = names.iter().partition(|it| it.contains(':'));
        let hosts: Vec<String> = hosts.into_iter().map(str::to_owned).collect();
        let mut params = CertificateParams::new(hosts).expect("names");
        let uris = uris.into_iter().map(|uri| Ia5String::try_from(uri).expect("ASCII"));
        params.subject_alt_names.extend(uris.map(SanType::URI));
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let made = params.signed_by(&key, &self.issuer).expect("a certificate");
        Arc::new(Certificate {
            id: CertificateId(id),
            secret: ObjectKey::new("default", "certificate"),
            origin: Default::default(),
            chain: vec![made.der().to_vec()],
            key: key.serialize_der(),
            names: Vec::new(),
            not_after: i64::MAX,
        })
    }

    /// The same, but for a certificate that it has taken back.
    pub(super) fn policy_without(&self, revoked: &Certificate, server_name: &str) -> UpstreamTls {
        let (_, leaf) = x509_parser::parse_x509_certificate(&revoked.chain[0]).expect("X.509");
        let time = rcgen::date_time_ymd(2020, 1, 1);
        let revoked = rcgen::RevokedCertParams {
            serial_number: rcgen::SerialNumber::from_slice(leaf.raw_serial()),
            revocation_time: time,
            reason_code: None,
            invalidity_date: None,
        };
        let list = rcgen::CertificateRevocationListParams {
            this_update: time,
            next_update: rcgen::date_time_ymd(2100, 1, 1),
            crl_number: rcgen::SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).expect("a list").der().to_vec();
        let bundle = CaBundle {
            id: CertificateId(self.id + 1000),
            certificates: vec![self.der()],
            revocations: vec![list],
        };
        let authorities = Authorities::Bundle(Arc::new(bundle));
        UpstreamTls { authorities, ..self.policy(server_name, &[]) }
    }

    /// A policy that trusts this authority only.
    pub(super) fn policy(&self, server_name: &str, names: &[SubjectName]) -> UpstreamTls {
        let bundle = CaBundle {
            id: CertificateId(self.id),
            certificates: vec![self.der()],
            revocations: Vec::new(),
        };
        UpstreamTls {
            server_name: server_name.into(),
            authorities: Authorities::Bundle(Arc::new(bundle)),
            names: names.to_vec(),
            client: None,
        }
    }
}

/// An endpoint within TLS. It tells in its responses what it was told.
pub(super) struct Secure {
    pub(super) addr: SocketAddr,
    /// Handshakes that worked.
    pub(super) handshakes: Rc<Cell<usize>>,
}

impl Secure {
    pub(super) async fn http1(certificate: &Certificate, clients: Option<&Authority>) -> Self {
        let handshakes = Rc::<Cell<usize>>::default();
        let counted = handshakes.clone();
        let addr = accept(config(certificate, clients, &["http/1.1"]), move |stream| {
            counted.set(counted.get() + 1);
            life::spawn_local("origin", tell(stream));
        });
        Self { addr: addr.await, handshakes }
    }
}

pub(super) fn config(
    certificate: &Certificate,
    clients: Option<&Authority>,
    alpn: &[&str],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(authority.der())).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone()).expect("a key");
    let mut config = builder.with_single_cert(chain, key).expect("a certificate");
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Shakes hands with whoever comes.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    each: impl Fn(TlsStream<TcpStream>) + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 must be free");
    let addr = listener.local_addr().expect("a bound socket must have an address");
    life::spawn_local("origin", async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = TlsAcceptor::from(config.clone()).accept(stream).await {
                each(stream);
            }
        }
    });
    addr
}

/// Answers every request with what was shown in the handshake.
pub(super) async fn tell(mut stream: TlsStream<TcpStream>) {
    let session = stream.get_ref().1;
    let name = session.server_name().unwrap_or("none").to_owned();
    let alpn = String::from_utf8_lossy(session.alpn_protocol().unwrap_or_default()).into_owned();
    let client = session.peer_certificates().map_or(0, <[_]>::len);
    let told = format!("sni={name} alpn={alpn} certificates={client}");
    let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len());
    let mut read = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|length| length > 0) {
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            if stream.write_all(response.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
