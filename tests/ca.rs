//! `rutter ca`, and what others say of what it makes.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use common::Site;
use common::tls::Tls;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

fn ca(dir: &Path, words: &[&str]) -> Output {
    let (command, rest) = words.split_first().expect("a command");
    Command::new(common::rutter())
        .args(["ca", command, "--dir", dir.to_str().expect("text")])
        .args(rest)
        .output()
        .expect("rutter must run")
}

#[track_caller]
fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[track_caller]
fn refused(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("it must be there").permissions().mode() & 0o777
}

/// Whether openssl takes a certificate for that use.
fn is_verified(dir: &Path, certificate: &str, purpose: &str, more: &[&str]) -> bool {
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
        .arg(dir.join("ca.pem"))
        .args(more)
        .arg(dir.join(certificate))
        .output()
        .expect("openssl must be installed: apt-get install openssl");
    output.status.success()
}

#[test]
fn an_authority_is_made_once_and_its_keys_are_for_nobody_else() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path().join("new/ca");
    said(&ca(&dir, &["init"]));
    assert_eq!(mode(&dir), 0o700);
    assert_eq!((mode(&dir.join("ca.pem")), mode(&dir.join("ca-key.pem"))), (0o644, 0o600));
    let before = std::fs::read(dir.join("ca-key.pem")).expect("a key");
    let message = refused(&ca(&dir, &["init"]), 78);
    assert!(message.contains("not overwritten"), "{message}");
    assert_eq!(std::fs::read(dir.join("ca-key.pem")).expect("a key"), before);
    // a file that others could read does not keep its permissions
    let key = dir.join("a.test-key.pem");
    std::fs::write(&key, "").expect("a file");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    said(&ca(&dir, &["issue", "a.test"]));
    assert_eq!((mode(&key), mode(&dir.join("a.test.pem"))), (0o600, 0o644));
}

#[test]
fn certificates_are_for_their_names_and_use_as_openssl_sees_them() {
    let temporary = tempfile::tempdir().expect("a directory");
    let dir = temporary.path();
    said(&ca(dir, &["init", "--name", "mine"]));
    let printed = said(&ca(dir, &["issue", "*.a.test", "B.test", "127.0.0.1", "::1"]));
    assert!(printed.contains("_wildcard.a.test-key.pem"), "{printed}");
    said(&ca(dir, &["issue", "somebody", "--client"]));
    for (certificate, purpose, more, expected) in [
        ("_wildcard.a.test.pem", "sslserver", ["-verify_hostname", "x.a.test"], true),
        ("_wildcard.a.test.pem", "sslserver", ["-verify_hostname", "b.test"], true),
        ("_wildcard.a.test.pem", "sslserver", ["-verify_hostname", "c.test"], false),
        ("_wildcard.a.test.pem", "sslserver", ["-verify_ip", "127.0.0.1"], true),
        ("_wildcard.a.test.pem", "sslserver", ["-verify_ip", "::1"], true),
        ("_wildcard.a.test.pem", "sslclient", ["-verify_hostname", "b.test"], false),
        ("somebody.pem", "sslclient", ["-verify_hostname", "somebody"], true),
        ("somebody.pem", "sslserver", ["-verify_hostname", "somebody"], false),
    ] {
        let verified = is_verified(dir, certificate, purpose, &more);
        assert_eq!(verified, expected, "{certificate} {purpose} {more:?}");
    }
}

#[test]
fn a_printed_secret_is_served() {
    let dir = tempfile::tempdir().expect("a directory");
    said(&ca(dir.path(), &["init"]));
    let secret = said(&ca(dir.path(), &["issue", "shop.localhost", "--secret", "shop/web"]));
    assert!(!dir.path().join("shop.localhost.pem").exists(), "nothing is to be written");
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: \
                   shop}\nspec: {tls: [{hosts: [shop.localhost], secretName: web}], defaultBackend: \
                   {service: {name: web, port: {number: 80}}}}\n---\n";
    let site = Site::start(&(ingress.to_owned() + &secret));
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(dir.path().join("ca.pem")).expect("PEM");
    roots.add(authority).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Tls::with(Arc::new(config), site.https(), "shop.localhost").expect("it must be trusted");
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let dir = tempfile::tempdir().expect("a directory");
    for words in [&["issue", "a.test"][..], &["trust"]] {
        let message = refused(&ca(dir.path(), words), 78);
        assert!(message.contains("rutter ca init"), "{message}");
    }
    said(&ca(dir.path(), &["init"]));
    for name in ["a/b", "", "a..test", "*.*.test", "ca", "ca-key", "ä.test"] {
        let message = refused(&ca(dir.path(), &["issue", name]), 64);
        assert!(message.contains("no host name"), "{name:?}: {message}");
    }
    std::fs::write(dir.path().join("ca-key.pem"), "nothing").expect("a file");
    let message = refused(&ca(dir.path(), &["issue", "a.test"]), 78);
    assert!(message.contains("no authority that can sign"), "{message}");
}

/// In a mount namespace of its own, so that this machine goes on trusting whom it trusts.
#[test]
fn an_installed_authority_is_trusted_by_the_system() {
    let dir = tempfile::tempdir().expect("a directory");
    said(&ca(dir.path(), &["init"]));
    said(&ca(dir.path(), &["issue", "a.test"]));
    let told = said(&ca(dir.path(), &["trust"]));
    assert!(told.contains("update-ca-certificates") && told.contains("certutil"), "{told}");
    let program = "set -e; mount -t tmpfs tmpfs /usr/local/share/ca-certificates; \
                   cp -a /etc/ssl/certs \"$2/certs\"; mount --bind \"$2/certs\" /etc/ssl/certs; \
                   ! openssl verify \"$2/a.test.pem\" >&2; \"$1\" ca trust --dir \"$2\" --install; \
                   openssl verify \"$2/a.test.pem\"";
    let as_root = rustix::process::geteuid().is_root();
    let output = Command::new("unshare")
        .arg(if as_root { "-m" } else { "-rm" })
        .args(["sh", "-c", program, "sh"])
        .arg(common::rutter())
        .arg(dir.path())
        .output()
        .expect("unshare must be installed: apt-get install util-linux");
    let printed = said(&output);
    assert!(printed.contains("take it back") && printed.contains("a.test.pem: OK"), "{printed}");
}
