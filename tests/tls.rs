//! TLS in front: certificates by server name, swapped while connections live.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use common::backend::Backend;
use common::tls::{Algorithm, Authority, Identity, Tls};
use common::{Block, Options, Site};
use rustls::client::{Resumption, Tls12Resumption};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, NamedGroup, SignatureScheme};

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
fn keys_are_agreed_so_that_no_quantum_computer_finds_them_later() {
    let authority = Authority::new();
    let (site, _backend) = start(&authority);
    let tls = Tls::connect(&authority, site.https(), "shop.example.com").expect("trusted");
    assert_eq!(tls.key_exchange(), NamedGroup::X25519MLKEM768);
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

/// A Gateway whose listeners are on NET.2: 443 for everybody, 8443 for clients with a certificate.
const GATEWAY: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: rutter}
spec: {controllerName: rutter.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: rutter
  addresses: [{type: IPAddress, value: NET.2}]
  tls:
    frontend:
      default: {}
      perPort:
      - port: 8443
        tls: {validation: {caCertificateRefs: [{group: "", kind: ConfigMap, name: clients}]}}
  listeners:
  - {name: open, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: rsa}, {name: ecdsa}]}}
  - {name: closed, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: rsa}, {name: ecdsa}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
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

const HOST: &str = "shop.example.com";

fn start_gateway(authority: &Authority) -> (Site, Backend) {
    let secrets = secrets(authority);
    start_gateway_with(&(secrets + &authority.config_map("clients", None)))
}

fn secrets(authority: &Authority) -> String {
    authority.secret_of("rsa", &[HOST], Algorithm::Rsa)
        + &authority.secret_of("ecdsa", &[HOST], Algorithm::Ecdsa)
}

fn start_gateway_with(manifests: &str) -> (Site, Backend) {
    let block = Block::claim();
    let backend = Backend::http(block.addr(130, 8080), "web-0");
    let own = |options: &mut Options| options.set("https-port", "off");
    (Site::start_in(block, &(GATEWAY.to_owned() + manifests), own), backend)
}

#[test]
fn of_several_certificates_that_is_shown_which_the_client_can_check() {
    let authority = Authority::new();
    let (site, _backend) = start_gateway(&authority);
    for version in [&TLS12, &TLS13] {
        let shown = |only: &[SignatureScheme]| {
            let config = authority.client_that_checks(&[version], only);
            let tls = Tls::with(config, site.block.addr(2, 443), HOST).expect("trusted");
            tls.key_algorithm()
        };
        let rsa = [SignatureScheme::RSA_PSS_SHA256];
        let ecdsa = [SignatureScheme::ECDSA_NISTP256_SHA256];
        assert_eq!(shown(&rsa), Algorithm::Rsa, "{version:?}");
        assert_eq!(shown(&ecdsa), Algorithm::Ecdsa, "{version:?}");
        assert_eq!(shown(&[rsa, ecdsa].concat()), Algorithm::Ecdsa, "{version:?}");
    }
}

#[test]
fn a_session_is_resumed_on_whichever_worker_the_client_comes_to() {
    let authority = Authority::new();
    let (site, _backend) = start(&authority);
    for (version, by) in [
        (&TLS13, Tls12Resumption::Disabled),
        (&TLS12, Tls12Resumption::SessionIdOnly),
        (&TLS12, Tls12Resumption::SessionIdOrTickets),
    ] {
        let mut config = authority.client(&[version], None);
        config.resumption = Resumption::in_memory_sessions(8).tls12_resumption(by);
        let config = Arc::new(config);
        let visit = || {
            let mut tls = Tls::with(config.clone(), site.https(), HOST).expect("trusted");
            // the ticket comes before the answer
            assert!(tls.get(HOST).starts_with("HTTP/1.1 200"));
            tls
        };
        // held open, so that new ones go to the worker that has fewer
        let mut held = vec![visit()];
        assert_eq!(held[0].kind(), HandshakeKind::Full);
        for _ in 0..7 {
            let tls = visit();
            assert_eq!(tls.kind(), HandshakeKind::Resumed, "{version:?} {by:?}");
            held.push(tls);
        }
    }
}

/// What openssl says of a connection on which it asks for a page.
fn s_client(site: &Site, port: u16, session: [&str; 2], more: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &site.block.addr(2, port).to_string(), "-ign_eof"])
        .args(["-servername", HOST])
        .args(session)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl must be installed: apt-get install openssl");
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n");
    let mut stdin = child.stdin.take().expect("a pipe");
    // it may have been refused by then
    let _ = std::io::Write::write_all(&mut stdin, request.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it must end");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// CVE-2025-23419: a session of a listener that asks for nothing is no way into one that does.
#[test]
fn no_session_gets_its_client_by_the_check_of_certificates() {
    let authority = Authority::new();
    let (site, _backend) = start_gateway(&authority);
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let client = authority.client_identity("client");
    std::fs::write(path("client.pem"), client.pem()).expect("a file");
    for version in ["-tls1_2", "-tls1_3"] {
        let (open, closed) = (path(&format!("open{version}")), path(&format!("closed{version}")));
        let certificate = path("client.pem");
        let with_certificate = [version, "-cert", &certificate, "-key", &certificate];
        let said = s_client(&site, 443, ["-sess_out", &open], &[version]);
        assert!(said.contains("HTTP/1.1 200"), "{said}");
        assert!(Path::new(&open).exists(), "there must be a session: {said}");
        let said = s_client(&site, 443, ["-sess_in", &open], &[version]);
        assert!(said.contains("Reused, TLS") && said.contains("HTTP/1.1 200"), "{said}");
        assert!(!said.contains("Max Early Data: 1"), "0-RTT must be off: {said}");
        // not without a certificate …
        let said = s_client(&site, 8443, ["-sess_in", &open], &[version]);
        assert!(!said.contains("Reused, TLS") && !said.contains("HTTP/1.1"), "{said}");
        // … nor does the session take its place
        let said = s_client(&site, 8443, ["-sess_in", &open], &with_certificate);
        assert!(!said.contains("Reused, TLS") && said.contains("HTTP/1.1 200"), "{said}");
        // a session that began with the check may go on
        let said = s_client(&site, 8443, ["-sess_out", &closed], &with_certificate);
        assert!(said.contains("HTTP/1.1 200"), "{said}");
        let said = s_client(&site, 8443, ["-sess_in", &closed], &with_certificate);
        assert!(said.contains("Reused, TLS") && said.contains("HTTP/1.1 200"), "{said}");
        // and back it is no session of the other listener
        let said = s_client(&site, 443, ["-sess_in", &closed], &with_certificate);
        assert!(!said.contains("Reused, TLS") && said.contains("HTTP/1.1 200"), "{said}");
    }
}

#[test]
fn a_revoked_client_is_let_in_no_more_and_its_connections_are_cut() {
    let authority = Authority::new();
    let secrets = secrets(&authority);
    let (first, second) = (authority.client_identity("first"), authority.client_identity("second"));
    let none = authority.config_map("clients", Some(&[]));
    let (site, _backend) = start_gateway_with(&(secrets.clone() + &none));
    let addr = site.block.addr(2, 8443);
    let client = |version, identity| Arc::new(authority.client(&[version], Some(identity)));
    let visit = |config: &Arc<ClientConfig>| -> std::io::Result<Tls> {
        let mut tls = Tls::with(config.clone(), addr, HOST)?;
        let answer = tls.try_get(HOST)?;
        let is_in = answer.starts_with("HTTP/1.1 200");
        is_in.then_some(tls).ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
    };
    let configs = [(&TLS12, &first), (&TLS13, &first), (&TLS12, &second), (&TLS13, &second)];
    let configs = configs.map(|(version, identity)| client(version, identity));
    let mut held = configs.each_ref().map(|config| visit(config).expect("nobody is revoked"));
    let save = |revoked: &[&Identity]| {
        let list = authority.config_map("clients", Some(revoked));
        site.save("main.yaml", &(GATEWAY.to_owned() + &secrets + &list));
    };
    save(&[&first]);
    let [one, two, three, four] = &mut held;
    one.until_the_end();
    two.until_the_end();
    assert!(three.get(HOST).starts_with("HTTP/1.1 200"), "the other one goes on");
    assert!(four.get(HOST).starts_with("HTTP/1.1 200"), "the other one goes on");
    // nor by the session that the client has from before
    let is_in = configs.each_ref().map(|config| visit(config).is_ok());
    assert_eq!(is_in, [false, false, true, true]);
    save(&[&first, &second]);
    three.until_the_end();
    four.until_the_end();
    save(&[]);
    assert!(configs.iter().all(|config| visit(config).is_ok()), "nobody is revoked any more");
}

#[test]
fn a_list_of_revoked_certificates_that_cannot_be_read_is_a_finding_and_lets_nobody_in() {
    let authority = Authority::new();
    let list = authority.config_map("clients", Some(&[])).replace("X509 CRL", "NO CRL");
    let (site, _backend) = start_gateway_with(&(secrets(&authority) + &list));
    let findings = site.findings();
    let told = findings.iter().any(|it| it.line.contains("ca.crl of ConfigMap default/clients"));
    assert!(told, "{findings:#?}");
    let client = authority.client_identity("client");
    let config = Arc::new(authority.client(rustls::ALL_VERSIONS, Some(&client)));
    let answer = Tls::with(config, site.block.addr(2, 8443), HOST);
    assert!(answer.and_then(|mut tls| tls.try_get(HOST)).is_err());
}
