//! HTTPRoute: which requests a route gets, and which backends.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::common::block_on;
use crate::suite::case::{Case, get, pod, request};
use crate::suite::certificates::CERTIFICATES;
use crate::suite::client::Way;
use crate::suite::{APP, INFRA, Suite, V1, V2, V3, WEB, weights};

const SAME: &str = "same-namespace";

/// Starts with one file whose routes are all good below one Gateway.
#[track_caller]
fn start(manifests: &str, gateway: &str, routes: &[&str]) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("HTTPRoute", routes, ("Gateway", gateway));
    suite
}

fn at(host: &str, path: &str) -> Case {
    get(path).host(host)
}

/// By a backend, or by nobody.
fn answered(case: Case, backend: Option<&'static str>) -> Case {
    match backend {
        Some(backend) => case.to(backend),
        None => case.status(404),
    }
}

/// HTTPRouteSimpleSameNamespace, HTTPRouteCrossNamespace
#[test]
fn a_route_attaches_within_its_namespace_and_from_an_allowed_one() {
    let suite =
        start("httproute-simple-same-namespace.yaml", SAME, &["gateway-conformance-infra-test"]);
    suite.check_http(SAME, &[get("/").to(V1)]);
    let route = format!("{WEB}/cross-namespace");
    let suite = start("httproute-cross-namespace.yaml", "backend-namespaces", &[&route]);
    suite.check_http("backend-namespaces", &[get("/").to("web-backend").of(WEB)]);
}

/// HTTPRouteReferenceGrant
#[test]
fn a_backend_of_another_namespace_is_reached_as_long_as_it_is_granted() {
    let suite = start("httproute-reference-grant.yaml", SAME, &["reference-grant"]);
    suite.check_http(SAME, &[get("/").to("web-backend").of(WEB)]);
    suite.delete("ReferenceGrant", &format!("{WEB}/reference-grant"));
    suite.check_http(SAME, &[get("/").status(500)]);
}

/// HTTPRouteExactPathMatching
#[test]
fn exact_paths_match_themselves_only() {
    let suite = start("httproute-exact-path-matching.yaml", SAME, &["exact-matching"]);
    let mut cases = vec![get("/one").to(V1), get("/two").to(V2)];
    cases.extend(["/", "/one/example", "/two/", "/Two"].map(|path| get(path).status(404)));
    suite.check_http(SAME, &cases);
}

/// HTTPRouteHeaderMatching
#[test]
fn fields_of_the_request_choose_the_rule() {
    let suite = start("httproute-header-matching.yaml", SAME, &["header-matching"]);
    let with = |name, value: &str| get("/").with(name, value);
    suite.check_http(
        SAME,
        &[
            with("Version", "one").to(V1),
            with("Version", "two").to(V2),
            with("Version", "two").with("Color", "orange").to(V1),
            with("Version", "two").with("Color", "blue").to(V2),
            with("Color", "blue").to(V1),
            with("Color", "green").to(V1),
            with("Color", "red").to(V2),
            with("Color", "yellow").to(V2),
            with("Color", "orange").status(404),
            with("Color", "purple").status(404),
            with("Some-Other-Header", "one").status(404),
        ],
    );
}

/// HTTPRouteMatching
#[test]
fn the_longer_prefix_and_the_more_fields_win() {
    let suite = start("httproute-matching.yaml", SAME, &["matching"]);
    let mut cases =
        vec![get("/").with("Version", "one").to(V1), get("/").with("Version", "two").to(V2)];
    cases.extend(["/", "/example", "/v2example", "/foo/v2/example"].map(|it| get(it).to(V1)));
    cases.extend(["/v2", "/v2/example", "/v2/"].map(|it| get(it).to(V2)));
    suite.check_http(SAME, &cases);
}

/// HTTPRouteMatchingAcrossRoutes
#[test]
fn precedence_holds_across_routes() {
    let routes = ["matching-part1", "matching-part2"];
    let suite = start("httproute-matching-across-routes.yaml", SAME, &routes);
    suite.check_http(
        SAME,
        &[
            at("example.com", "/").to(V1),
            at("example.com", "/example").to(V1),
            at("example.net", "/example").to(V1),
            at("example.com", "/example").with("Version", "one").to(V1),
            at("example.com", "/v2").to(V2),
            at("example.net", "/v2").to(V1),
            at("example.com", "/v2/example").to(V2),
            at("example.com", "/").with("Version", "two").to(V2),
        ],
    );
}

/// HTTPRoutePathMatchOrder
#[test]
fn exact_comes_before_the_longest_prefix() {
    let suite = start("httproute-path-match-order.yaml", SAME, &["path-matching-order"]);
    let cases = [
        ("/match/exact/one", V3),
        ("/match/exact", V2),
        ("/match", V1),
        ("/match/prefix/one/any", V2),
        ("/match/prefix/any", V1),
        ("/match/any", V3),
    ];
    suite.check_http(SAME, &cases.map(|(path, backend)| get(path).to(backend)));
}

/// HTTPRouteMethodMatching
#[test]
fn the_method_chooses_the_rule() {
    let suite = start("httproute-method-matching.yaml", SAME, &["method-matching"]);
    let version = |method, path, version: &str| request(method, path).with("version", version);
    suite.check_http(
        SAME,
        &[
            request("POST", "/").to(V1),
            request("GET", "/").to(V2),
            request("HEAD", "/").status(404),
            request("GET", "/path1").to(V1),
            version("PUT", "/", "one").to(V2),
            version("POST", "/path2", "two").to(V3),
            request("PATCH", "/path3").to(V1),
            version("DELETE", "/path4", "three").to(V1),
            request("PUT", "/").status(404),
            request("DELETE", "/path4").status(404),
            request("PATCH", "/path5").to(V1),
            version("PATCH", "/", "four").to(V2),
        ],
    );
}

/// HTTPRouteQueryParamMatching
#[test]
fn the_query_chooses_the_rule() {
    let suite = start("httproute-query-param-matching.yaml", SAME, &["query-param-matching"]);
    let version = |path, version: &str| get(path).with("version", version);
    let mut cases = vec![
        get("/?animal=whale").to(V1),
        get("/?animal=dolphin").to(V2),
        get("/?animal=dolphin&color=blue").to(V3),
        get("/?ANIMAL=Whale").to(V3),
        get("/?animal=whale&otherparam=irrelevant").to(V1),
        get("/?animal=dolphin&color=yellow").to(V2),
        get("/path1?animal=whale").to(V1),
        version("/?animal=whale", "one").to(V2),
        version("/path2?animal=whale", "two").to(V3),
        get("/path3?animal=shark").to(V1),
        version("/path4?animal=kraken", "three").to(V1),
        get("/path5?animal=hydra").to(V1),
        version("/?animal=hydra", "four").to(V3),
    ];
    let missed = [
        "/",
        "/?color=blue",
        "/?animal=dog",
        "/?animal=whaledolphin",
        "/?animal=shark",
        "/path4?animal=kraken",
    ];
    cases.extend(missed.map(|path| get(path).status(404)));
    suite.check_http(SAME, &cases);
}

/// HTTPRouteHostnameIntersection
#[test]
fn a_route_serves_the_hosts_that_it_shares_with_the_listener() {
    let gateway = "httproute-hostname-intersection";
    let routes = [
        "specific-host-matches-listener-specific-host",
        "specific-host-matches-listener-wildcard-host",
        "wildcard-host-matches-listener-specific-host",
        "wildcard-host-matches-listener-wildcard-host",
    ];
    let suite = start("httproute-hostname-intersection.yaml", gateway, &routes);
    let mut cases = Vec::new();
    for (path, backend, hosts, others) in [
        (
            "/s1",
            V1,
            &["very.specific.com", "very.specific.com:1234"][..],
            &["non.matching.com", "foo.nonmatchingwildcard.io", "foo.wildcard.io"][..],
        ),
        (
            "/s2",
            V2,
            &["foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"],
            &["non.matching.com", "wildcard.io", "very.specific.com"],
        ),
        (
            "/s3",
            V3,
            &["very.specific.com"],
            &["non.matching.com", "foo.specific.com", "foo.wildcard.io"],
        ),
        (
            "/s4",
            V1,
            &["foo.anotherwildcard.io", "bar.anotherwildcard.io", "foo.bar.anotherwildcard.io"],
            &["anotherwildcard.io", "foo.wildcard.io", "very.specific.com"],
        ),
        ("/s5", V1, &[], &["specific.but.wrong.com", "wildcard.io"]),
    ] {
        cases.extend(hosts.iter().map(|host| at(host, path).to(backend)));
        cases.extend(others.iter().map(|host| at(host, path).status(404)));
        let miss = |host: &&str| at(host, "/non-matching-prefix").status(404);
        cases.extend(hosts.iter().map(miss));
    }
    suite.check_http(gateway, &cases);
}

/// HTTPRouteHostnameIntersection
#[test]
fn a_route_counts_where_it_shares_hosts() {
    let gateway = "httproute-hostname-intersection";
    let suite = Suite::start(&["httproute-hostname-intersection.yaml"]);
    suite.expect_route(
        "HTTPRoute",
        "no-intersecting-hosts",
        ("Gateway", gateway),
        &["Accepted=False/NoMatchingListenerHostname"],
    );
    suite.expect_declared_parents("HTTPRoute", "no-intersecting-hosts");
    for (name, attached) in [("listener-1", 2), ("listener-2", 1), ("listener-3", 1)] {
        suite.expect_listener(
            "Gateway",
            gateway,
            crate::suite::Listener {
                name,
                kinds: &["HTTPRoute"],
                attached,
                conditions: &["Accepted=True", "ResolvedRefs=True"],
            },
        );
    }
}

/// HTTPRouteHostnameIntersection
#[test]
fn a_listener_without_a_host_serves_all_hosts_of_the_route() {
    let suite = Suite::start(&["httproute-hostname-intersection.yaml"]);
    let all = "httproute-hostname-intersection-all";
    suite.expect_routes("HTTPRoute", &[all], ("Gateway", all));
    let served = ["first.com", "sub.first.com", "second.com", "sub.second.com"];
    let mut cases = served.map(|host| at(host, "/").to(V2)).to_vec();
    cases.extend(["third.com", "sub.third.com"].map(|host| at(host, "/").status(404)));
    suite.check_http(all, &cases);
}

/// HTTPRouteListenerHostnameMatching
#[test]
fn the_host_chooses_the_listener() {
    let gateway = "httproute-listener-hostname-matching";
    let routes = ["backend-v1", "backend-v2", "backend-v3"];
    let suite = start("httproute-listener-hostname-matching.yaml", gateway, &routes);
    suite.check_http(
        gateway,
        &[
            at("bar.com", "/").to(V1),
            at("foo.bar.com", "/").to(V2),
            at("baz.bar.com", "/").to(V3),
            at("boo.bar.com", "/").to(V3),
            at("multiple.prefixes.bar.com", "/").to(V3),
            at("multiple.prefixes.foo.com", "/").to(V3),
            at("foo.com", "/").status(404),
            at("no.matching.host", "/").status(404),
        ],
    );
}

/// HTTPRouteListenerPortMatching
#[test]
fn the_port_chooses_the_listener() {
    let gateway = "httproute-listener-port-matching";
    let routes = ["backend-v1", "backend-v2", "backend-v3"];
    let suite = start("httproute-listener-port-matching.yaml", gateway, &routes);
    for (port, host, backend) in [
        (80, "foo.com", Some(V1)),
        (8080, "foo.com:8080", Some(V2)),
        (8080, "bar.com:8080", Some(V2)),
        (8090, "foo.com:8090", Some(V3)),
        (8090, "bar.com:8090", None),
    ] {
        let case = at(host, "/");
        let case = answered(case, backend);
        suite.check(&Way::plain(suite.address(gateway, port)), &[case]);
    }
}

/// HTTPRouteHTTPSListener
#[test]
fn routes_attach_to_https_listeners() {
    let gateway = "same-namespace-with-https-listener";
    let routes = ["httproute-https-test", "httproute-https-test-no-hostname"];
    let suite = start("httproute-https-listener.yaml", gateway, &routes);
    let addr = suite.address(gateway, 443);
    let expected = CERTIFICATES.secret(INFRA, "tls-validity-checks-certificate");
    for (host, backend) in
        [("example.org", Some(V1)), ("unknown-example.org", None), ("second-example.org", Some(V2))]
    {
        let case = at(host, "/");
        let case = answered(case, backend);
        suite.check(&Way::tls(addr, host, expected), &[case]);
    }
}

/// HTTPRouteHTTPSListenerDetectMisdirectedRequests
#[test]
fn a_request_for_a_host_of_another_listener_is_misdirected() {
    let gateway = "same-namespace-with-https-listener";
    let routes = ["1", "2", "3", "4"]
        .map(|it| format!("https-listener-detect-misdirected-requests-test-{it}"));
    let routes = routes.each_ref().map(String::as_str);
    let suite =
        start("httproute-https-listener-detect-misdirected-requests.yaml", gateway, &routes);
    let addr = suite.address(gateway, 443);
    let expected = CERTIFICATES.secret(INFRA, "tls-validity-checks-certificate");
    let (second, unknown) = ("second-example.org", "unknown-example.org");
    let [third, fourth, fifth] =
        ["third", "fourth", "fith"].map(|it| format!("{it}-example.wildcard.org"));
    for (server_name, host, outcome) in [
        ("example.org", "example.org", Ok(V1)),
        ("example.org", second, Err(421)),
        ("example.org", unknown, Err(404)),
        (second, second, Ok(V2)),
        (second, "example.org", Err(421)),
        (second, unknown, Err(421)),
        (&third, &third, Ok(V3)),
        (&third, &fifth, Ok(V3)),
        (&third, &fourth, Err(421)),
        (&third, second, Err(421)),
        (&third, unknown, Err(421)),
        (&fourth, &fourth, Ok(V1)),
        (&fourth, &fifth, Err(421)),
        (unknown, "example.org", Ok(V1)),
        (unknown, unknown, Err(404)),
    ] {
        let case = at(host, "/detect-misdirected-requests");
        let case = match outcome {
            Ok(backend) => case.to(backend),
            Err(status) => case.status(status),
        };
        suite.check(&Way::tls(addr, server_name, expected).http2(), &[case]);
    }
}

/// HTTPRouteMultipleGateways
#[test]
fn a_route_of_two_gateways_is_served_by_both_and_others_by_their_own() {
    let shared = "multiple-gateways-shared-route";
    let suite = Suite::start(&["httproute-multiple-gateways.yaml"]);
    for (gateway, own, backend) in [
        (SAME, "same-namespace-dedicated-route", V2),
        ("all-namespaces", "all-namespaces-dedicated-route", V3),
    ] {
        suite.expect_routes("HTTPRoute", &[shared, own], ("Gateway", gateway));
        suite.check_http(gateway, &[get("/shared").to(V1), get("/").to(backend)]);
    }
}

/// HTTPRouteNamedRule
#[test]
fn rules_may_have_names() {
    let suite = start("httproute-named-rule.yaml", SAME, &["http-named-rules"]);
    suite.check_http(SAME, &[get("/named"), get("/unnamed")]);
}

/// HTTPRoutePartiallyInvalidViaInvalidReferenceGrant
#[test]
fn a_rule_without_a_grant_leaves_its_siblings_alone() {
    let suite = Suite::start(&["httproute-partially-invalid-via-invalid-reference-grant.yaml"]);
    suite.expect_route(
        "HTTPRoute",
        "invalid-reference-grant",
        ("Gateway", SAME),
        &["Accepted=True/Accepted", "ResolvedRefs=False/RefNotPermitted"],
    );
    suite.check_http(SAME, &[get("/v2").status(500), get("/").to("app-backend-v1").of(APP)]);
}

/// HTTPRouteServiceTypes
#[test]
fn headless_services_and_those_with_slices_of_their_own_are_reached() {
    let suite = start("httproute-service-types.yaml", SAME, &["service-types"]);
    let pods = [0, 1].map(|number| {
        suite.object("Pod", &format!("{V1}-6c9d8f7b5-x{number}k2p"))["status"]["podIP"].clone()
    });
    for service in ["manual-endpointslices", "headless-manual-endpointslices"] {
        suite.change("EndpointSlice", &format!("{service}-ip4"), |slice| {
            let endpoint = |ip: &serde_json::Value| {
                serde_json::json!({
                    "addresses": [ip],
                    "conditions": { "ready": true, "serving": true, "terminating": false },
                })
            };
            slice["endpoints"] = pods.iter().map(endpoint).collect();
        });
    }
    let paths = ["/manual-endpointslices", "/headless-manual-endpointslices", "/headless"];
    suite.check_http(SAME, &paths.map(|path| get(path).to(V1)));
}

/// HTTPRouteWeight
#[test]
fn requests_spread_by_weight() {
    let suite = start("httproute-weight.yaml", SAME, &["weighted-backends"]);
    let way = Way::plain(suite.address(SAME, 80));
    let case = get("/");
    weights::check(&[(V1, 70.0), (V2, 30.0), (V3, 0.0)], async || pod(&way, &case).await);
}

/// HTTPRouteBackendProtocolH2C
#[test]
fn a_backend_of_h2c_is_spoken_to_by_prior_knowledge() {
    let suite = start("httproute-backend-protocol-h2c.yaml", SAME, &["backend-protocol-h2c"]);
    let way = Way::plain(suite.address(SAME, 80)).http2();
    suite.check(&way, &[get("/").to(V1)]);
    let answer = block_on(crate::suite::case::ask(&way, &get("/"))).expect("an answer");
    let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(told["proto"], "HTTP/2.0");
}

/// HTTPRouteBackendProtocolWebSocket
#[test]
fn websocket_messages_come_back() {
    let suite = start("httproute-backend-protocol-websocket.yaml", SAME, &["backend-protocol-ws"]);
    let addr = suite.address(SAME, 80);
    block_on(async {
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{addr}/ws")).await.expect("a handshake");
        for message in [Message::text("Websocket Support!"), Message::binary(vec![1, 2, 3, 4])] {
            socket.send(message.clone()).await.expect("to be sent");
            let reply = socket.next().await.expect("a reply").expect("no error");
            assert_eq!(reply, message);
        }
    });
}
