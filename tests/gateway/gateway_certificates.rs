//! Gateway: certificates of clients, and its own for backends.

use crate::common::block_on;
use crate::suite::case::{ask, get};
use crate::suite::certificates::{CERTIFICATES, Pair};
use crate::suite::client::Way;
use crate::suite::{INFRA, Suite, V1, V2};

fn client(name: &str) -> &'static Pair {
    CERTIFICATES.secret(INFRA, &format!("tls-validity-checks-{name}client-certificate"))
}

fn server() -> &'static Pair {
    CERTIFICATES.secret(INFRA, "tls-validity-checks-certificate")
}

/// Whether TLS fails: within the handshake, or with the first use of the connection, as TLS 1.3
/// has it.
#[track_caller]
fn must_fail(way: &Way<'_>) {
    let answer = block_on(ask(way, &get("/").host(way.tls.as_ref().expect("TLS").server_name)));
    assert!(answer.is_err(), "{answer:?}");
}

/// GatewayFrontendClientCertificateValidation
#[test]
fn certificates_of_clients_are_validated_by_port() {
    let gateway = "client-validation-default";
    let suite = Suite::start(&["gateway-with-clientcertificate-validation.yaml"]);
    let test = "client-certificate-validation-https-test";
    let routes = [test, &format!("{test}-no-hostname")];
    suite.expect_routes("HTTPRoute", &routes, ("Gateway", gateway));
    for (port, host, backend, good, bad) in [
        (443, "example.org", V1, client(""), client("per-port-")),
        (8443, "second-example.org", V2, client("per-port-"), client("")),
    ] {
        let way = Way::tls(suite.address(gateway, port), host, server());
        suite.check(&way.clone().shows(good), &[get("/").host(host).to(backend)]);
        must_fail(&way.clone().shows(bad));
        must_fail(&way);
    }
}

/// GatewayFrontendClientCertificateValidationInsecureFallback
#[test]
fn an_insecure_fallback_lets_every_client_in() {
    let gateway = "client-validation-insecure-fallback";
    let suite = Suite::start(&["gateway-with-clientcertificate-validation-insecure-fallback.yaml"]);
    let test = "client-cert-validation-insecure-fallback-test";
    let routes = [test, &format!("{test}-no-hostname")];
    suite.expect_routes("HTTPRoute", &routes, ("Gateway", gateway));
    let told = ["InsecureFrontendValidationMode=True/ConfigurationChanged"];
    suite.expect("Gateway", gateway, &told);
    for (port, host, backend) in [(443, "example.org", V1), (8443, "second-example.org", V2)] {
        let way = Way::tls(suite.address(gateway, port), host, server());
        let case = get("/").host(host).to(backend);
        suite.check(&way, std::slice::from_ref(&case));
        for shown in [client(""), client("per-port-")] {
            suite.check(&way.clone().shows(shown), std::slice::from_ref(&case));
        }
    }
}

/// GatewayFrontendInvalidDefaultClientCertificateValidation
#[test]
fn a_bad_default_for_clients_stops_https_alone() {
    let gateway = "invalid-default-client-validation-config";
    let suite =
        Suite::start(&["gateway-invalid-default-frontend-client-certificate-validation.yaml"]);
    let good = ["ResolvedRefs=True", "Accepted=True", "Programmed=True"];
    suite.expect_listener_conditions("Gateway", gateway, "http", &good);
    suite.check_http(gateway, &[get("/").host("example.org").to(V1)]);
    let bad = [
        "ResolvedRefs=False/InvalidCACertificateRef",
        "Accepted=False/NoValidCACertificate",
        "Programmed=False",
    ];
    suite.expect_listener_conditions("Gateway", gateway, "https", &bad);
    must_fail(&Way::tls(suite.address(gateway, 443), "example.org", server()));
}

/// GatewayInvalidFrontendClientCertificateValidation
#[test]
fn authorities_of_clients_that_cannot_be_used_are_told() {
    let suite = Suite::start(&["gateway-with-invalid-clientcertificate-validation.yaml"]);
    let gateway = "gateway-with-invalid-client-cert-validation";
    let good = ["ResolvedRefs=True", "Accepted=True", "Programmed=True"];
    suite.expect_listener_conditions("Gateway", gateway, "https", &good);
    for (listener, reason) in [
        ("https-unresolved", "InvalidCACertificateRef"),
        ("https-invalid-kind", "InvalidCACertificateKind"),
        ("https-grant-missing", "RefNotPermitted"),
    ] {
        let unresolved = format!("ResolvedRefs=False/{reason}");
        let bad = [&*unresolved, "Accepted=False/NoValidCACertificate", "Programmed=False"];
        suite.expect_listener_conditions("Gateway", gateway, listener, &bad);
    }
}

/// GatewayTLSBackendClientCertificate
#[test]
fn the_gateway_shows_its_certificate_to_backends() {
    let name = "gateway-tls-backend-client-certificate";
    let suite = Suite::start(&["gateway-tls-backend-client-certificate.yaml"]);
    suite.expect_routes("HTTPRoute", &[name], ("Gateway", name));
    suite.expect_policy(&format!("{name}-test"), name, &["Accepted=True"]);
    suite.expect("Gateway", name, &["ResolvedRefs=True/ResolvedRefs"]);
    let shown = CERTIFICATES.secret(INFRA, "tls-checks-client-certificate");
    let host = "abc.example.com";
    let case = get("/").host(host).seen_server_name(host).seen_certificate(&shown.certificate);
    suite.check_http(name, &[case]);
}

/// GatewayInvalidTLSBackendConfiguration
#[test]
fn certificates_for_backends_that_cannot_be_used_are_told() {
    let suite = Suite::start(&["gateway-invalid-tls-backend-configuration.yaml"]);
    for (what, reason) in [
        ("nonexistent-secret", "InvalidClientCertificateRef"),
        ("unsupported-group", "InvalidClientCertificateRef"),
        ("unsupported-kind", "InvalidClientCertificateRef"),
        ("malformed-secret", "InvalidClientCertificateRef"),
        ("missing-reference-grant", "RefNotPermitted"),
    ] {
        let unresolved = format!("ResolvedRefs=False/{reason}");
        let gateway = format!("gateway-client-certificate-{what}");
        suite.expect("Gateway", &gateway, &[&unresolved, "Accepted=True/Accepted"]);
    }
}
