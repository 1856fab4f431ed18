//! Gateway and GatewayClass.
//!
//! Of GatewayInfrastructure only the acceptance is left: the objects with the labels and
//! annotations of a Gateway are made in an API server, and there is none.

use serde_json::json;

use crate::common::block_on;
use crate::suite::case::{ask, get};
use crate::suite::certificates::{CERTIFICATES, Pair};
use crate::suite::client::Way;
use crate::suite::upstream::CLASS;
use crate::suite::{INFRA, Listener, Suite, V1, V2};

const GOOD: &[&str] = &["Accepted=True", "ResolvedRefs=True"];

/// A listener of HTTPRoutes with the conditions of many tests.
fn http(name: &str, attached: u64) -> Listener<'_> {
    Listener { name, kinds: &["HTTPRoute"], attached, conditions: GOOD }
}

/// What upstream's setup waits for
#[test]
fn the_gateways_of_the_base_are_accepted_and_programmed_at_addresses_of_their_own() {
    let suite = Suite::start(&[]);
    suite.expect("GatewayClass", CLASS, &["Accepted=True/Accepted"]);
    let gateways = [
        "same-namespace",
        "all-namespaces",
        "backend-namespaces",
        "same-namespace-with-https-listener",
    ];
    let mut addresses = Vec::new();
    for gateway in gateways {
        suite.expect("Gateway", gateway, &["Accepted=True/Accepted", "Programmed=True/Programmed"]);
        addresses.push(suite.address(gateway, 80));
    }
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), gateways.len());
}

/// The features that upstream's suite would infer, of those that it tests (v1.6.1 and main)
#[test]
fn the_class_tells_the_features_that_are_supported() {
    let suite = Suite::start(&[]);
    let status = suite.status("GatewayClass", CLASS);
    let told: Vec<&str> = status["supportedFeatures"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|feature| feature["name"].as_str())
        .collect();
    assert!(told.is_sorted(), "{told:?}");
    for feature in [
        "BackendTLSPolicy",
        "BackendTLSPolicySANValidation",
        "GRPCRoute",
        "GRPCRouteNamedRouteRule",
        "Gateway",
        "GatewayAddressEmpty",
        "GatewayBackendClientCertificate",
        "GatewayFrontendClientCertificateValidation",
        "GatewayFrontendClientCertificateValidationInsecureFallback",
        "GatewayHTTPListenerIsolation",
        "GatewayHTTPSListenerDetectMisdirectedRequests",
        "GatewayPort8080",
        "GatewayStaticAddresses",
        "HTTPRoute",
        "HTTPRoute303RedirectStatusCode",
        "HTTPRoute307RedirectStatusCode",
        "HTTPRoute308RedirectStatusCode",
        "HTTPRouteBackendProtocolH2C",
        "HTTPRouteBackendProtocolWebSocket",
        "HTTPRouteBackendRequestHeaderModification",
        "HTTPRouteBackendTimeout",
        "HTTPRouteCORS",
        "HTTPRouteDestinationPortMatching",
        "HTTPRouteHostRewrite",
        "HTTPRouteMethodMatching",
        "HTTPRouteNamedRouteRule",
        "HTTPRouteParentRefPort",
        "HTTPRoutePathRedirect",
        "HTTPRoutePathRewrite",
        "HTTPRoutePortRedirect",
        "HTTPRouteQueryParamMatching",
        "HTTPRouteRequestMirror",
        "HTTPRouteRequestMultipleMirrors",
        "HTTPRouteRequestPercentageMirror",
        "HTTPRouteRequestTimeout",
        "HTTPRouteResponseHeaderModification",
        "HTTPRouteRetry",
        "HTTPRouteRetryBackendTimeout",
        "HTTPRouteRetryConnectionError",
        "HTTPRouteSchemeRedirect",
        "ListenerSet",
        "ReferenceGrant",
        "TCPRoute",
        "TLSRoute",
        "TLSRouteModeMixed",
        "TLSRouteModeTerminate",
        "UDPRoute",
    ] {
        assert!(told.contains(&feature), "{feature} is missing in {told:?}");
    }
}

/// GatewayClassObservedGenerationBump
#[test]
fn conditions_follow_a_change_of_the_class() {
    let suite = Suite::start(&["gatewayclass-observed-generation-bump.yaml"]);
    let class = "gatewayclass-observed-generation-bump";
    suite.expect("GatewayClass", class, &["Accepted=True"]);
    suite.change("GatewayClass", class, |class| class["spec"]["description"] = "new".into());
    suite.expect("GatewayClass", class, &["Accepted=True"]);
}

/// GatewayObservedGenerationBump
#[test]
fn conditions_follow_a_change_of_the_gateway() {
    let suite = Suite::start(&["gateway-observed-generation-bump.yaml"]);
    let gateway = "gateway-observed-generation-bump";
    suite.expect("Gateway", gateway, &["Accepted=True"]);
    suite.change("Gateway", gateway, |gateway| {
        let listeners = gateway["spec"]["listeners"].as_array_mut().expect("listeners");
        listeners.push(json!({
            "name": "alternate",
            "hostname": "foo.com",
            "port": 80,
            "protocol": "HTTP",
            "allowedRoutes": { "namespaces": { "from": "All" } },
        }));
    });
    suite.expect("Gateway", gateway, &["Accepted=True"]);
}

/// GatewayModifyListeners
#[test]
fn listeners_come_and_go() {
    let suite = Suite::start(&["gateway-modify-listeners.yaml"]);
    let (adds, removes) = ("gateway-add-listener", "gateway-remove-listener");
    suite.change("Gateway", adds, |gateway| {
        let listeners = gateway["spec"]["listeners"].as_array_mut().expect("listeners");
        listeners.push(json!({
            "name": "http",
            "port": 80,
            "protocol": "HTTP",
            "hostname": "data.test.com",
            "allowedRoutes": { "namespaces": { "from": "All" } },
        }));
    });
    suite.expect_listeners("Gateway", adds, &[http("https", 1), http("http", 1)]);
    suite.change("Gateway", removes, |gateway| {
        let listeners = gateway["spec"]["listeners"].as_array_mut().expect("listeners");
        assert_eq!(listeners.len(), 2);
        listeners.retain(|listener| listener["name"] == "http");
    });
    suite.expect_listeners("Gateway", removes, &[http("http", 1)]);
}

/// GatewayInvalidParametersRef
#[test]
fn parameters_that_do_not_exist_are_told() {
    let suite = Suite::start(&["gateway-invalid-parameters-ref.yaml"]);
    let refused = ["Accepted=False/InvalidParameters"];
    suite.expect("Gateway", "gateway-invalid-parameters-ref", &refused);
}

/// GatewayInvalidRouteKind
#[test]
fn kinds_of_routes_that_nobody_knows_are_told() {
    let suite = Suite::start(&["gateway-invalid-route-kind.yaml"]);
    for (gateway, kinds) in [
        ("gateway-only-invalid-route-kind", &[][..]),
        ("gateway-supported-and-invalid-route-kind", &["HTTPRoute"]),
    ] {
        let conditions = &["ResolvedRefs=False/InvalidRouteKinds"];
        let listener = Listener { name: "http", kinds, attached: 0, conditions };
        suite.expect_listeners("Gateway", gateway, &[listener]);
    }
}

/// GatewayListenerUnsupportedProtocol
#[test]
fn a_protocol_that_nobody_knows_is_told() {
    let suite = Suite::start(&["gateway-invalid-listeners-unsupported-protocol.yaml"]);
    let conditions = &["Accepted=False/UnsupportedProtocol"];
    let invalid = Listener { name: "invalid", kinds: &[], attached: 0, conditions };
    let only = "gateway-only-unsupported-protocols";
    suite.expect("Gateway", only, &["Accepted=False/ListenersNotValid"]);
    suite.expect_listeners("Gateway", only, &[invalid]);
    let both = "gateway-supported-and-unsupported-protocols";
    suite.expect("Gateway", both, &["Accepted=True/ListenersNotValid"]);
    let good = Listener { conditions: &["Accepted=True/Accepted"], ..http("http", 0) };
    suite.expect_listeners("Gateway", both, &[good, invalid]);
}

/// GatewayInvalidTLSConfiguration
#[test]
fn certificates_that_cannot_be_used_are_told() {
    let suite = Suite::start(&["gateway-invalid-tls-configuration.yaml"]);
    for what in ["nonexistent-secret", "unsupported-group", "unsupported-kind", "malformed-secret"]
    {
        let conditions = &["ResolvedRefs=False/InvalidCertificateRef"];
        let listener = Listener { conditions, ..http("https", 0) };
        suite.expect_listeners("Gateway", &format!("gateway-certificate-{what}"), &[listener]);
    }
}

/// GatewaySecretInvalidReferenceGrant, GatewaySecretMissingReferenceGrant,
/// GatewaySecretReferenceGrantAllInNamespace, GatewaySecretReferenceGrantSpecific
#[test]
fn a_certificate_of_another_namespace_needs_a_grant() {
    let refused = &["ResolvedRefs=False/RefNotPermitted", "Programmed=False"][..];
    let granted = &["ResolvedRefs=True", "Programmed=True/Programmed"];
    for (name, conditions) in [
        ("gateway-secret-invalid-reference-grant", refused),
        ("gateway-secret-missing-reference-grant", refused),
        ("gateway-secret-reference-grant-all-in-namespace", granted),
        ("gateway-secret-reference-grant-specific", granted),
    ] {
        let suite = Suite::start(&[&format!("{name}.yaml")]);
        let listener = Listener { conditions, ..http("https", 0) };
        suite.expect_listeners("Gateway", name, &[listener]);
    }
}

/// GatewayWithAttachedRoutes, GatewayWithAttachedRoutesWithPort8080
#[test]
fn routes_are_counted_at_their_listeners() {
    let suite = Suite::start(&["gateway-with-attached-routes.yaml"]);
    suite.expect_listeners("Gateway", "gateway-with-one-attached-route", &[http("http", 1)]);
    let two = "gateway-with-two-attached-routes";
    suite.expect_listeners("Gateway", two, &[http("http", 2)]);
    let refused = ["Accepted=False/NoMatchingListenerHostname"];
    suite.expect_route("HTTPRoute", "http-route-not-accepted", ("Gateway", two), &refused);
    let unresolved = "unresolved-gateway-with-one-attached-unresolved-route";
    let conditions = &["Programmed=False", "ResolvedRefs=False"];
    suite.expect_listeners("Gateway", unresolved, &[Listener { conditions, ..http("tls", 1) }]);
    suite.expect_route(
        "HTTPRoute",
        "http-route-4",
        ("Gateway", unresolved),
        &["ResolvedRefs=False"],
    );
    let suite = Suite::start(&["gateway-with-attached-routes-with-port-8080.yaml"]);
    suite.expect_listeners(
        "Gateway",
        "gateway-with-two-listeners-and-one-attached-route",
        &[http("http-unattached", 0), http("http", 1)],
    );
}

/// GatewayHTTPListenerIsolation
#[test]
fn a_request_belongs_to_the_most_specific_listener_alone() {
    let suite = Suite::start(&[
        "gateway-http-listener-isolation.yaml",
        "gateway-http-listener-isolation-with-hostname-intersection.yaml",
    ]);
    let names = [
        "empty-hostname",
        "wildcard-example-com",
        "wildcard-foo-example-com",
        "abc-foo-example-com",
    ];
    let hosts = ["bar.com", "bar.example.com", "bar.foo.example.com", "abc.foo.example.com"];
    for suffix in ["", "-with-hostname-intersection"] {
        let gateway = format!("http-listener-isolation{suffix}");
        let mut cases = Vec::new();
        for (own, name) in names.iter().enumerate() {
            let route = format!("attaches-to-{name}{suffix}");
            suite.expect_routes("HTTPRoute", &[&route], ("Gateway", &gateway));
            for (place, host) in hosts.iter().enumerate() {
                let case = get(format!("/{name}")).host(*host);
                cases.push(if place == own { case.to(V1) } else { case.status(404) });
            }
        }
        suite.check_http(&gateway, &cases);
    }
}

/// GatewayInfrastructure
#[test]
fn labels_and_annotations_for_infrastructure_are_accepted() {
    let suite = Suite::start(&["gateway-infrastructure.yaml"]);
    suite.expect("Gateway", "gateway-with-infrastructure-metadata", &["Accepted=True"]);
}

/// GatewayOptionalAddressValue
#[test]
fn an_address_without_a_value_is_assigned() {
    let suite = Suite::start(&["gateway-optional-address-value.yaml"]);
    let gateway = "gateway-without-address-value";
    suite.expect("Gateway", gateway, &["Accepted=True"]);
    suite.listener(gateway, "http");
}

/// GatewayStaticAddresses
#[test]
fn addresses_of_the_spec_are_used_if_they_can_be() {
    let suite = Suite::start(&["gateway-static-addresses.yaml"]);
    let gateway = "gateway-static-addresses";
    suite.expect("Gateway", gateway, &["Accepted=False/UnsupportedAddress"]);
    let remove_first = |gateway: &mut serde_json::Value| {
        gateway["spec"]["addresses"].as_array_mut().expect("addresses").remove(0);
    };
    suite.change("Gateway", gateway, remove_first);
    let unusable = ["Accepted=True/Accepted", "Programmed=False/AddressNotUsable"];
    suite.expect("Gateway", gateway, &unusable);
    suite.change("Gateway", gateway, remove_first);
    suite.expect("Gateway", gateway, &["Accepted=True/Accepted", "Programmed=True/Programmed"]);
    suite.expect_listeners("Gateway", gateway, &[http("http", 0)]);
    let status = suite.status("Gateway", gateway);
    let usable = suite.object("Gateway", gateway)["spec"]["addresses"][0]["value"].clone();
    assert_eq!(status["addresses"], json!([{ "type": "IPAddress", "value": usable }]));
}

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

/// GatewayNameMaximumLength (of upstream's main)
#[test]
fn a_name_of_253_characters_is_one_of_many() {
    let name = ["g"; 253].concat();
    let suite = Suite::start_with(&format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, \
         namespace: {INFRA}}}\nspec:\n  gatewayClassName: {CLASS}\n  listeners: [{{name: http, port: \
         80, protocol: HTTP}}]\n"
    ));
    suite.expect("Gateway", &name, &["Accepted=True"]);
}
