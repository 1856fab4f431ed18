//! What a scanner says of TLS in front: Mozilla's guidelines 5.7, as sslyze checks them.

mod common;

use std::path::Path;
use std::process::Command;

use common::Site;
use common::tls::{Algorithm, Authority};

const HOST: &str = "shop.example.com";

fn manifests(authority: &Authority, algorithm: Algorithm) -> String {
    let ingress = "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web}\nspec: {tls: \
                   [{hosts: [shop.example.com], secretName: web}], defaultBackend: {service: {name: \
                   web, port: {number: 80}}}}\n";
    ingress.to_owned() + &authority.secret_of("web", &[HOST], algorithm)
}

/// Runs sslyze against a rutter with that profile and a key of that algorithm: what it says, and
/// whether it is content.
fn scan(profile: Option<&str>, algorithm: Algorithm, against: &str) -> (bool, String) {
    let authority = Authority::new();
    let site = Site::start_with(&manifests(&authority, algorithm), |options| {
        profile.into_iter().for_each(|profile| options.set("tls-profile", profile));
    });
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/sslyze/bin/python");
    assert!(
        python.exists(),
        "sslyze is missing: tests/run.sh installs it, or: python3 -m venv target/tools/sslyze && \
         target/tools/sslyze/bin/pip install sslyze==6.3.1"
    );
    let authorities = site.dir.path().join("ca.pem");
    std::fs::write(&authorities, authority.pem()).expect("a file");
    let output = Command::new(python)
        .args(["-m", "sslyze", "--mozilla_config", against, "--sni", HOST, "--certinfo_ca_file"])
        .arg(authorities)
        .arg(site.https().to_string())
        .output()
        .expect("it must run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said + &String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_intermediate_profile_is_the_default() {
    for algorithm in [Algorithm::Ecdsa, Algorithm::Rsa] {
        let (content, said) = scan(None, algorithm, "intermediate");
        assert!(content && said.contains("OK - Compliant"), "{algorithm:?}: {said}");
    }
}

#[test]
fn the_modern_profile_is_an_option() {
    let (content, said) = scan(Some("modern"), Algorithm::Ecdsa, "modern");
    assert!(content && said.contains("OK - Compliant"), "{said}");
}

#[test]
fn the_scanner_tells_the_profiles_apart() {
    let (content, said) = scan(Some("intermediate"), Algorithm::Ecdsa, "modern");
    assert!(!content && said.contains("TLSv1.2"), "{said}");
}
