//! HTTPRoute: what filters make of requests and answers.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{PATIENCE, block_on};
use crate::suite::case::{Case, Redirect, ask, backend_of, get, request};
use crate::suite::certificates::CERTIFICATES;
use crate::suite::client::Way;
use crate::suite::{INFRA, Suite, V1, V2, V3};

const SAME: &str = "same-namespace";

fn start(manifests: &str, routes: &[&str]) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("HTTPRoute", routes, ("Gateway", SAME));
    suite
}

/// A route in our own words.
fn own(rules: &str) -> Suite {
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

/// The request that several of upstream's routes modify in the same way.
fn modified(case: Case) -> Case {
    case.with("X-Header-Remove", "remove-val")
        .with("X-Header-Add-Append", "append-val-1")
        .sees(&[
            ("X-Header-Add", "header-val-1"),
            ("X-Header-Add-Append", "append-val-1,header-val-2"),
            ("X-Header-Set", "set-overwrites-values"),
        ])
        .sees_no(&["X-Header-Remove"])
}

const TO: Redirect = Redirect { scheme: None, host: None, port: None, path: None };
const EXAMPLE: Redirect = Redirect { host: Some("example.org"), ..TO };

/// HTTPRouteRedirectHostAndStatus, HTTPRoute303Redirect, HTTPRoute307Redirect, HTTPRoute308Redirect
#[test]
fn redirects_have_the_host_and_the_status_of_the_filter() {
    let redirect = |path, status, to| get(path).redirect(status, to);
    for (manifests, route, cases) in [
        (
            "httproute-redirect-host-and-status.yaml",
            "redirect-host-and-status",
            vec![
                redirect("/hostname-redirect", 302, EXAMPLE),
                redirect("/host-and-status", 301, EXAMPLE),
            ],
        ),
        (
            "httproute-303-redirect.yaml",
            "303-redirect",
            vec![request("POST", "/see-other").redirect(303, TO)],
        ),
        ("httproute-307-redirect.yaml", "307-redirect", vec![redirect("/temporary", 307, TO)]),
        ("httproute-308-redirect.yaml", "308-redirect", vec![redirect("/permanent", 308, TO)]),
    ] {
        let suite = start(manifests, &[route]);
        suite.check_http(SAME, &cases);
    }
}

/// HTTPRouteRedirectPath
#[test]
fn redirects_replace_the_path_or_its_prefix() {
    let suite = start("httproute-redirect-path.yaml", &["redirect-path"]);
    let cases = [
        ("/original-prefix/lemon", 302, "/replacement-prefix/lemon", TO),
        ("/full/path/original", 302, "/full-path-replacement", TO),
        ("/path-and-host", 302, "/replacement-prefix", EXAMPLE),
        ("/path-and-status", 301, "/replacement-prefix", TO),
        ("/full-path-and-host", 302, "/replacement-full", EXAMPLE),
        ("/full-path-and-status", 301, "/replacement-full", TO),
    ];
    let case =
        |(from, status, path, to)| get(from).redirect(status, Redirect { path: Some(path), ..to });
    suite.check_http(SAME, &cases.map(case));
}

/// HTTPRouteRedirectPort, HTTPRouteRedirectScheme
#[test]
fn redirects_have_the_port_and_the_scheme_of_the_filter() {
    for (manifests, route, name, part) in [
        (
            "httproute-redirect-port.yaml",
            "redirect-port",
            "/port",
            Redirect { port: Some(8083), ..TO },
        ),
        (
            "httproute-redirect-scheme.yaml",
            "redirect-scheme",
            "/scheme",
            Redirect { scheme: Some("https"), ..TO },
        ),
    ] {
        let suite = start(manifests, &[route]);
        let both = Redirect { host: EXAMPLE.host, ..part };
        let cases = [
            ("", 302, part),
            ("-and-host", 302, both),
            ("-and-status", 301, part),
            ("-and-host-and-status", 302, both),
        ];
        let case = |(suffix, status, to)| get(format!("{name}{suffix}")).redirect(status, to);
        suite.check_http(SAME, &cases.map(case));
    }
}

/// HTTPRouteRedirectPortAndScheme
#[test]
fn a_redirect_without_a_port_takes_that_of_the_scheme_or_of_the_listener() {
    let at_8080 = "same-namespace-with-http-listener-on-8080";
    let at_443 = "same-namespace-with-https-listener";
    let suite = Suite::start(&["httproute-redirect-port-and-scheme.yaml"]);
    let to = |scheme, port| Redirect { scheme: Some(scheme), port, ..EXAMPLE };
    let certificate = CERTIFICATES.secret(INFRA, "tls-validity-checks-certificate");
    let tables: [(&str, u16, &[_]); 3] = [
        (
            SAME,
            80,
            &[
                ("/scheme-nil-and-port-nil", to("http", None)),
                ("/scheme-nil-and-port-80", to("http", None)),
                ("/scheme-nil-and-port-8080", to("http", Some(8080))),
                ("/scheme-https-and-port-nil", to("https", None)),
                ("/scheme-https-and-port-443", to("https", None)),
                ("/scheme-https-and-port-8443", to("https", Some(8443))),
            ],
        ),
        (
            at_8080,
            8080,
            &[
                ("/scheme-nil-and-port-nil", to("http", Some(8080))),
                ("/scheme-nil-and-port-80", to("http", None)),
                ("/scheme-https-and-port-nil", to("https", None)),
            ],
        ),
        (
            at_443,
            443,
            &[
                ("/scheme-nil-and-port-nil", to("https", None)),
                ("/scheme-nil-and-port-443", to("https", None)),
                ("/scheme-nil-and-port-8443", to("https", Some(8443))),
                ("/scheme-http-and-port-nil", to("http", None)),
                ("/scheme-http-and-port-80", to("http", None)),
                ("/scheme-http-and-port-8080", to("http", Some(8080))),
            ],
        ),
    ];
    for (gateway, port, rows) in tables {
        let route = format!("http-route-for-listener-on-port-{port}");
        suite.expect_routes("HTTPRoute", &[&route], ("Gateway", gateway));
        let addr = suite.address(gateway, port);
        let is_tls = port == 443;
        let cases: Vec<Case> = rows
            .iter()
            .map(|(path, to)| {
                let case = get(*path).redirect(302, *to);
                if is_tls { case.host("example.org") } else { case }
            })
            .collect();
        let way =
            if is_tls { Way::tls(addr, "example.org", certificate) } else { Way::plain(addr) };
        suite.check(&way, &cases);
    }
}

/// HTTPRouteBackendRequestRedirect (of upstream's main)
#[test]
fn a_backend_may_redirect() {
    let suite = own("  - matches: [{path: {value: /whole}}]
    backendRefs:
    - name: infra-backend-v1
      port: 8080
      filters:
      - type: RequestRedirect
        requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new-whole}}
  - matches: [{path: {value: /start}}]
    backendRefs:
    - name: infra-backend-v1
      port: 8080
      filters:
      - type: RequestRedirect
        requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new-start}}
");
    let to = |path| Redirect { path: Some(path), ..TO };
    suite.check_http(
        SAME,
        &[
            get("/whole/thing").redirect(302, to("/new-whole")),
            get("/start/thing").redirect(302, to("/new-start/thing")),
        ],
    );
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

/// A path that no other request has.
fn unique(path: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{path}?id={}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// How many requests for a target the pods of a backend got.
fn count(suite: &Suite, backend: &str, target: &str) -> usize {
    let requests = suite.journal.requests();
    requests.iter().filter(|it| backend_of(&it.pod) == backend && it.target == target).count()
}

#[track_caller]
fn wait_for_mirrored(suite: &Suite, backend: &str, target: &str, least: usize) {
    let came = suite.journal.wait_for(PATIENCE, |requests| {
        let is_mirrored =
            |it: &&rutter::echo::Asked| backend_of(&it.pod) == backend && it.target == target;
        requests.iter().filter(is_mirrored).count() >= least
    });
    assert!(came, "{backend} did not get {target} {least} times");
}

/// HTTPRouteRequestMirror, HTTPRouteRequestMultipleMirrors
#[test]
fn requests_are_mirrored_to_one_backend_and_to_several() {
    for (manifests, route, paths, mirrors) in [
        (
            "httproute-request-mirror.yaml",
            "request-mirror",
            ["/mirror", "/mirror-and-modify-headers"],
            &[V2][..],
        ),
        (
            "httproute-request-multiple-mirrors.yaml",
            "request-multiple-mirrors",
            ["/multi-mirror", "/multi-mirror-and-modify-request-headers"],
            &[V2, V3],
        ),
    ] {
        let suite = start(manifests, &[route]);
        let [plain, modifying] = paths.map(unique);
        suite.check_http(SAME, &[get(&plain).to(V1), modified(get(&modifying)).to(V1)]);
        for mirror in mirrors {
            for target in [&plain, &modifying] {
                wait_for_mirrored(&suite, mirror, target, 1);
                assert_eq!(count(&suite, mirror, target), 1, "{mirror} {target}");
            }
        }
    }
}

/// HTTPRouteRequestPercentageMirror
#[test]
fn a_share_of_the_requests_is_mirrored() {
    const REQUESTS: usize = 2_000;
    let suite = start("httproute-request-percentage-mirror.yaml", &["request-percentage-mirror"]);
    let way = Way::plain(suite.address(SAME, 80));
    for (path, percent, is_modified) in [
        ("/percent-mirror", 20, false),
        ("/percent-mirror-fraction", 50, false),
        ("/percent-mirror-and-modify-headers", 35, true),
    ] {
        let target = unique(path);
        let case = get(&target).to(V1);
        let case = if is_modified { modified(case) } else { case };
        suite.check(&way, &vec![case; REQUESTS]);
        wait_for_mirrored(&suite, V2, &target, REQUESTS * (percent - 5) / 100);
        let mirrored = count(&suite, V2, &target);
        assert!(mirrored <= REQUESTS * (percent + 5) / 100, "{path}: {mirrored}");
    }
}

const ORIGIN: &str = "access-control-allow-origin";
const METHODS: &str = "access-control-allow-methods";
const HEADERS: &str = "access-control-allow-headers";
const EXPOSED: &str = "access-control-expose-headers";
const CREDENTIALS: &str = "access-control-allow-credentials";
const ONE_AND_TWO: [&str; 2] = ["x-header-1,x-header-2", "x-header-2,x-header-1"];

fn preflight(path: &str, origin: &str, method: &str, headers: Option<&str>) -> Case {
    let case = request("OPTIONS", path)
        .with("Origin", origin)
        .with("access-control-request-method", method)
        .status([200, 204]);
    match headers {
        Some(headers) => case.with("access-control-request-headers", headers),
        None => case,
    }
}

fn start_cors() -> Suite {
    let routes = [
        "cors-multiple-origins-methods-headers",
        "cors-wildcard-methods",
        "cors-wildcard-origin",
        "cors-wildcard-methods-headers",
    ];
    start("httproute-cors.yaml", &routes)
}

/// HTTPRouteCORS, preflights
#[test]
fn preflights_are_answered_by_the_gateway() {
    let suite = start_cors();
    let both = Some("x-header-1, x-header-2");
    let mut cases = Vec::new();
    for origin in ["https://www.foo.com", "https://www.bar.com", "https://xpto.www.bar.com"] {
        cases.push(
            preflight("/cors-1", origin, "GET", both)
                .tells(ORIGIN, &[origin])
                .tells(METHODS, &["GET,OPTIONS", "OPTIONS,GET"])
                .tells(HEADERS, &ONE_AND_TWO)
                .tells(EXPOSED, &["x-header-3,x-header-4", "x-header-4,x-header-3"])
                .tells("access-control-max-age", &["3600"])
                .tells(CREDENTIALS, &["true"]),
        );
    }
    cases.push(
        preflight("/cors-1", "https://foobar.com", "GET", None)
            .status([200, 204, 403])
            .tells_no(&[ORIGIN]),
    );
    cases.push(
        preflight("/cors-2", "https://www.foo.com", "POST", None)
            .tells(METHODS, &["POST", "*"])
            .tells(ORIGIN, &["https://www.foo.com"])
            .tells_no(&[CREDENTIALS]),
    );
    for origin in ["https://foobar.com", "https://foobar.com:12345"] {
        cases.push(
            preflight("/cors-wildcard-origin", origin, "PUT", None)
                .tells(ORIGIN, &[origin, "*"])
                .tells(METHODS, &["PUT"])
                .tells_no(&[CREDENTIALS]),
        );
    }
    let other = "https://other.foo.com";
    cases.push(
        preflight("/cors-wildcard-methods-headers", other, "PUT", both)
            .tells(ORIGIN, &[other])
            .tells(METHODS, &["PUT"])
            .tells(HEADERS, &ONE_AND_TWO)
            .tells(CREDENTIALS, &["true"]),
    );
    cases.push(
        preflight("/cors-wildcard-methods-headers-unauth", other, "PUT", both)
            .tells(ORIGIN, &[other, "*"])
            .tells(METHODS, &["PUT", "*"])
            .tells(HEADERS, &[ONE_AND_TWO[0], ONE_AND_TWO[1], "*"])
            .tells_no(&[CREDENTIALS]),
    );
    suite.check_http(SAME, &cases);
}

/// HTTPRouteCORS, requests
#[test]
fn answers_say_which_origins_may_read_them() {
    let suite = start_cors();
    let from = |method, path: &str, origin: &str| request(method, path).with("Origin", origin);
    let asking = |origin| {
        from("GET", "/cors-1", origin)
            .with("access-control-request-method", "GET")
            .with("access-control-request-headers", "x-header-1, x-header-2")
    };
    let (port, other) = ("https://foobar.com:12345", "https://other.foo.com");
    suite.check_http(
        SAME,
        &[
            asking("https://www.foo.com").tells(ORIGIN, &["https://www.foo.com"]),
            asking("https://www.bar.com").tells(ORIGIN, &["https://www.bar.com"]),
            asking("https://foobar.com").tells_no(&[ORIGIN]),
            from("PUT", "/cors-wildcard-origin", port).tells(ORIGIN, &[port, "*"]),
            from("PUT", "/cors-wildcard-origin", "https://foobar.com")
                .tells(ORIGIN, &["https://foobar.com", "*"])
                .tells_no(&[CREDENTIALS]),
            from("GET", "/cors-wildcard-methods-headers", other)
                .tells(ORIGIN, &[other])
                .tells(CREDENTIALS, &["true"]),
            from("GET", "/cors-wildcard-methods-headers-unauth", other)
                .tells(ORIGIN, &[other, "*"])
                .tells_no(&[CREDENTIALS]),
        ],
    );
}
