//! TCPRoute.

use serde_json::json;

use crate::suite::tcp::{Expected, backend, check, pod};
use crate::suite::{INFRA, Listener, Suite, WEB, weights};

const GOOD: [&str; 2] = ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"];

/// TCPRouteInvalidBackendRefNonexistent, TCPRouteInvalidCrossNamespaceBackendRef
#[test]
fn a_backend_that_cannot_be_referred_to_is_told() {
    for (manifests, route, gateway, reason) in [
        (
            "tcproute-invalid-backendref-nonexistent.yaml",
            "tcp-route-invalid-backend-ref-nonexistent",
            "tcp-gateway-invalid-backend",
            "BackendNotFound",
        ),
        (
            "tcproute-invalid-cross-namespace-backend-ref.yaml",
            "tcp-invalid-cross-namespace-backend-ref",
            "tcp-invalid-cross-namespace-backend-ref-gateway",
            "RefNotPermitted",
        ),
    ] {
        let suite = Suite::start(&[manifests]);
        let unresolved = format!("ResolvedRefs=False/{reason}");
        let conditions = ["Accepted=True/Accepted", &unresolved];
        suite.expect_route("TCPRoute", route, ("Gateway", gateway), &conditions);
    }
}

/// TCPRouteInvalidNonTCPListener
#[test]
fn a_listener_of_another_protocol_does_not_take_the_route() {
    let suite = Suite::start(&["tcproute-invalid-non-tcp-listener.yaml"]);
    let gateway = "tcp-mixed-protocol-gateway";
    let refused = ["Accepted=False/NotAllowedByListeners"];
    suite.expect_route("TCPRoute", "tcp-route", ("Gateway", gateway), &refused);
    suite.expect_no_routes(gateway);
}

/// TCPRouteMultipleRoutesAttachment
#[test]
fn the_oldest_of_two_routes_gets_the_connections() {
    let suite = Suite::start(&["tcproute-multiple-routes-attachment.yaml"]);
    let gateway = "tcp-multi-route-attach-gateway";
    suite.create(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "TCPRoute",
        "metadata": { "name": "tcproute-attach-newer", "namespace": INFRA },
        "spec": {
            "parentRefs": [{ "name": gateway, "sectionName": "tcp" }],
            "rules": [{ "backendRefs": [{ "name": "tcp-attach-backend-2", "port": 3000 }] }],
        },
    }));
    for route in ["tcproute-attach-older", "tcproute-attach-newer"] {
        suite.expect_route("TCPRoute", route, ("Gateway", gateway), &["Accepted=True/Accepted"]);
    }
    let conditions = &["Accepted=True/Accepted"];
    let listener = Listener { name: "tcp", kinds: &["TCPRoute"], attached: 2, conditions };
    suite.expect_listeners("Gateway", gateway, &[listener]);
    let addr = suite.listener(gateway, "tcp");
    check(addr, None, backend("tcp-attach-backend-1"));
    weights::check(&[("tcp-attach-backend-1", 100.0)], async || pod(addr).await);
}

/// TCPRouteParentRefAttachAll
#[test]
fn a_parent_without_section_and_port_is_every_listener() {
    let suite = Suite::start(&["tcproute-parentref-attach-all.yaml"]);
    let gateway = "tcp-attach-all-gateway";
    suite.expect_routes("TCPRoute", &["tcp-route-attach-all"], ("Gateway", gateway));
    for listener in ["one", "two", "three", "four"] {
        check(suite.listener(gateway, listener), None, backend("tcp-echo-attach-all"));
    }
}

/// TCPRouteParentRefPortAndSectionName
#[test]
fn a_parent_is_one_listener_by_port_by_section_or_by_both() {
    let suite = Suite::start(&["tcproute-parentref-port-and-section-name.yaml"]);
    let gateway = "tcp-multi-listener-gateway";
    for (route, listener, pods) in [
        ("tcp-route-by-port", "one", "tcp-echo-one"),
        ("tcp-route-by-section", "two", "tcp-echo-two"),
        ("tcp-route-by-section-and-port", "three", "tcp-echo-three"),
    ] {
        suite.expect_routes("TCPRoute", &[route], ("Gateway", gateway));
        check(suite.listener(gateway, listener), None, backend(pods));
    }
}

/// TCPRouteReferenceGrant
#[test]
fn a_backend_of_another_namespace_is_reached_as_long_as_it_is_granted() {
    let suite = Suite::start(&["tcproute-reference-grant.yaml"]);
    let gateway = "tcp-reference-grant-gateway";
    suite.expect_route("TCPRoute", "tcp-reference-grant", ("Gateway", gateway), &GOOD);
    let expected = Expected { namespace: WEB, ..backend("tcp-reference-grant-backend") };
    check(suite.listener(gateway, "tcp"), None, expected);
    suite.delete("ReferenceGrant", &format!("{WEB}/tcp-reference-grant"));
    let refused = ["ResolvedRefs=False/RefNotPermitted"];
    suite.expect_route("TCPRoute", "tcp-reference-grant", ("Gateway", gateway), &refused);
}

/// TCPRouteWeightedRouting
#[test]
fn connections_spread_by_weight() {
    let suite = Suite::start(&["tcproute-weighted-routing.yaml"]);
    let gateway = "tcp-weighted-gateway";
    suite.expect_routes("TCPRoute", &["tcp-weighted-route"], ("Gateway", gateway));
    let addr = suite.listener(gateway, "tcp");
    let shares = [("tcp-backend-v1", 70.0), ("tcp-backend-v2", 30.0), ("tcp-backend-v3", 0.0)];
    weights::check(&shares, async || pod(addr).await);
}
