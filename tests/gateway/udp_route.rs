//! UDPRoute.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::common::block_on;
use crate::suite::case::backend_of;
use crate::suite::tcp::{datagram, datagram_told};
use crate::suite::{APP, INFRA, Listener, Suite, weights};

#[track_caller]
fn check(addr: SocketAddr, namespace: &str, backend: &str) {
    let told = block_on(datagram_told(addr));
    assert_eq!(told["namespace"], namespace);
    assert_eq!(backend_of(told["pod"].as_str().expect("a pod")), backend);
}

async fn pod(addr: SocketAddr) -> String {
    let told: Value = datagram_told(addr).await;
    told["pod"].as_str().expect("a pod").to_owned()
}

/// UDPRoute
#[test]
fn a_query_reaches_the_dns_server_behind() {
    let suite = Suite::start(&["udproute-simple.yaml"]);
    suite.expect_routes("UDPRoute", &["udp-coredns"], ("Gateway", "udp-gateway"));
    // a query for foo.bar.com, type A, class IN
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x03bar\x03com\x00\x00\x01\x00\x01";
    let answer = block_on(datagram(suite.listener("udp-gateway", "coredns"), query));
    assert_eq!(answer[..2], query[..2]);
}

/// UDPRouteInvalidBackendRefNonexistent, UDPRouteInvalidCrossNamespaceBackendRef
#[test]
fn a_backend_that_cannot_be_referred_to_is_told() {
    for (manifests, route, gateway, reason) in [
        (
            "udproute-invalid-backendref-nonexistent.yaml",
            "udp-route-invalid-backend-ref-nonexistent",
            "udp-gateway-invalid-backend",
            "BackendNotFound",
        ),
        (
            "udproute-invalid-cross-namespace-backend-ref.yaml",
            "udp-route-invalid-cross-namespace-backend-ref",
            "udp-gateway-invalid-cross-namespace-backend-ref",
            "RefNotPermitted",
        ),
    ] {
        let suite = Suite::start(&[manifests]);
        let unresolved = format!("ResolvedRefs=False/{reason}");
        let conditions = ["Accepted=True/Accepted", &unresolved];
        suite.expect_route("UDPRoute", route, ("Gateway", gateway), &conditions);
    }
}

/// UDPRouteNotAllowedByListeners
#[test]
fn a_listener_of_another_protocol_does_not_take_the_route() {
    let suite = Suite::start(&["udproute-not-allowed-by-listeners.yaml"]);
    let (gateway, route) = ("udproute-tls-only-gateway", "udproute-not-allowed-by-listeners");
    let refused = ["Accepted=False/NotAllowedByListeners"];
    suite.expect_route("UDPRoute", route, ("Gateway", gateway), &refused);
    suite.expect_no_routes(gateway);
}

/// UDPRouteMultipleRoutesAttachment
#[test]
fn the_oldest_of_two_routes_gets_the_datagrams() {
    let suite = Suite::start(&["udproute-multiple-routes-attachment.yaml"]);
    let gateway = "udp-multi-route-attach-gateway";
    suite.create(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "UDPRoute",
        "metadata": { "name": "udproute-attach-newer", "namespace": INFRA },
        "spec": {
            "parentRefs": [{ "name": gateway, "sectionName": "udp" }],
            "rules": [{ "backendRefs": [{ "name": "udp-attach-backend-2", "port": 8080 }] }],
        },
    }));
    for route in ["udproute-attach-older", "udproute-attach-newer"] {
        suite.expect_route("UDPRoute", route, ("Gateway", gateway), &["Accepted=True/Accepted"]);
    }
    let conditions = &["Accepted=True/Accepted"];
    let listener = Listener { name: "udp", kinds: &["UDPRoute"], attached: 2, conditions };
    suite.expect_listeners("Gateway", gateway, &[listener]);
    let addr = suite.listener(gateway, "udp");
    weights::check(&[("udp-attach-backend-1", 100.0)], async || pod(addr).await);
}

/// UDPRouteParentRefAttachAllListeners
#[test]
fn a_parent_without_section_and_port_is_every_listener() {
    let suite = Suite::start(&["udproute-parentref-attach-all-listeners.yaml"]);
    let gateway = "udp-attach-all-listeners-gateway";
    suite.expect_routes("UDPRoute", &["udp-route-attach-all"], ("Gateway", gateway));
    let names = ["udp-1", "udp-2", "udp-3"];
    let conditions = &["Accepted=True", "ResolvedRefs=True"];
    let listeners =
        names.map(|name| Listener { name, kinds: &["UDPRoute"], attached: 1, conditions });
    suite.expect_listeners("Gateway", gateway, &listeners);
    for listener in names {
        check(suite.listener(gateway, listener), INFRA, "udp-echo-attach-all");
    }
}

/// UDPRouteParentRefPortAndSectionName
#[test]
fn a_parent_is_one_listener_by_port_by_section_or_by_both() {
    let suite = Suite::start(&["udproute-parentref-port-and-section-name.yaml"]);
    let gateway = "udp-multi-listener-gateway";
    for by in ["by-port", "by-section", "by-section-and-port"] {
        suite.expect_routes("UDPRoute", &[&format!("udp-route-{by}")], ("Gateway", gateway));
        check(suite.listener(gateway, by), INFRA, &format!("udp-echo-{by}"));
    }
}

/// UDPRouteReferenceGrant
#[test]
fn a_backend_of_another_namespace_is_reached_as_long_as_it_is_granted() {
    let suite = Suite::start(&["udproute-reference-grant.yaml"]);
    let (gateway, route) = ("udp-gateway-reference-grant", "udp-route-reference-grant");
    suite.expect_routes("UDPRoute", &[route], ("Gateway", gateway));
    let listeners = &suite.object("Gateway", gateway)["spec"]["listeners"];
    let name = listeners[0]["name"].as_str().expect("a name");
    let told = block_on(datagram_told(suite.listener(gateway, name)));
    assert_eq!(told["namespace"], APP);
    suite.delete("ReferenceGrant", &format!("{APP}/udp-reference-grant"));
    let refused = ["ResolvedRefs=False/RefNotPermitted"];
    suite.expect_route("UDPRoute", route, ("Gateway", gateway), &refused);
}

/// UDPRouteWeightedRouting
#[test]
fn clients_spread_by_weight() {
    let suite = Suite::start(&["udproute-weighted-routing.yaml"]);
    let gateway = "udp-weighted-gateway";
    suite.expect_routes("UDPRoute", &["udp-weighted-route"], ("Gateway", gateway));
    let addr = suite.listener(gateway, "udp");
    let shares = [("udp-backend-v1", 70.0), ("udp-backend-v2", 30.0), ("udp-backend-v3", 0.0)];
    weights::check(&shares, async || pod(addr).await);
}
