//! Certificates from a real ACME server: pebble, on loopback, which finds hosts by rutter's own DNS.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use common::backend::Backend;
use common::site::Finding;
use common::tls::{Authority, Tls};
use common::{Block, Options, Site, http};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// A pebble of its own, and what rutter needs to ask it.
struct Pebble {
    dir: TempDir,
    net: String,
    child: Option<Child>,
}

impl Pebble {
    /// Certificates of it are valid for so many seconds.
    fn new(block: &Block, validity: u32) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let net = block.prefix();
        let authority = Authority::new();
        let (certificate, key) = authority.server(&[&format!("{net}.5")]);
        let place = |name: &str| dir.path().join(name).display().to_string();
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("{net}.5:14000"),
            "managementListenAddress": format!("{net}.5:15000"),
            "certificate": place("pebble.pem"),
            "privateKey": place("pebble-key.pem"),
            "httpPort": 80,
            "tlsPort": 443,
            "retryAfter": {"authz": 1, "order": 1},
            "profiles": {"default": {"description": "", "validityPeriod": validity}},
        }});
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("pebble.pem", certificate),
            ("pebble-key.pem", key),
            ("pebble.json", config.to_string()),
            ("hosts", format!("{net}.2 shop.test api.test gw.test\n")),
        ] {
            std::fs::write(place(name), text).expect("a file");
        }
        Self { dir, net, child: None }
    }

    fn place(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it, and waits until it answers.
    fn start(&mut self) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/pebble");
        assert!(
            program.exists(),
            "pebble is missing: tests/run.sh installs it, or: GOBIN=$PWD/target/tools/bin GOSUMDB=off \
             go install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.10.3"
        );
        let log = std::fs::File::create(self.place("log")).expect("a file");
        let child = Command::new(program)
            .args(["-dnsserver", &format!("{}.3:53", self.net), "-config"])
            .arg(self.place("pebble.json"))
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdout(Stdio::from(log))
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("pebble must run"));
        self.ask("15000/roots/0", None);
    }

    /// Asks it as its operator; it is asked again while it starts.
    fn ask(&self, path: &str, body: Option<&str>) -> Vec<u8> {
        let mut command = Command::new("curl");
        command.args(["-sSf", "--retry", "40", "--retry-delay", "1", "--retry-all-errors"]);
        command.arg("--cacert").arg(self.place("ca.pem"));
        if let Some(body) = body {
            command.args(["--data", body]);
        }
        let output = command.arg(format!("https://{}.5:{path}", self.net)).output();
        let output = output.expect("curl must be installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Whom it signs by.
    fn trusting(&self) -> Arc<ClientConfig> {
        let root = CertificateDer::from_pem_slice(&self.ask("15000/roots/0", None));
        let mut roots = RootCertStore::empty();
        roots.add(root.expect("a certificate")).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    /// Says that a certificate is to be renewed by now.
    fn suggest_renewal(&self, leaf: &CertificateDer<'_>) {
        let window = "{\"suggestedWindow\": {\"start\": \"2026-01-01T00:00:00Z\", \"end\": \
                      \"2026-01-02T00:00:00Z\"}}";
        let body = serde_json::json!({"Certificate": pem(leaf), "ARIResponse": window});
        self.ask("15000/set-renewal-info/", Some(&body.to_string()));
    }

    fn options(&self, challenge: &'static str) -> impl FnOnce(&mut Options) {
        let place = |name: &str| self.place(name).display().to_string();
        let (ca, state, hosts) = (place("ca.pem"), place("state"), place("hosts"));
        let directory = format!("https://{}.5:14000/dir", self.net);
        move |options| {
            options.set("acme-directory", directory);
            options.set("acme-email", "somebody@shop.test");
            options.set("acme-ca", ca);
            options.set("acme-state", state);
            options.set("acme-challenge", challenge);
            options.set("dns-hosts", hosts);
        }
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            if std::thread::panicking() {
                let log = std::fs::read_to_string(self.place("log")).unwrap_or_default();
                let _ = writeln!(std::io::stderr(), "{log}");
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn pem(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

const INGRESS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, annotations: {rutter.dev/acme: "true"}}
spec:
  tls:
  - {hosts: [shop.test, api.test], secretName: web}
  defaultBackend: {service: {name: web, port: {number: 80}}}
"#;

const SERVICE: &str = r#"
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

const GATEWAY: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: rutter}
spec: {controllerName: rutter.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, annotations: {rutter.dev/acme: "true"}}
spec:
  gatewayClassName: rutter
  addresses: [{type: IPAddress, value: NET.2}]
  listeners:
  - {name: gw, hostname: gw.test, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: gw}]}}
  - {name: wild, hostname: "*.test", port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: wild}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  parentRefs: [{name: gw}]
  rules: [{backendRefs: [{name: web, port: 80}]}]
"#;

/// Connects again after every change until the handshake is as wanted.
fn until(
    site: &Site,
    config: &Arc<ClientConfig>,
    host: &str,
    wanted: impl Fn(&Tls) -> bool,
) -> Tls {
    loop {
        let generation = site.status().generation;
        let connected = Tls::with(config.clone(), site.https(), host);
        let why = match connected {
            Ok(tls) if wanted(&tls) => return tls,
            Ok(_) => "it is another one".to_owned(),
            Err(error) => error.to_string(),
        };
        let what = format!("a certificate for {host}: {why}");
        site.wait(&what, |status| status.generation > generation);
    }
}

#[test]
fn an_ingress_is_served_while_the_server_is_down_and_has_its_certificate_when_it_is_up() {
    let block = Block::claim();
    let mut pebble = Pebble::new(&block, 7_776_000);
    let _backend = Backend::http(block.addr(130, 8080), "web-0");
    let manifests = INGRESS.to_owned() + SERVICE;
    let site = Site::start_in(block, &manifests, pebble.options("http-01"));
    assert_eq!(http::get(site.http(), "shop.test", "/").status, 200);
    // TLS is answered, by a certificate that nobody trusts
    let stranger = Authority::new();
    assert!(Tls::connect(&stranger, site.https(), "shop.test").is_err());
    pebble.start();
    let config = pebble.trusting();
    let mut shop = until(&site, &config, "shop.test", |_| true);
    let api = until(&site, &config, "api.test", |_| true);
    assert_eq!(shop.certificate(), api.certificate(), "one certificate has both names");
    assert!(shop.get("shop.test").starts_with("HTTP/1.1 200"));
    // what is no token of ours is for the rules
    let path = "/.well-known/acme-challenge/theirs";
    assert_eq!(http::get(site.http(), "shop.test", path).json()["path"], path);
    let findings = site.findings();
    assert!(findings.iter().all(Finding::is_note), "{findings:#?}");
}

#[test]
fn a_gateway_proves_its_hosts_in_the_handshake() {
    let block = Block::claim();
    let mut pebble = Pebble::new(&block, 7_776_000);
    let _backend = Backend::http(block.addr(130, 8080), "web-0");
    let of_pebble = pebble.options("tls-alpn-01");
    let site = Site::start_in(block, &(GATEWAY.to_owned() + SERVICE), |options| {
        of_pebble(options);
        options.set("http-port", "off");
        options.set("https-port", "off");
    });
    pebble.start();
    let config = pebble.trusting();
    let mut tls = until(&site, &config, "gw.test", |_| true);
    assert!(tls.get("gw.test").starts_with("HTTP/1.1 200"));
    let findings = site.findings();
    let told = |text: &str| findings.iter().any(|it| it.line.contains(text));
    assert!(told("no certificate is ordered for *.test"), "{findings:#?}");
}

#[test]
fn what_was_issued_is_kept_and_renewed_when_the_server_suggests_it() {
    let block = Block::claim();
    let mut pebble = Pebble::new(&block, 7_776_000);
    let _backend = Backend::http(block.addr(130, 8080), "web-0");
    let manifests = INGRESS.to_owned() + SERVICE;
    let site = Site::start_in(block, &manifests, pebble.options("http-01"));
    pebble.start();
    let config = pebble.trusting();
    let first = until(&site, &config, "shop.test", |_| true).certificate();
    // as after a restart: nothing is known but the state
    let forget = || {
        site.save("main.yaml", &manifests.replace("\"true\"", "\"false\""));
        site.wait("nothing to be wanted", |_| {
            let missing = |it: &Finding| it.line.contains("Secret \"web\" does not exist");
            site.findings().iter().any(missing)
        });
        site.write("main.yaml", &manifests);
    };
    forget();
    let mut old = until(&site, &config, "shop.test", |_| true);
    assert_eq!(old.certificate(), first, "it must be the one that is kept");
    pebble.suggest_renewal(&first);
    forget();
    let second = until(&site, &config, "shop.test", |tls| tls.certificate() != first);
    assert_ne!(second.certificate(), first);
    assert!(old.get("shop.test").starts_with("HTTP/1.1 200"), "old connections live on");
    let log = std::fs::read_to_string(pebble.place("log")).expect("a log");
    assert!(log.contains("renewal-info") || log.contains("replace"), "{log}");
    let mode = |path: &Path| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).expect("it is there")) & 0o777
    };
    assert_eq!(mode(&pebble.place("state")), 0o700);
    for entry in std::fs::read_dir(pebble.place("state")).expect("the state") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_certificate_is_renewed_before_it_ends_without_a_restart() {
    let block = Block::claim();
    let mut pebble = Pebble::new(&block, 8);
    let _backend = Backend::http(block.addr(130, 8080), "web-0");
    let manifests = INGRESS.to_owned() + SERVICE;
    let site = Site::start_in(block, &manifests, pebble.options("http-01"));
    pebble.start();
    let config = pebble.trusting();
    let first = until(&site, &config, "shop.test", |_| true).certificate();
    let second = until(&site, &config, "shop.test", |tls| tls.certificate() != first);
    assert_ne!(second.certificate(), first);
}
