//! HTTPRoute: which requests a route gets, and which backends.

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::common::block_on;
use crate::suite::case::{Case, get, pod, request};
use crate::suite::client::Way;
use crate::suite::{APP, Suite, V1, V2, V3, WEB, weights};

const SAME: &str = "same-namespace";

/// Starts with one file whose routes are all good below one Gateway.
#[track_caller]
pub fn start(manifests: &str, gateway: &str, routes: &[&str]) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("HTTPRoute", routes, ("Gateway", gateway));
    suite
}

pub fn at(host: &str, path: &str) -> Case {
    get(path).host(host)
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
