//! TLS in front: certificates by server name, swapped while connections live.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use common::backend::Backend;
use common::{Block, PATIENCE, Site};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A certificate authority of the test, and what it signed.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    roots: Arc<RootCertStore>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        Self { issuer: rcgen::Issuer::new(params, key), roots: Arc::new(roots) }
    }

    /// A `kubernetes.io/tls` Secret for these names.
    fn secret(&self, name: &str, hosts: &[&str]) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let params = rcgen::CertificateParams::new(hosts).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let indent = |pem: String| pem.replace('\n', "\n    ");
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: \
             kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indent(certificate.pem()),
            indent(key.serialize_pem()),
        )
    }
}

struct Tls(StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    fn connect(
        authority: &Authority,
        addr: SocketAddr,
        host: &str,
    ) -> Result<Self, std::io::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(authority.roots.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
        let stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    fn get(&mut self, host: &str) -> String {
        let request = format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        self.0.write_all(request.as_bytes()).expect("to be sent");
        let mut answer = [0; 4096];
        let length = self.0.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn certificate(&self) -> CertificateDer<'static> {
        let chain = self.0.conn.peer_certificates().expect("a certificate");
        chain.first().expect("a leaf").clone().into_owned()
    }
}

const INGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  tls:
  - {hosts: [shop.example.com], secretName: exact}
  - {hosts: ["*.example.com"], secretName: wild}
  defaultBackend: {service: {name: web, port: {number: 80}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [NET.130]}]
ports: [{port: 8080}]
"#;

fn start(authority: &Authority) -> (Site, Backend) {
    let block = Block::claim();
    let backend = Backend::http(block.addr(130, 8080), "web-0");
    let manifests = INGRESS.to_owned()
        + &authority.secret("exact", &["shop.example.com"])
        + &authority.secret("wild", &["*.example.com"]);
    (Site::start_in(block, &manifests, |_| {}), backend)
}

#[test]
fn the_server_name_chooses_the_certificate_and_the_host_the_rule() {
    let authority = Authority::new();
    let (site, _backend) = start(&authority);
    let mut exact = Tls::connect(&authority, site.https(), "shop.example.com").expect("trusted");
    let wild = Tls::connect(&authority, site.https(), "other.example.com").expect("trusted");
    assert_ne!(exact.certificate(), wild.certificate());
    let answer = exact.get("shop.example.com");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("https"), "the backend must be told of https: {answer}");
    Tls::connect(&authority, site.https(), "deep.other.example.com")
        .err()
        .expect("a wildcard takes one label only");
}

#[test]
fn a_new_certificate_serves_new_connections_and_old_ones_live_on() {
    let authority = Authority::new();
    let (site, _backend) = start(&authority);
    let host = "shop.example.com";
    let mut old = Tls::connect(&authority, site.https(), host).expect("trusted");
    let manifests = INGRESS.to_owned()
        + &authority.secret("exact", &[host])
        + &authority.secret("wild", &["*.example.com"]);
    site.save("main.yaml", &manifests);
    let new = Tls::connect(&authority, site.https(), host).expect("trusted");
    assert_ne!(old.certificate(), new.certificate());
    assert!(old.get(host).starts_with("HTTP/1.1 200"), "the old connection must live on");
}

#[test]
fn a_broken_secret_keeps_the_last_certificate() {
    let authority = Authority::new();
    let (site, _backend) = start(&authority);
    let before = Tls::connect(&authority, site.https(), "shop.example.com").expect("trusted");
    site.save("extra.yaml", "kind: Secret\napiVersion: v1\nmetadata: {name: [exact\n");
    let after = Tls::connect(&authority, site.https(), "shop.example.com").expect("trusted");
    assert_eq!(before.certificate(), after.certificate());
}
