//! Gateway and GatewayClass.
//!
//! Of GatewayInfrastructure only the acceptance is left: the objects with the labels and
//! annotations of a Gateway are made in an API server, and there is none.

use serde_json::json;

use crate::suite::case::get;
use crate::suite::upstream::CLASS;
use crate::suite::{INFRA, Listener, Suite, V1};

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
