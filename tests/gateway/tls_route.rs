//! TLSRoute.
//!
//! TLSRouteListenerTerminateNotSupported and TLSRouteListenerMixedTerminationNotSupported assert
//! nothing of an implementation that supports both, as this one does.

use crate::suite::case::get;
use crate::suite::certificates::CERTIFICATES;
use crate::suite::client::{Tls, Way};
use crate::suite::tcp::{Expected, backend, check, check_rejected};
use crate::suite::{INFRA, Listener, Suite};

fn start(manifests: &str, gateway: &str, routes: &[&str]) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("TLSRoute", routes, ("Gateway", gateway));
    suite
}

/// A client that expects a certificate of the infra namespace.
fn tls<'a>(server_name: &'a str, secret: &str) -> Tls<'a> {
    Tls { server_name, expected: CERTIFICATES.secret(INFRA, secret), shown: None }
}

const PASSED: &str = "tls-passthrough-checks-certificate";
const TERMINATED: &str = "tls-terminate-checks-certificate";

/// TLSRouteSimpleSameNamespace
#[test]
fn tls_is_passed_through() {
    let gateway = "gateway-tlsroute";
    let suite =
        start("tlsroute-simple-same-namespace.yaml", gateway, &["gateway-conformance-infra-test"]);
    let listeners = suite.object("Gateway", gateway)["spec"]["listeners"].clone();
    let addr = suite.listener(gateway, listeners[0]["name"].as_str().expect("a name"));
    let name = "abc.example.com";
    let expected = Expected { server_name: Some(name), ..backend("tcp-backend") };
    check(addr, Some(&tls(name, PASSED)), expected);
}

/// TLSRouteTerminateSimpleSameNamespace
#[test]
fn tls_is_terminated_in_front_of_a_tcp_backend() {
    let gateway = "gateway-tlsroute-terminate";
    let suite = start(
        "tlsroute-terminate-simple-same-namespace.yaml",
        gateway,
        &["tlsroute-terminated-test"],
    );
    let listeners = suite.object("Gateway", gateway)["spec"]["listeners"].clone();
    let addr = suite.listener(gateway, listeners[0]["name"].as_str().expect("a name"));
    check(addr, Some(&tls("tls.example.com", TERMINATED)), backend("tcp-backend"));
}

/// TLSRouteMixedTerminationSameNamespace
#[test]
fn one_port_passes_one_name_through_and_terminates_another() {
    let gateway = "gateway-tlsroute-mixed-termination";
    let terminated = "gateway-conformance-mixed-terminateroute";
    let passed = "gateway-conformance-mixed-passthroughroute";
    let suite =
        start("tlsroute-mixed-termination-same-namespace.yaml", gateway, &[terminated, passed]);
    let conditions = &["Accepted=True/Accepted"];
    let listeners = ["tls-terminate", "tls-passthrough"].map(|name| Listener {
        name,
        kinds: &["TLSRoute"],
        attached: 1,
        conditions,
    });
    suite.expect_listeners("Gateway", gateway, &listeners);
    let host = |route| {
        let hosts = suite.object("TLSRoute", route)["spec"]["hostnames"].clone();
        hosts[0].as_str().expect("a hostname").to_owned()
    };
    let addr = suite.listener(gateway, "tls-terminate");
    check(addr, Some(&tls(&host(terminated), TERMINATED)), backend("tcp-backend"));
    let name = host(passed);
    let expected = Expected { server_name: Some(&name), ..backend("tcp-backend") };
    check(addr, Some(&tls(&name, PASSED)), expected);
}

/// TLSRouteHostnameIntersection
#[test]
fn a_route_serves_the_names_that_it_shares_with_the_listener() {
    let suite = Suite::start(&["tlsroute-hostname-intersection.yaml"]);
    let secret = "tls-checks-certificate";
    for (gateway, routes, second, other) in [
        (
            "gw-tlsroute-exact-hostname-x-1",
            &["tlsroute-more-specific-wc-hostname-x-1"][..],
            None,
            "non.matching.com",
        ),
        (
            "gw-tlsroute-more-specific-wc-hostname-x-2",
            &["tlsroute-exact-hostname-x-2", "tlsroute-less-specific-wc-hostname-x-2"],
            Some("tls-backend-2"),
            "non.matching.com",
        ),
        (
            "gw-tlsroute-less-specific-wc-hostname-x-3",
            &["tlsroute-exact-hostname-x-3", "tlsroute-more-specific-wc-hostname-x-3"],
            Some("tls-backend-2"),
            "non.matching.com",
        ),
        (
            "gw-tlsroute-empty-hostname-x-4",
            &["tlsroute-exact-hostname-x-4", "tlsroute-less-specific-wc-hostname-x-4"],
            Some("tls-backend-2"),
            "non.matching.org",
        ),
    ] {
        suite.expect_routes("TLSRoute", routes, ("Gateway", gateway));
        let listeners = suite.object("Gateway", gateway)["spec"]["listeners"].clone();
        let addr = suite.listener(gateway, listeners[0]["name"].as_str().expect("a name"));
        let expected = CERTIFICATES.secret(INFRA, secret);
        let served = [("abc.example.com", "tls-backend")];
        let served = served.into_iter().chain(second.map(|backend| ("other.example.com", backend)));
        for (name, backend) in served {
            let case = get("/").host(name).to(backend).seen_server_name(name);
            suite.check(&Way::tls(addr, name, expected), &[case]);
        }
        check_rejected(addr, &tls(other, secret));
    }
}

/// TLSRouteInvalidBackendRefNonexistent, TLSRouteInvalidBackendRefUnknownKind
#[test]
fn connections_without_a_backend_are_rejected() {
    for (what, reason) in [("nonexistent", "BackendNotFound"), ("unknown-kind", "InvalidKind")] {
        let suite = Suite::start(&[&format!("tlsroute-invalid-backendref-{what}.yaml")]);
        let gateway = format!("gateway-tlsroute-invalid-backend-ref-{what}");
        let route = format!("invalid-backend-ref-{what}");
        let unresolved = format!("ResolvedRefs=False/{reason}");
        let conditions = ["Accepted=True/Accepted", &unresolved];
        suite.expect_route("TLSRoute", &route, ("Gateway", &gateway), &conditions);
        let host = suite.object("TLSRoute", &route)["spec"]["hostnames"][0].clone();
        let listeners = suite.object("Gateway", &gateway)["spec"]["listeners"].clone();
        let addr = suite.listener(&gateway, listeners[0]["name"].as_str().expect("a name"));
        check_rejected(addr, &tls(host.as_str().expect("a hostname"), PASSED));
    }
}

/// TLSRouteInvalidReferenceGrant
#[test]
fn a_backend_of_another_namespace_needs_a_grant() {
    let suite = Suite::start(&["tlsroute-invalid-reference-grant.yaml"]);
    suite.expect_route(
        "TLSRoute",
        "gateway-conformance-infra-test",
        ("Gateway", "gateway-tlsroute-referencegrant"),
        &["Accepted=True/Accepted", "ResolvedRefs=False/RefNotPermitted"],
    );
}

/// TLSRouteInvalidNoMatchingListener, TLSRouteInvalidNoMatchingListenerHostname
#[test]
fn a_parent_that_does_not_take_the_route_is_told() {
    let by_listener = "tlsroute-invalid-no-matching-listener.yaml";
    let by_host = "tlsroute-invalid-no-matching-listener-hostname.yaml";
    for (manifests, route, gateway, reason, has_routes) in [
        (
            by_listener,
            "tlsroute-not-allowed-protocol-http",
            "gateway-tlsroute-http-only",
            "NotAllowedByListeners",
            false,
        ),
        (
            by_listener,
            "tlsroute-not-allowed-protocol-https",
            "gateway-tlsroute-https-only",
            "NotAllowedByListeners",
            false,
        ),
        (
            by_listener,
            "tlsroute-no-matching-section-name",
            "gateway-tlsroute-tls-passthrough-only",
            "NoMatchingParent",
            true,
        ),
        (
            by_host,
            "tlsroute-hostname-mismatch-1",
            "gateway-tls-exact-hostname",
            "NoMatchingListenerHostname",
            false,
        ),
        (
            by_host,
            "tlsroute-hostname-mismatch-2",
            "gateway-tls-wildcard-hostname",
            "NoMatchingListenerHostname",
            false,
        ),
    ] {
        let suite = Suite::start(&[manifests]);
        let refused = format!("Accepted=False/{reason}");
        suite.expect_route("TLSRoute", route, ("Gateway", gateway), &[&refused]);
        suite.expect_no_accepted_parent("TLSRoute", route);
        if !has_routes {
            suite.expect_no_routes(gateway);
        }
    }
}

/// TLSRouteListenerPassthroughSupportedKinds, TLSRouteListenerTerminateSupportedKinds
#[test]
fn listeners_of_tls_take_tls_routes() {
    for (mode, gateway, condition) in [
        (
            "passthrough",
            "gateway-tlsroute-passthrough-supported-kind",
            "ResolvedRefs=False/InvalidRouteKinds",
        ),
        ("terminate", "gateway-tlsroute-terminate-supported", "Accepted=True/Accepted"),
    ] {
        let suite = Suite::start(&[&format!("tlsroute-listener-{mode}-supported-kinds.yaml")]);
        let name = &format!("tls-{mode}");
        let listener =
            Listener { name, kinds: &["TLSRoute"], attached: 0, conditions: &[condition] };
        suite.expect_listeners("Gateway", gateway, &[listener]);
    }
}
