//! GRPCRoute.

use crate::suite::client::Way;
use crate::suite::grpc::{OK, UNIMPLEMENTED, call, tell};
use crate::suite::{Suite, weights};

const SAME: &str = "same-namespace";
const V1: &str = "grpc-infra-backend-v1";
const V2: &str = "grpc-infra-backend-v2";
const V3: &str = "grpc-infra-backend-v3";

fn start(manifests: &str, gateway: &str, routes: &[&str]) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("GRPCRoute", routes, ("Gateway", gateway));
    suite
}

/// GRPCExactMethodMatching, GRPCRouteNamedRule
#[test]
fn the_method_chooses_the_rule() {
    let suite = start("grpcroute-exact-method-matching.yaml", SAME, &["exact-matching"]);
    let unknown = call("EchoThree").code(&[UNIMPLEMENTED]);
    suite.check_grpc(SAME, &[call("Echo").to(V1), call("EchoTwo").to(V2), unknown]);
    let suite = start("grpcroute-named-rule.yaml", SAME, &["grpc-named-rules"]);
    suite.check_grpc(SAME, &[call("Echo").to(V1), call("EchoTwo").to(V2)]);
}

/// GRPCRouteHeaderMatching
#[test]
fn metadata_chooses_the_rule() {
    let suite = start("grpcroute-header-matching.yaml", SAME, &["grpc-header-matching"]);
    let with = |name, value| call("Echo").with(name, value);
    let missing = [UNIMPLEMENTED];
    suite.check_grpc(
        SAME,
        &[
            with("version", "one").to(V1),
            with("version", "two").to(V2),
            with("version", "two").with("color", "orange").to(V1),
            with("version", "two").with("color", "blue").to(V2),
            with("color", "blue").to(V1),
            with("color", "green").to(V1),
            with("color", "red").to(V2),
            with("color", "yellow").to(V2),
            with("color", "orange").code(&missing),
            with("color", "purple").code(&missing),
            with("some-other-header", "one").code(&missing),
        ],
    );
}

/// GRPCRouteListenerHostnameMatching
#[test]
fn the_authority_chooses_the_listener() {
    let gateway = "grpcroute-listener-hostname-matching";
    let routes = ["backend-v1", "backend-v2", "backend-v3"];
    let suite = start("grpcroute-listener-hostname-matching.yaml", gateway, &routes);
    let at = |authority| call("Echo").authority(authority);
    suite.check_grpc(
        gateway,
        &[
            at("bar.com").to(V1),
            at("foo.bar.com").to(V2),
            at("baz.bar.com").to(V3),
            at("boo.bar.com").to(V3),
            at("multiple.prefixes.bar.com").to(V3),
            at("multiple.prefixes.foo.com").to(V3),
            at("foo.com").code(&[UNIMPLEMENTED]),
            at("no.matching.host").code(&[UNIMPLEMENTED]),
        ],
    );
}

/// GRPCRouteWeight
#[test]
fn calls_spread_by_weight() {
    let suite = start("grpcroute-weight.yaml", SAME, &["weighted-backends"]);
    let way = Way::plain(suite.address(SAME, 80)).http2();
    let call = call("Echo");
    weights::check(&[(V1, 70.0), (V2, 30.0), (V3, 0.0)], async || {
        let told = tell(&way, &call).await.expect("an answer");
        assert_eq!(told.code, OK);
        told.pod
    });
}

/// GRPCRouteRequestHeaderModifier (of upstream's main)
#[test]
fn metadata_is_set_added_and_removed() {
    let suite = Suite::start_with(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: own, namespace: gateway-conformance-infra}
spec:
  parentRefs: [{name: same-namespace}]
  rules:
  - matches: [{method: {service: gateway_api_conformance.echo_basic.grpcecho.GrpcEcho, method: Echo}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set: [{name: X-Set, value: ours}]
        add: [{name: X-Add, value: ours}, {name: x-add-new, value: new}]
        remove: [X-Remove]
    backendRefs: [{name: grpc-infra-backend-v1, port: 8080}]
",
    );
    suite.expect_routes("GRPCRoute", &["own"], ("Gateway", SAME));
    let set = [("x-set", "ours"), ("x-add-new", "new"), ("x-other", "kept")];
    let other = || call("Echo").to(V1).with("x-other", "kept").sees(&set);
    suite.check_grpc(
        SAME,
        &[
            other().sees(&[("x-add", "ours")]),
            other()
                .with("x-set", "theirs")
                .with("x-add", "theirs")
                .sees(&[("x-add", "theirs,ours")]),
            other().with("x-remove", "gone").sees_no(&["x-remove"]),
        ],
    );
}
