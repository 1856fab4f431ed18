//! HTTPRoute: fields that are changed, hosts and paths that are rewritten.

use crate::common::block_on;
use crate::suite::case::{Case, ask, backend_of, get};
use crate::suite::client::Way;
use crate::suite::{Suite, V1, V2};

pub const SAME: &str = "same-namespace";

pub fn start(manifests: &str, routes: &[&str]) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("HTTPRoute", routes, ("Gateway", SAME));
    suite
}

/// A route in our own words.
pub fn own(rules: &str) -> Suite {
    let suite = Suite::start_with(&format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: own\n  \
         namespace: gateway-conformance-infra\nspec:\n  parentRefs: [{{name: same-namespace}}]\n  \
         rules:\n{rules}"
    ));
    suite.expect_routes("HTTPRoute", &["own"], ("Gateway", SAME));
    suite
}

/// HTTPRouteRequestHeaderModifier, HTTPRouteBackendRequestHeaderModifier
#[test]
fn fields_of_the_request_are_set_added_and_removed() {
    for manifests in
        ["httproute-request-header-modifier.yaml", "httproute-request-header-modifier-backend.yaml"]
    {
        let suite = start(manifests, &["request-header-modifier"]);
        let other = ("Some-Other-Header", "val");
        let set = [other, ("X-Header-Set", "set-overwrites-values")];
        let set_by = |case: Case| case.with("Some-Other-Header", "val").to(V1);
        let mut cases = vec![
            set_by(get("/set")).sees(&set),
            set_by(get("/set")).with("X-Header-Set", "some-other-value").sees(&set),
            set_by(get("/add")).sees(&[other, ("X-Header-Add", "add-appends-values")]),
            set_by(get("/add"))
                .with("X-Header-Add", "some-other-value")
                .sees(&[other, ("X-Header-Add", "some-other-value,add-appends-values")]),
            get("/remove").with("X-Header-Remove", "val").to(V1).sees_no(&["X-Header-Remove"]),
        ];
        cases.push(
            get("/multiple")
                .with("X-Header-Set-2", "set-val-2")
                .with("X-Header-Add-2", "add-val-2")
                .with("X-Header-Remove-2", "remove-val-2")
                .with("Another-Header", "another-header-val")
                .to(V1)
                .sees(&[
                    ("X-Header-Set-1", "header-set-1"),
                    ("X-Header-Set-2", "header-set-2"),
                    ("X-Header-Add-1", "header-add-1"),
                    ("X-Header-Add-2", "add-val-2,header-add-2"),
                    ("X-Header-Add-3", "header-add-3"),
                    ("Another-Header", "another-header-val"),
                ])
                .sees_no(&["X-Header-Remove-1", "X-Header-Remove-2"]),
        );
        cases.push(
            get("/case-insensitivity")
                .with("x-header-set", "original-val-set")
                .with("x-header-add", "original-val-add")
                .with("x-header-remove", "original-val-remove")
                .with("Another-Header", "another-header-val")
                .to(V1)
                .sees(&[
                    ("X-Header-Set", "header-set"),
                    ("X-Header-Add", "original-val-add,header-add"),
                    ("Another-Header", "another-header-val"),
                ])
                .sees_no(&["X-Header-Remove"]),
        );
        suite.check_http(SAME, &cases);
    }
}

/// HTTPRouteRequestHeaderModifierBackendWeights
#[test]
fn each_backend_of_a_rule_has_its_own_filters() {
    let route = "request-header-modifier-backend-weights";
    let suite = start("httproute-request-header-modifier-backend-weights.yaml", &[route]);
    let way = Way::plain(suite.address(SAME, 80));
    block_on(async {
        for _ in 0..100 {
            let answer = ask(&way, &get("/")).await.expect("an answer");
            let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
            let pod = told["pod"].as_str().expect("a pod");
            assert_eq!(crate::common::http::seen(&told, "Backend"), [backend_of(pod)]);
        }
    });
}

fn tells(case: Case, fields: &[(&'static str, &'static str)]) -> Case {
    fields.iter().fold(case.to(V1), |case, (name, value)| case.tells(name, &[*value]))
}

/// HTTPRouteResponseHeaderModifier
#[test]
fn names_of_fields_have_no_case() {
    let suite = start("httproute-response-header-modifier.yaml", &["response-header-modifier"]);
    let original = [
        ("x-header-set", "original-val-set"),
        ("x-header-add", "original-val-add"),
        ("x-header-remove", "original-val-remove"),
        ("Another-Header", "another-header-val"),
    ];
    let case = tells(
        get("/case-insensitivity").echoing(&original),
        &[
            ("X-Header-Set", "header-set"),
            ("X-Header-Add", "original-val-add,header-add"),
            ("X-Lowercase-Add", "lowercase-add"),
            ("X-Mixedcase-Add-1", "mixedcase-add-1"),
            ("X-Mixedcase-Add-2", "mixedcase-add-2"),
            ("X-Uppercase-Add", "uppercase-add"),
            ("Another-Header", "another-header-val"),
        ],
    )
    .tells_no(&["X-Header-Remove"]);
    suite.check_http(SAME, &[case]);
}

/// HTTPRouteResponseHeaderModifier
#[test]
fn fields_of_the_answer_are_set_added_and_removed() {
    let suite = start("httproute-response-header-modifier.yaml", &["response-header-modifier"]);
    let other = ("Some-Other-Header", "val");
    let several = [
        ("X-Header-Set-2", "set-val-2"),
        ("X-Header-Add-2", "add-val-2"),
        ("X-Header-Remove-2", "remove-val-2"),
        ("Another-Header", "another-header-val"),
        ("X-Header-Remove-1", "val"),
    ];
    let removed = ["X-Header-Remove-1", "X-Header-Remove-2"];
    let set = [other, ("X-Header-Set", "set-overwrites-values")];
    let both = [
        ("X-Header-Set-1", "header-set-1"),
        ("X-Header-Set-2", "header-set-2"),
        ("X-Header-Add-1", "header-add-1"),
        ("X-Header-Add-2", "add-val-2,header-add-2"),
        ("Another-Header", "another-header-val"),
    ];
    let mut cases = vec![
        tells(get("/set").echoing(&[other]), &set),
        tells(get("/set").echoing(&[other, ("X-Header-Set", "some-other-value")]), &set),
        tells(get("/add").echoing(&[other]), &[other, ("X-Header-Add", "add-appends-values")]),
        tells(
            get("/add").echoing(&[other, ("X-Header-Add", "some-other-value")]),
            &[other, ("X-Header-Add", "some-other-value,add-appends-values")],
        ),
        get("/remove").echoing(&[("X-Header-Remove", "val")]).to(V1).tells_no(&["X-Header-Remove"]),
        tells(get("/multiple").echoing(&several), &both)
            .tells("X-Header-Add-3", &["header-add-3"])
            .tells_no(&removed),
    ];
    let echoed = [&several[..], &[("X-Header-Echo", "echo")]].concat();
    let modified = modified(get("/response-and-request-header-modifiers"));
    cases.push(
        tells(modified.with("X-Header-Echo", "echo").echoing(&echoed), &both)
            .sees(&[("X-Header-Echo", "echo")])
            .tells("X-Header-Echo", &["echo"])
            .tells_no(&removed),
    );
    suite.check_http(SAME, &cases);
}

/// HTTPRouteBackendURLRewrite (of upstream's main)
#[test]
fn a_backend_may_have_its_own_rewrite() {
    let suite = own("  - matches: [{path: {value: /whole}}]
    backendRefs:
    - name: infra-backend-v1
      port: 8080
      filters:
      - type: URLRewrite
        urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /new-whole}}
  - matches: [{path: {value: /start}}]
    backendRefs:
    - name: infra-backend-v1
      port: 8080
      filters:
      - type: URLRewrite
        urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new-start}}
");
    suite.check_http(
        SAME,
        &[
            get("/whole/thing").to(V1).seen_path("/new-whole"),
            get("/start/thing").to(V1).seen_path("/new-start/thing"),
        ],
    );
}

/// HTTPRouteRewriteHost
#[test]
fn the_host_is_rewritten() {
    let suite = start("httproute-rewrite-host.yaml", &["rewrite-host"]);
    let at = |path| get(path).host("rewrite.example");
    suite.check_http(
        SAME,
        &[
            at("/one").to(V1).seen_host("one.example.org"),
            at("/two").to(V2).seen_host("example.org"),
            modified(at("/rewrite-host-and-modify-headers")).to(V2).seen_host("test.example.org"),
        ],
    );
}

/// HTTPRouteRewritePath
#[test]
fn the_path_or_its_prefix_is_rewritten() {
    let suite = start("httproute-rewrite-path.yaml", &["rewrite-path"]);
    let set = |case: Case| modified(case).with("X-Header-Set", "set-val");
    let cases = [
        (get("/prefix/one/two"), "/one/two"),
        (get("/strip-prefix/three"), "/three"),
        (get("/strip-prefix"), "/"),
        (get("/full/one/two"), "/one"),
        (set(get("/full/rewrite-path-and-modify-headers/test")), "/test"),
        (set(get("/prefix/rewrite-path-and-modify-headers/one")), "/prefix/one"),
    ];
    suite.check_http(SAME, &cases.map(|(case, path)| case.to(V1).seen_path(path)));
}

/// The request that several of upstream's routes modify in the same way.
pub fn modified(case: Case) -> Case {
    case.with("X-Header-Remove", "remove-val")
        .with("X-Header-Add-Append", "append-val-1")
        .sees(&[
            ("X-Header-Add", "header-val-1"),
            ("X-Header-Add-Append", "append-val-1,header-val-2"),
            ("X-Header-Set", "set-overwrites-values"),
        ])
        .sees_no(&["X-Header-Remove"])
}
