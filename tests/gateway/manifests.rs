//! Every manifest of the conformance suite, as it is, through `rutter check`: there are no findings
//! but those that the tests are about, and a few slips of upstream.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::Block;
use crate::suite::{beside, deployed, upstream};

/// What the tests are about, by file: code, kind, name, field.
const INTENDED: &[(&str, &[&str])] = &[
    (
        "backendtlspolicy-conflict-resolution",
        &[
            "RT204 BackendTLSPolicy conflicted-with-section-name-2 spec.targetRefs[0]",
            "RT204 BackendTLSPolicy conflicted-without-section-name-2 spec.targetRefs[0]",
        ],
    ),
    (
        "backendtlspolicy-invalid-ca-certificate-ref",
        &[
            "RT112 BackendTLSPolicy nonexistent-ca-certificate-ref spec.validation.caCertificateRefs[0].name",
            "RT301 BackendTLSPolicy malformed-ca-certificate-ref spec.validation.caCertificateRefs[0]",
        ],
    ),
    (
        "backendtlspolicy-invalid-kind",
        &["RT007 BackendTLSPolicy invalid-kind spec.validation.caCertificateRefs[0]"],
    ),
    (
        "gateway-invalid-default-frontend-client-certificate-validation",
        &[
            "RT112 Gateway invalid-default-client-validation-config spec.tls.frontend.default.validation.caCertificateRefs[0].name",
        ],
    ),
    (
        "gateway-invalid-listeners-unsupported-protocol",
        &[
            "RT007 Gateway gateway-only-unsupported-protocols spec.listeners[0].protocol",
            "RT007 Gateway gateway-supported-and-unsupported-protocols spec.listeners[1].protocol",
        ],
    ),
    (
        "gateway-invalid-parameters-ref",
        &["RT007 Gateway gateway-invalid-parameters-ref spec.infrastructure.parametersRef"],
    ),
    (
        "gateway-invalid-route-kind",
        &[
            "RT007 Gateway gateway-only-invalid-route-kind spec.listeners[0].allowedRoutes.kinds[0]",
            "RT007 Gateway gateway-supported-and-invalid-route-kind spec.listeners[0].allowedRoutes.kinds[0]",
        ],
    ),
    (
        "gateway-invalid-tls-backend-configuration",
        &[
            "RT007 Gateway gateway-client-certificate-unsupported-group spec.tls.backend.clientCertificateRef",
            "RT007 Gateway gateway-client-certificate-unsupported-kind spec.tls.backend.clientCertificateRef",
            "RT103 Gateway gateway-client-certificate-nonexistent-secret spec.tls.backend.clientCertificateRef",
            "RT109 Gateway gateway-client-certificate-missing-reference-grant spec.tls.backend.clientCertificateRef.namespace",
            "RT301 Gateway gateway-client-certificate-malformed-secret spec.tls.backend.clientCertificateRef",
            "RT301 Secret malformed-client-certificate data.tls.crt",
        ],
    ),
    (
        "gateway-invalid-tls-configuration",
        &[
            "RT007 Gateway gateway-certificate-unsupported-group spec.listeners[0].tls.certificateRefs[0]",
            "RT007 Gateway gateway-certificate-unsupported-kind spec.listeners[0].tls.certificateRefs[0]",
            "RT103 Gateway gateway-certificate-nonexistent-secret spec.listeners[0].tls.certificateRefs[0]",
            "RT301 Gateway gateway-certificate-malformed-secret spec.listeners[0].tls.certificateRefs[0]",
            "RT301 Secret malformed-certificate data.tls.crt",
        ],
    ),
    (
        "gateway-secret-invalid-reference-grant",
        &[
            "RT109 Gateway gateway-secret-invalid-reference-grant spec.listeners[0].tls.certificateRefs[0].namespace",
        ],
    ),
    (
        "gateway-secret-missing-reference-grant",
        &[
            "RT109 Gateway gateway-secret-missing-reference-grant spec.listeners[0].tls.certificateRefs[0].namespace",
        ],
    ),
    (
        "gateway-static-addresses",
        &["RT007 Gateway gateway-static-addresses spec.addresses[0].type"],
    ),
    (
        "gateway-with-attached-routes",
        &[
            "RT101 HTTPRoute http-route-4 spec.rules[0].backendRefs[0].name",
            "RT103 Gateway unresolved-gateway-with-one-attached-unresolved-route spec.listeners[0].tls.certificateRefs[0]",
            "RT111 HTTPRoute http-route-not-accepted spec.parentRefs[0]",
        ],
    ),
    (
        "gateway-with-invalid-clientcertificate-validation",
        &[
            "RT007 Gateway gateway-with-invalid-client-cert-validation spec.tls.frontend.perPort[1].tls.validation.caCertificateRefs[0]",
            "RT109 Gateway gateway-with-invalid-client-cert-validation spec.tls.frontend.perPort[2].tls.validation.caCertificateRefs[0].namespace",
            "RT112 Gateway gateway-with-invalid-client-cert-validation spec.tls.frontend.perPort[0].tls.validation.caCertificateRefs[0].name",
        ],
    ),
    ("httproute-disallowed-kind", &["RT111 HTTPRoute disallowed-kind spec.parentRefs[0]"]),
    (
        "httproute-hostname-intersection",
        &["RT111 HTTPRoute no-intersecting-hosts spec.parentRefs[0]"],
    ),
    (
        "httproute-invalid-backendref-unknown-kind",
        &["RT107 HTTPRoute invalid-backend-ref-unknown-kind spec.rules[0].backendRefs[0].kind"],
    ),
    (
        "httproute-invalid-cross-namespace-backend-ref",
        &[
            "RT109 HTTPRoute invalid-cross-namespace-backend-ref spec.rules[0].backendRefs[0].namespace",
        ],
    ),
    (
        "httproute-invalid-cross-namespace-parent-ref",
        &["RT111 HTTPRoute invalid-cross-namespace-parent-ref spec.parentRefs[0]"],
    ),
    (
        "httproute-invalid-nonexistent-backendref",
        &["RT101 HTTPRoute invalid-nonexistent-backend-ref spec.rules[0].backendRefs[0].name"],
    ),
    (
        "httproute-invalid-parentref-not-matching-listener-port",
        &["RT111 HTTPRoute httproute-listener-not-matching-route-port spec.parentRefs[0].port"],
    ),
    (
        "httproute-invalid-parentref-not-matching-section-name",
        &[
            "RT111 HTTPRoute httproute-listener-not-matching-section-name spec.parentRefs[0].sectionName",
        ],
    ),
    (
        "httproute-invalid-parentref-section-name-not-matching-port",
        &[
            "RT111 HTTPRoute httproute-listener-section-name-not-matching-port spec.parentRefs[0].port",
        ],
    ),
    (
        "httproute-invalid-reference-grant",
        &["RT109 HTTPRoute reference-grant spec.rules[0].backendRefs[0].namespace"],
    ),
    (
        "httproute-partially-invalid-via-invalid-reference-grant",
        &["RT109 HTTPRoute invalid-reference-grant spec.rules[0].backendRefs[0].namespace"],
    ),
    (
        "listenerset-allowed-namespace-none",
        &["RT111 ListenerSet listenerset-not-allowed spec.parentRef"],
    ),
    (
        "listenerset-allowed-namespace-same",
        &["RT111 ListenerSet listenerset-in-different-namespace spec.parentRef"],
    ),
    (
        "listenerset-allowed-namespace-selector",
        &["RT111 ListenerSet listenerset-not-in-selected-namespace spec.parentRef"],
    ),
    (
        "listenerset-allowed-routes-namespaces",
        &["RT111 HTTPRoute route-in-gateway-namespace spec.parentRefs[0]"],
    ),
    (
        "listenerset-allowed-routes-supported-kinds",
        &[
            "RT007 ListenerSet listenerset-test-allowed-routes-supported-kinds spec.listeners[0].allowedRoutes.kinds[0]",
        ],
    ),
    (
        "listenerset-default-not-allowed",
        &["RT111 ListenerSet listenerset-default-not-allowed spec.parentRef"],
    ),
    (
        "listenerset-dual-parentref-independence",
        &["RT111 HTTPRoute route-dual-parentref-one spec.parentRefs[0].sectionName"],
    ),
    (
        "listenerset-gateway-parent-section-name-not-found",
        &["RT111 HTTPRoute route-via-gateway spec.parentRefs[0].sectionName"],
    ),
    (
        "listenerset-hostname-conflict",
        &[
            "RT204 ListenerSet listenerset-with-hostname-conflict-with-gateway-1 spec.listeners[1].hostname",
            "RT204 ListenerSet listenerset-with-hostname-conflict-with-gateway-2 spec.listeners[0].hostname",
            "RT204 ListenerSet listenerset-with-hostname-conflict-with-listener-set-1 spec.listeners[1].hostname",
            "RT204 ListenerSet listenerset-with-hostname-conflict-with-listener-set-2 spec.listeners[0].hostname",
        ],
    ),
    (
        "listenerset-protocol-conflict",
        &[
            "RT204 ListenerSet listenerset-with-protocol-conflict-with-gateway-1 spec.listeners[1]",
            "RT204 ListenerSet listenerset-with-protocol-conflict-with-gateway-2 spec.listeners[0]",
            "RT204 ListenerSet listenerset-with-protocol-conflict-with-listener-set-1 spec.listeners[1]",
            "RT204 ListenerSet listenerset-with-protocol-conflict-with-listener-set-2 spec.listeners[0]",
        ],
    ),
    (
        "listenerset-reference-grant",
        &[
            "RT109 ListenerSet listenerset-without-reference-grant spec.listeners[0].tls.certificateRefs[0].namespace",
        ],
    ),
    (
        "tcproute-invalid-backendref-nonexistent",
        &[
            "RT101 TCPRoute tcp-route-invalid-backend-ref-nonexistent spec.rules[0].backendRefs[0].name",
        ],
    ),
    (
        "tcproute-invalid-cross-namespace-backend-ref",
        &[
            "RT109 TCPRoute tcp-invalid-cross-namespace-backend-ref spec.rules[0].backendRefs[0].namespace",
        ],
    ),
    ("tcproute-invalid-non-tcp-listener", &["RT111 TCPRoute tcp-route spec.parentRefs[0]"]),
    (
        "tlsroute-invalid-backendref-nonexistent",
        &["RT101 TLSRoute invalid-backend-ref-nonexistent spec.rules[0].backendRefs[0].name"],
    ),
    (
        "tlsroute-invalid-backendref-unknown-kind",
        &["RT107 TLSRoute invalid-backend-ref-unknown-kind spec.rules[0].backendRefs[0].kind"],
    ),
    (
        "tlsroute-invalid-no-matching-listener-hostname",
        &[
            "RT111 TLSRoute tlsroute-hostname-mismatch-1 spec.parentRefs[0]",
            "RT111 TLSRoute tlsroute-hostname-mismatch-2 spec.parentRefs[0]",
        ],
    ),
    (
        "tlsroute-invalid-no-matching-listener",
        &[
            "RT111 TLSRoute tlsroute-no-matching-section-name spec.parentRefs[0].sectionName",
            "RT111 TLSRoute tlsroute-not-allowed-protocol-http spec.parentRefs[0]",
            "RT111 TLSRoute tlsroute-not-allowed-protocol-https spec.parentRefs[0]",
        ],
    ),
    (
        "tlsroute-invalid-reference-grant",
        &["RT109 TLSRoute gateway-conformance-infra-test spec.rules[0].backendRefs[0].namespace"],
    ),
    (
        "tlsroute-listener-passthrough-supported-kinds",
        &[
            "RT007 Gateway gateway-tlsroute-passthrough-supported-kind spec.listeners[0].allowedRoutes.kinds[0]",
        ],
    ),
    (
        "udproute-invalid-backendref-nonexistent",
        &[
            "RT101 UDPRoute udp-route-invalid-backend-ref-nonexistent spec.rules[0].backendRefs[0].name",
        ],
    ),
    (
        "udproute-invalid-cross-namespace-backend-ref",
        &[
            "RT109 UDPRoute udp-route-invalid-cross-namespace-backend-ref spec.rules[0].backendRefs[0].namespace",
        ],
    ),
    (
        "udproute-not-allowed-by-listeners",
        &["RT111 UDPRoute udproute-not-allowed-by-listeners spec.parentRefs[0]"],
    ),
];

/// What is true, though upstream's tests do not look there: certificates that do not have the
/// host of their listener, a Service without pods, a rule that another one hides, and references
/// of routes that are refused for other reasons.
const SLIPS: &[(&str, &[&str])] = &[
    (
        "backendtlspolicy-observed-generation-bump",
        &["RT105 Service observed-generation-bump-test spec.selector"],
    ),
    (
        "gateway-modify-listeners",
        &[
            "RT304 Gateway gateway-add-listener spec.listeners[0].hostname",
            "RT304 Gateway gateway-remove-listener spec.listeners[0].hostname",
        ],
    ),
    ("gateway-with-attached-routes", &["RT202 HTTPRoute http-route-3 spec.rules[0].matches[0]"]),
    (
        "gateway-with-invalid-clientcertificate-validation",
        &[
            "RT110 HTTPRoute misconfigured-client-certificate-validation-https-test spec.parentRefs[0].name",
        ],
    ),
    (
        "tcproute-invalid-non-tcp-listener",
        &["RT101 TCPRoute tcp-route spec.rules[0].backendRefs[0].name"],
    ),
    (
        "tlsroute-listener-mixed-termination-not-supported",
        &[
            "RT304 Gateway gateway-tlsroute-mixed-termination-not-supported spec.listeners[0].hostname",
        ],
    ),
    (
        "tlsroute-listener-terminate-not-supported",
        &["RT304 Gateway gateway-tlsroute-terminate-unsupported spec.listeners[0].hostname"],
    ),
    (
        "tlsroute-listener-terminate-supported-kinds",
        &["RT304 Gateway gateway-tlsroute-terminate-supported spec.listeners[0].hostname"],
    ),
];

#[test]
fn upstream_manifests_have_only_the_findings_that_upstream_intends() {
    let block = Block::claim();
    let names = upstream::names();
    let mut problems = Vec::new();
    for name in &names {
        let stem = name.trim_end_matches(".yaml");
        let lists = INTENDED.iter().chain(SLIPS).filter(|(file, _)| *file == stem);
        let expected: BTreeSet<String> =
            lists.flat_map(|(_, list)| *list).map(|it| (*it).to_owned()).collect();
        let actual = findings(&block, name);
        let surplus = actual.difference(&expected).map(|it| format!("{stem}: not intended: {it}"));
        let missing = expected.difference(&actual).map(|it| format!("{stem}: missing: {it}"));
        problems.extend(surplus.chain(missing));
    }
    assert!(names.len() > 100, "these are not all: {names:?}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// What is worse than a note.
fn findings(block: &Block, name: &str) -> BTreeSet<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| {
        std::fs::write(dir.path().join(name), text).expect("a file");
    };
    let (base, test) =
        (upstream::text("base/manifests.yaml"), upstream::text(&format!("tests/{name}")));
    write("base.yaml", &base);
    write("test.yaml", &test);
    write("beside.yaml", &beside());
    write("pods.yaml", &deployed(block, &[&base, &test]));
    let report = check(dir.path());
    let findings = report["findings"].as_array().expect("findings");
    let worse = findings.iter().filter(|finding| finding["severity"] != "note");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    worse
        .map(|finding| {
            let object = &finding["object"];
            let parts = [&finding["code"], &object["kind"], &object["name"], &finding["field"]];
            parts.map(text).join(" ")
        })
        .collect()
}

fn check(dir: &Path) -> Value {
    let output = Command::new(crate::common::rutter())
        .args(["check", "-o", "json", "--gateway-pool", "127.100.0.0/24"])
        .arg(dir)
        .output()
        .expect("rutter must run");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
