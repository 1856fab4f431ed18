//! HTTP/2 as h2spec judges it (RFC 7540 and 7541, case by case), in the clear and over TLS.

mod common;

use std::process::Command;

use common::backend::Backend;
use common::{Block, Site};
use rcgen::{CertificateParams, KeyPair};

const MANIFESTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec:
  ingressClassName: rutter
  tls: [{secretName: any}]
  defaultBackend: {service: {name: echo, port: {number: 80}}}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {clusterIP: NET.20, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [NET.130]}]
";

/// A certificate for anybody: h2spec does not look at it.
fn secret() -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["any.test".to_owned()]).expect("parameters");
    let certificate = params.self_signed(&key).expect("a certificate");
    let indent = |pem: String| pem.replace('\n', "\n    ");
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: any}}\ntype: kubernetes.io/tls\n\
         stringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
        indent(certificate.pem()),
        indent(key.serialize_pem())
    )
}

/// How many cases there were and how many passed, and what it said of the others.
fn h2spec(site: &Site, more: &[&str]) -> (usize, usize, String) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/bin/h2spec");
    let mut command = Command::new(program);
    command.args(["--host", &site.block.ip(2).to_string(), "--timeout", "5"]).args(more);
    // some cases say in several frames what must be wrong before the answer is complete, as it may be
    // after the first of them: a stream that is over by then is closed without an error
    command.args(["--path", "/?delay=100"]);
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run.sh installs it"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, failures) = said.split_once("Failures:").unwrap_or_default();
    let summary = said.lines().rev().find(|line| line.contains(" tests, ")).unwrap_or_default();
    let mut numbers = summary.split(", ").filter_map(|it| it.split(' ').next()?.parse().ok());
    let (Some(cases), Some(passed)) = (numbers.next(), numbers.next()) else {
        panic!("no summary in {said}{}", String::from_utf8_lossy(&output.stderr));
    };
    (cases, passed, failures.to_owned())
}

fn site() -> (Site, Backend) {
    let block = Block::claim();
    // a body of a few bytes at least, or some cases have nothing to look at
    let pod = Backend::http(block.addr(130, 8080), "h2spec");
    (Site::start_in(block, &(MANIFESTS.to_owned() + &secret()), |_| {}), pod)
}

#[test]
fn every_case_passes_over_tls() {
    let (site, _pod) = site();
    let (cases, passed, failures) = h2spec(&site, &["--port", "443", "--tls", "--insecure"]);
    assert!(cases >= 145, "{cases} cases");
    assert_eq!(passed, cases, "{failures}");
}

#[test]
fn every_case_passes_in_the_clear() {
    let (site, _pod) = site();
    let (cases, passed, failures) = h2spec(&site, &["--port", "80"]);
    assert!(cases >= 145, "{cases} cases");
    assert_eq!(passed, cases, "{failures}");
}
