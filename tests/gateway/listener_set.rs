//! ListenerSet.

use crate::suite::case::get;
use crate::suite::{INFRA, Listener, Suite, V1, V2, V3};

const GOOD: &[&str] = &["ResolvedRefs=True", "Accepted=True", "Programmed=True"];
const TAKEN: &[&str] = &["Accepted=True/Accepted", "Programmed=True/Programmed"];
const NOT_ALLOWED: &[&str] = &["Accepted=False/NotAllowed", "Programmed=False/NotAllowed"];
const NOT_VALID: &[&str] =
    &["Accepted=False/ListenersNotValid", "Programmed=False/ListenersNotValid"];

#[track_caller]
fn start(manifests: &str, gateway: &str, attached: Option<u64>) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect("Gateway", gateway, &["Accepted=True"]);
    if let Some(attached) = attached {
        let status = suite.status("Gateway", gateway);
        assert_eq!(status["attachedListenerSets"], attached, "{gateway}");
    }
    suite
}

fn http(name: &str, attached: u64) -> Listener<'_> {
    Listener { name, kinds: &["HTTPRoute"], attached, conditions: GOOD }
}

/// ListenerSetAllowedNamespaceNone, ListenerSetDefaultNotAllowed
#[test]
fn a_gateway_that_allows_no_sets_has_none() {
    for (manifests, gateway, set) in [
        (
            "listenerset-allowed-namespace-none.yaml",
            "gateway-does-not-allow-listenerset",
            "listenerset-not-allowed",
        ),
        (
            "listenerset-default-not-allowed.yaml",
            "gateway-default-does-not-allow-listenerset",
            "listenerset-default-not-allowed",
        ),
    ] {
        let suite = start(manifests, gateway, Some(0));
        suite.expect("ListenerSet", set, NOT_ALLOWED);
    }
}

/// ListenerSetAllowedNamespaceSame, ListenerSetAllowedNamespaceSelector
#[test]
fn a_gateway_allows_sets_of_some_namespaces() {
    for (manifests, gateway, good, bad) in [
        (
            "listenerset-allowed-namespace-same.yaml",
            "gateway-allows-listenerset-in-same-namespace",
            "gateway-conformance-infra/listenerset-in-same-namespace",
            "gateway-api-listenerset-not-allowed-ns/listenerset-in-different-namespace",
        ),
        (
            "listenerset-allowed-namespace-selector.yaml",
            "gateway-allows-listenerset-in-selected-namespace",
            "gateway-api-listenerset-selector-allowed-ns/listenerset-in-selected-namespace",
            "gateway-api-listenerset-selector-not-allowed-ns/listenerset-not-in-selected-namespace",
        ),
    ] {
        let suite = start(manifests, gateway, Some(1));
        suite.expect("ListenerSet", good, TAKEN);
        let (_, name) = good.split_once('/').expect("a namespace");
        let listener = format!("{name}-listener");
        suite.expect_listener_conditions("ListenerSet", good, &listener, GOOD);
        suite.expect("ListenerSet", bad, NOT_ALLOWED);
    }
}

/// ListenerSetAllowedRoutesNamespaces
#[test]
fn a_listener_of_a_set_allows_routes_of_some_namespaces() {
    let gateway = "gateway-with-listener-sets-test-allowed-routes";
    let suite = start("listenerset-allowed-routes-namespaces.yaml", gateway, Some(2));
    let set = "listenerset-test-allowed-routes-namespaces";
    let routes = [
        "route-in-same-namespace",
        "gateway-api-routes-allowed-ns/route-in-selected-namespace",
        "gateway-api-routes-not-allowed-ns/route-not-in-selected-namespace",
    ];
    for route in routes {
        suite.expect_route("HTTPRoute", route, ("ListenerSet", set), &["Accepted=True/Accepted"]);
    }
    let listener = |name| format!("listener-set-listener-allowed-routes-{name}");
    let [all, same, selector] = ["all", "same", "selector"].map(listener);
    let listeners = [http(&all, 3), http(&same, 1), http(&selector, 1)];
    suite.expect_listeners("ListenerSet", set, &listeners);
    let mut cases = Vec::new();
    for (listener, served) in
        [(all, [true; 3]), (same, [true, false, false]), (selector, [false, true, false])]
    {
        for ((route, backend), is_served) in routes.iter().zip([V1, V2, V3]).zip(served) {
            let path = route.rsplit('/').next().expect("a name");
            let case = get(format!("/{path}")).host(format!("{listener}.com"));
            cases.push(if is_served { case.to(backend) } else { case.status(404) });
        }
    }
    let set = "gateway-api-ls-cross-ns/listenerset-test-allowed-routes-cross-ns";
    let route = "gateway-api-ls-cross-ns/route-in-listenerset-namespace";
    suite.expect_route("HTTPRoute", route, ("ListenerSet", set), &["Accepted=True/Accepted"]);
    let refused = ["Accepted=False/NotAllowedByListeners"];
    suite.expect_route("HTTPRoute", "route-in-gateway-namespace", ("ListenerSet", set), &refused);
    let cross = listener("cross-ns-same");
    suite.expect_listeners("ListenerSet", set, &[http(&cross, 1)]);
    let at = |path| get(path).host(format!("{cross}.com"));
    cases.push(at("/route-in-listenerset-namespace").to(V1));
    cases.push(at("/route-in-gateway-namespace").status(404));
    suite.check_http(gateway, &cases);
}

/// ListenerSetAllowedRoutesSupportedKinds
#[test]
fn kinds_of_routes_that_the_protocol_does_not_take_are_told() {
    let gateway = "gateway-with-listener-sets-test-supported-route-kinds";
    let suite = start("listenerset-allowed-routes-supported-kinds.yaml", gateway, None);
    suite.expect_listener_conditions(
        "ListenerSet",
        "listenerset-test-allowed-routes-supported-kinds",
        "listener-set-listener-allowed-routes-tls-only",
        &["ResolvedRefs=False/InvalidRouteKinds"],
    );
}

/// ListenerSetDualParentRefIndependence
#[test]
fn each_parent_of_a_route_decides_for_itself() {
    let (gateway, set) = ("gateway-dual-parentref", "ls-dual-parentref");
    let suite = start("listenerset-dual-parentref-independence.yaml", gateway, Some(1));
    suite.expect_listeners("ListenerSet", set, &[http("ls-dual-parentref-listener", 2)]);
    let accepted = ["Accepted=True"];
    let (both, one) = ("route-dual-parentref-both", "route-dual-parentref-one");
    suite.expect_route("HTTPRoute", both, ("Gateway", gateway), &accepted);
    suite.expect_route("HTTPRoute", both, ("ListenerSet", set), &accepted);
    let refused = ["Accepted=False/NoMatchingParent"];
    suite.expect_route("HTTPRoute", one, ("Gateway", gateway), &refused);
    suite.expect_route("HTTPRoute", one, ("ListenerSet", set), &accepted);
    let at = |host: &str, path: &str| get(path).host(host);
    suite.check_http(
        gateway,
        &[
            at("gw-dual.com", "/dualboth").to(V1),
            at("ls-dual.com", "/dualboth").to(V1),
            at("ls-dual.com", "/dualone").to(V2),
            at("gw-dual.com", "/dualone").status(404),
        ],
    );
}

/// ListenerSetGatewayParentSectionNameNotFound
#[test]
fn a_listener_of_a_set_is_no_section_of_the_gateway() {
    let gateway = "gateway-section-name";
    let suite = start("listenerset-gateway-parent-section-name-not-found.yaml", gateway, Some(1));
    let parent = ("ListenerSet", "listenerset-section-name");
    suite.expect_route("HTTPRoute", "route-via-listenerset", parent, &["Accepted=True/Accepted"]);
    let refused = ["Accepted=False/NoMatchingParent"];
    suite.expect_route("HTTPRoute", "route-via-gateway", ("Gateway", gateway), &refused);
    suite.check_http(
        gateway,
        &[
            get("/goodsection").host("ls-section-name.com").to(V1),
            get("/badsection").host("gw-section.com").status(404),
        ],
    );
}

/// ListenerSetRouteStatusScopedToParentRef
#[test]
fn a_route_tells_of_the_parents_that_it_names() {
    let (gateway, set) = ("gateway-parentref", "listenerset-parentref");
    let suite = start("listenerset-route-status-scoped-to-parentref.yaml", gateway, Some(1));
    suite.expect_listeners("ListenerSet", set, &[http("listenerset-parentref-listener", 1)]);
    for (route, parent) in [
        ("route-parentref-gwonly", ("Gateway", gateway)),
        ("route-parentref-lsonly", ("ListenerSet", set)),
    ] {
        suite.expect_route("HTTPRoute", route, parent, &["Accepted=True"]);
        suite.expect_declared_parents("HTTPRoute", route);
    }
}

/// ListenerSetHostnameConflict, ListenerSetProtocolConflict
#[test]
fn of_listeners_in_conflict_the_first_is_taken() {
    for (what, reason) in [("hostname", "HostnameConflict"), ("protocol", "ProtocolConflict")] {
        let gateway = format!("gateway-with-listenerset-{what}-conflict");
        let suite = start(&format!("listenerset-{what}-conflict.yaml"), &gateway, Some(2));
        let with_gateway = format!("{what}-conflict-with-gateway-listener");
        let with_set = format!("{what}-conflict-with-listener-set-listener");
        for listener in ["gateway-listener", &with_gateway] {
            suite.expect_listener_conditions("Gateway", &gateway, listener, GOOD);
        }
        let conflict = ["Accepted=False", "Programmed=False", "Conflicted=True"]
            .map(|condition| format!("{condition}/{reason}"));
        let conflict = conflict.each_ref().map(String::as_str);
        let set = |with: &str| format!("listenerset-with-{what}-conflict-with-{with}");
        for (set, is_taken, listeners) in [
            (
                set("gateway-1"),
                true,
                &[("listener-set-1-listener", true), (&with_gateway, false), (&with_set, true)][..],
            ),
            (set("gateway-2"), false, &[(&with_gateway, false)]),
            (set("listener-set-1"), true, &[("listener-set-2-listener", true), (&with_set, false)]),
            (set("listener-set-2"), false, &[(&with_set, false)]),
        ] {
            let conditions: &[&str] =
                if is_taken { &["Accepted=True", TAKEN[1]] } else { NOT_VALID };
            suite.expect("ListenerSet", &set, conditions);
            for (listener, is_good) in listeners {
                let conditions: &[&str] = if *is_good { GOOD } else { &conflict };
                suite.expect_listener_conditions("ListenerSet", &set, listener, conditions);
            }
        }
    }
}

/// ListenerSetReferenceGrant
#[test]
fn a_certificate_of_another_namespace_needs_a_grant() {
    let gateway = "gateway-with-listener-sets-test-reference-grant";
    let suite = start("listenerset-reference-grant.yaml", gateway, None);
    let set = format!("{INFRA}/listenerset-with-reference-grant");
    suite.expect("ListenerSet", &set, &["Accepted=True", "Programmed=True"]);
    let listener = "listenerset-with-reference-grant-listener";
    suite.expect_listener_conditions("ListenerSet", &set, listener, &["ResolvedRefs=True"]);
    let namespace = "gateway-api-listener-sets-test-reference-grant-ns";
    let set = format!("{namespace}/listenerset-without-reference-grant");
    suite.expect("ListenerSet", &set, NOT_VALID);
    let listener = "listenerset-without-reference-grant-listener";
    let refused = ["ResolvedRefs=False/RefNotPermitted"];
    suite.expect_listener_conditions("ListenerSet", &set, listener, &refused);
}

/// ListenerSetHTTPRouting
#[test]
fn routes_reach_the_listeners_that_they_name() {
    let gateway = "gateway-with-listener-sets-http-routing";
    let suite = start("listenerset-http-routing.yaml", gateway, Some(2));
    let (first, second) = ("listener-set-http-routing-1", "listener-set-http-routing-2");
    let accepted = ["Accepted=True/Accepted"];
    for (parent, routes) in [
        (("Gateway", gateway), &["gateway-route", "gateway-section-route"][..]),
        (
            ("ListenerSet", first),
            &["listener-set-http-routing-1-route", "listener-set-http-routing-1-section-route"],
        ),
        (("ListenerSet", second), &["listener-set-http-routing-2-route"]),
    ] {
        suite.expect_route("HTTPRoute", "attaches-to-all-listeners", parent, &accepted);
        for route in routes {
            suite.expect_route("HTTPRoute", route, parent, &accepted);
        }
    }
    for (set, counts) in [(first, [3, 2]), (second, [2, 2])] {
        let names = [1, 2].map(|number| format!("{set}-listener-{number}"));
        let listeners = [http(&names[0], counts[0]), http(&names[1], counts[1])];
        suite.expect_listeners("ListenerSet", set, &listeners);
    }
    let hosts: Vec<String> = ["gateway", first, second]
        .iter()
        .flat_map(|parent| [1, 2].map(|number| format!("{parent}-listener-{number}.com")))
        .collect();
    let mut cases = Vec::new();
    for (path, backend, served) in [
        ("/route", V1, &[0, 1, 2, 3, 4, 5][..]),
        ("/gateway-route", V2, &[0, 1]),
        ("/gateway-section-route", V3, &[0]),
        ("/listener-set-http-routing-1-route", V2, &[2, 3]),
        ("/listener-set-http-routing-1-section-route", V3, &[2]),
        ("/listener-set-http-routing-2-route", V2, &[4, 5]),
    ] {
        for (place, host) in hosts.iter().enumerate() {
            let case = get(path).host(host);
            cases.push(if served.contains(&place) { case.to(backend) } else { case.status(404) });
        }
    }
    suite.check_http(gateway, &cases);
}
