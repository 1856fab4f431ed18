//! DNS over TLS and HTTPS by clients that others wrote: `kdig` (Debian package knot-dnsutils),
//! `curl`, dnspython (python3-dnspython, python3-httpx) and a browser (chromium).

mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use common::backend::Backend;
use common::{Block, Options, Site};

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: NET.20, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [NET.130]}]
ports: [{name: http, port: 8080}]
"#;

/// An authority of the test.
struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        // OpenSSL takes a certificate for self-signed that has the name of its issuer
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of the test");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// A Secret with a new certificate for `dns.test` and the address where DNS listens.
    fn secret(&self, block: &Block) -> String {
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["dns.test".to_owned(), block.ip(3).to_string()];
        let params = rcgen::CertificateParams::new(names).expect("parameters");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let indent = |pem: String| pem.replace('\n', "\n    ");
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: dns, namespace: infra}}\ntype: \
             kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indent(certificate.pem()),
            indent(key.serialize_pem()),
        )
    }
}

/// A site with DNS over TLS on `NET.3:853` and DNS over HTTPS on `NET.3:443`.
struct Encrypted {
    site: Site,
    authority: Authority,
    /// The certificate of the authority.
    ca: PathBuf,
    _outside: tempfile::TempDir,
    _pod: Backend,
}

impl Encrypted {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    fn start_with(change: impl FnOnce(&mut Options)) -> Self {
        let (block, authority) = (Block::claim(), Authority::new());
        let pod = Backend::http(block.addr(130, 8080), "web-0");
        let manifests = format!("{MANIFESTS}---\n{}", authority.secret(&block));
        let (tls, https) = (block.addr(3, 853), block.addr(3, 443));
        let site = Site::start_in(block, &manifests, |options| {
            options.set("dns-tls-listen", tls.to_string());
            options.set("dns-https-listen", https.to_string());
            options.set("dns-certificate", "infra/dns");
            change(options);
        });
        let outside = tempfile::tempdir().expect("a directory");
        let ca = outside.path().join("ca.pem");
        std::fs::write(&ca, &authority.pem).expect("a file");
        Self { site, authority, ca, _outside: outside, _pod: pod }
    }

    fn tls(&self) -> SocketAddr {
        self.site.block.addr(3, 853)
    }

    fn https(&self) -> SocketAddr {
        self.site.block.addr(3, 443)
    }

    fn ca(&self) -> String {
        self.ca.display().to_string()
    }

    /// The address of `web.shop`.
    fn web(&self) -> String {
        self.site.block.ip(20).to_string()
    }
}

/// What a program prints; it must succeed.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}{error}");
    text
}

const NAME: &str = "web.shop.svc.cluster.local";

#[test]
fn kdig_gets_verified_and_padded_answers_over_tls_and_https() {
    let served = Encrypted::start();
    let (tls_ca, ip) = (format!("+tls-ca={}", served.ca()), served.tls().ip().to_string());
    for transport in [&["+tls"][..], &["+https"], &["+https", "+https-get"]] {
        let port = if transport == ["+tls"] { "853" } else { "443" };
        let server = format!("@{ip}");
        let question = [&server, "-p", port, NAME, "A", "+padding", &tls_ca, "+tls-host=dns.test"];
        let text = run("kdig", &[&question[..], transport].concat());
        assert!(text.contains("status: NOERROR"), "{text}");
        let expected = format!("{NAME}. \t5\tIN\tA\t{}", served.web());
        let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = expected.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(spaced.contains(&expected), "{text}");
        assert!(text.contains("Received 468 B"), "{text}");
    }
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_missing_one_harms_nothing_else() {
    let served = Encrypted::start();
    let pin = || {
        let (ip, ca) = (format!("@{}", served.tls().ip()), format!("+tls-ca={}", served.ca()));
        let text = run("kdig", &[&ip, "-d", "-p", "853", NAME, "+tls", &ca, "+tls-host=dns.test"]);
        let pin = text.split("SHA-256 PIN: ").nth(1).and_then(|rest| rest.lines().next());
        pin.unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    let old = pin();
    assert_eq!(pin(), old);
    let secret = served.authority.secret(&served.site.block);
    served.site.save("main.yaml", &format!("{MANIFESTS}---\n{secret}"));
    assert_ne!(pin(), old);
    served.site.save("main.yaml", MANIFESTS);
    let told = served.site.findings();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].line.starts_with("--dns-certificate: RT103 Secret \"dns\" does not"),
        "{told:?}"
    );
    let dns = served.site.dns();
    let plain = run("dig", &["+short", NAME, &format!("@{}", dns.ip()), "-p", "53"]);
    assert_eq!(plain.trim(), served.web());
}

/// What `curl` gets of a path of DNS over HTTPS: status, version, type, Cache-Control and bytes.
fn curl(served: &Encrypted, arguments: &[&str], path: &str) -> (Vec<String>, Vec<u8>) {
    let body = served.site.dir.path().with_extension("body");
    let resolve = format!("dns.test:443:{}", served.https().ip());
    let url = format!("https://dns.test{path}");
    let format = "%{http_code} %{http_version} %{content_type} %header{cache-control}";
    let (ca, out) = (served.ca(), body.display().to_string());
    let common = ["-sS", "--cacert", &ca, "--resolve", &resolve, "-o", &out, "-w", format, &url];
    let told = run("curl", &[&common[..], arguments].concat());
    let bytes = std::fs::read(&body).unwrap_or_default();
    let _ = std::fs::remove_file(&body);
    (told.split(' ').map(str::to_owned).collect(), bytes)
}

#[test]
fn curl_gets_answers_and_refusals_by_both_versions_of_http() {
    let served = Encrypted::start();
    // id 0, recursion desired, web.shop.svc.cluster.local A
    let mut query = b"\0\0\x01\0\0\x01\0\0\0\0\0\0".to_vec();
    for label in NAME.split('.') {
        query.push(u8::try_from(label.len()).expect("a short label"));
        query.extend(label.as_bytes());
    }
    query.extend(b"\0\0\x01\0\x01");
    let file = served.ca.with_file_name("query");
    std::fs::write(&file, &query).expect("a file");
    let data = format!("@{}", file.display());
    let encoded = data_encoding::BASE64URL_NOPAD.encode(&query);
    let get = format!("/dns-query?dns={encoded}");
    let message = "content-type: application/dns-message";
    let web: std::net::Ipv4Addr = served.web().parse().expect("an address");
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let post = [option, "--data-binary", &data, "-H", message];
        for (arguments, path) in [(&post[..], "/dns-query"), (&[option], get.as_str())] {
            let (told, answer) = curl(&served, arguments, path);
            assert_eq!(told, ["200", version, "application/dns-message", "max-age=5"]);
            assert!(answer.ends_with(&web.octets()), "{answer:?}");
        }
        let plain = [option, "--data-binary", &data, "-H", "content-type: text/plain"];
        let delete = [option, "-X", "DELETE"];
        let large = [option, "--data-binary", &"x".repeat(10_000), "-H", message];
        for (arguments, path, status) in [
            (&plain[..], "/dns-query", "415"),
            (&delete, "/dns-query", "405"),
            (&large, "/dns-query", "413"),
            (&[option], "/dns-query?dns=%21", "400"),
            (&[option], "/", "404"),
            (&[option, "-I"], get.as_str(), "200"),
        ] {
            let (told, _) = curl(&served, arguments, path);
            assert_eq!(told[..2], [status, version], "{arguments:?}");
        }
    }
}

#[test]
fn curl_reaches_a_service_by_its_name_through_dns_over_https() {
    let served = Encrypted::start();
    let resolve = format!("dns.test:443:{}", served.https().ip());
    let (ca, url) = (served.ca(), format!("http://{NAME}/"));
    let doh = ["--doh-url", "https://dns.test/dns-query", "--resolve", &resolve, "--cacert", &ca];
    let answer = run("curl", &[&["-sS", "--noproxy", "*", &url][..], &doh].concat());
    assert!(answer.contains("web-0"), "{answer}");
}

/// Asks by dnspython: pipelined over one TLS connection, then over HTTPS by GET and POST.
const PYTHON: &str = r"
import ssl, sys
import dns.message, dns.query
ip, ca, name, expected = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
context.set_alpn_protocols(['dot'])
query = lambda: dns.message.make_query(name, 'A', use_edns=True, pad=128)
def check(answer):
    records = [str(record) for record in answer.answer[0]]
    assert records == [expected], records
    assert answer.options[0].otype == 12, answer.options
import socket
with context.wrap_socket(socket.create_connection((ip, 853)), server_hostname='dns.test') as tls:
    assert tls.selected_alpn_protocol() == 'dot'
    queries = [query() for _ in range(10)]
    for it in queries:
        dns.query.send_tcp(tls, it)
    for it in queries:
        length = int.from_bytes(tls.recv(2), 'big')
        assert length == 468, length
        answer = dns.message.from_wire(tls.recv(length))
        assert answer.id == it.id
        check(answer)
check(dns.query.tls(query(), ip, port=853, server_hostname='dns.test', ssl_context=context))
url = f'https://{ip}/dns-query'
for post in [True, False]:
    check(dns.query.https(query(), url, post=post, verify=ca))
";

#[test]
fn dnspython_gets_answers_over_tls_and_https() {
    let served = Encrypted::start();
    let ip = served.tls().ip().to_string();
    run("/usr/bin/python3", &["-c", PYTHON, &ip, &served.ca(), NAME, &served.web()]);
}

/// A browser reaches a Service by its name, which it asks for by DNS over HTTPS alone. It trusts the
/// authority of the test, and asks nobody for names in `.local`, so the domain is another one.
#[test]
fn a_browser_reaches_a_service_by_its_name_through_dns_over_https() {
    let served = Encrypted::start_with(|options| options.set("cluster-domain", "cluster.test"));
    let home = tempfile::tempdir().expect("a directory");
    let trusted = home.path().join(".pki/nssdb");
    std::fs::create_dir_all(&trusted).expect("a directory");
    let trusted = format!("sql:{}", trusted.display());
    run("certutil", &["-d", &trusted, "-N", "--empty-password"]);
    run("certutil", &["-d", &trusted, "-A", "-t", "C,,", "-n", "test", "-i", &served.ca()]);
    let profile = home.path().join("profile");
    std::fs::create_dir(&profile).expect("a directory");
    let template = format!("https://{}/dns-query", served.https());
    let settings = format!(r#"{{"dns_over_https":{{"mode":"secure","templates":"{template}"}}}}"#);
    std::fs::write(profile.join("Local State"), settings).expect("a file");
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"])
        .args(["--disable-background-networking", "--no-proxy-server", "--timeout=15000"])
        .args([&format!("--user-data-dir={}", profile.display()), "--dump-dom"])
        .arg("http://web.shop.svc.cluster.test/")
        .env("HOME", home.path())
        .output()
        .expect("chromium must be installed");
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("web-0"), "{page}{}", String::from_utf8_lossy(&output.stderr));
}
