//! HTTPRoute: time limits and retries.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::suite::case::{Case, get};
use crate::suite::{Suite, V3};

const SAME: &str = "same-namespace";

fn start(manifests: &str, route: &str) -> Suite {
    let suite = Suite::start(&[manifests]);
    suite.expect_routes("HTTPRoute", &[route], ("Gateway", SAME));
    suite
}

/// HTTPRouteTimeoutRequest, HTTPRouteTimeoutBackendRequest
#[test]
fn a_backend_that_is_too_slow_gives_504_unless_the_limit_is_off() {
    for (manifests, route, path) in [
        ("httproute-timeout-request.yaml", "request-timeout", "request-timeout"),
        ("httproute-timeout-backend-request.yaml", "backend-request-timeout", "backend-timeout"),
    ] {
        let suite = start(manifests, route);
        suite.check_http(
            SAME,
            &[
                get(format!("/{path}")),
                get(format!("/{path}?delay=1s")).status(504),
                get(format!("/disable-{path}?delay=1s")),
            ],
        );
    }
}

/// A request to a backend that fails a few times, with the status or by a reset, and what comes of
/// it.
fn flaky(path: &str, code: Option<u16>, failures: u32, delay: &str) -> Case {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let uuid = NEXT.fetch_add(1, Ordering::Relaxed);
    let code = code.map_or_else(String::new, |code| format!("&responseCode={code}"));
    let delay = if delay.is_empty() { String::new() } else { format!("&delayRetry={delay}") };
    get(format!("{path}?uuid={uuid}&succeedAfter={failures}{code}{delay}")).to(V3)
}

/// HTTPRouteRetry
#[test]
fn listed_statuses_are_tried_again_up_to_the_attempts() {
    let suite = start("httproute-retry.yaml", "retries");
    let path = "/retry/code-500-attempts-3";
    let mut cases = vec![
        flaky(path, Some(500), 2, ""),
        flaky(path, Some(500), 4, "").is(500),
        flaky(path, Some(503), 2, "").is(503),
    ];
    for code in [500, 502, 503, 504] {
        let path = "/retry/code-all-attempts-2";
        cases.push(flaky(path, Some(code), 1, ""));
        cases.push(flaky(path, Some(code), 3, "").is(code));
    }
    suite.check_http(SAME, &cases);
}

fn route(rules: &str) -> Suite {
    let suite = Suite::start_with(&format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: flaky\n  \
         namespace: gateway-conformance-infra\nspec:\n  parentRefs: [{{name: same-namespace}}]\n  \
         rules:\n{rules}"
    ));
    suite.expect_routes("HTTPRoute", &["flaky"], ("Gateway", SAME));
    suite
}

/// HTTPRouteRetryConnectionError (of upstream's main)
#[test]
fn a_reset_connection_is_tried_again_up_to_the_attempts() {
    let suite = route(
        "  - matches: [{path: {value: /retry/resets}}]
    retry: {attempts: 3}
    backendRefs: [{name: infra-backend-v3, port: 8080}]
",
    );
    let path = "/retry/resets";
    suite.check_http(SAME, &[flaky(path, None, 2, ""), flaky(path, None, 4, "").is([500, 503])]);
}

/// HTTPRouteRetryWithTimeouts (of upstream's main)
#[test]
fn retries_end_with_the_time_that_the_request_has() {
    let suite = route(
        "  - matches: [{path: {value: /retry/one}}]
    retry: {attempts: 2}
    timeouts: {backendRequest: 200ms}
    backendRefs: [{name: infra-backend-v3, port: 8080}]
  - matches: [{path: {value: /retry/all}}]
    retry: {codes: [500], attempts: 5}
    timeouts: {backendRequest: 200ms, request: 400ms}
    backendRefs: [{name: infra-backend-v3, port: 8080}]
",
    );
    suite.check_http(
        SAME,
        &[
            flaky("/retry/one", Some(500), 2, "300ms"),
            flaky("/retry/one", Some(500), 3, "300ms").is(504),
            flaky("/retry/all", Some(500), 1, ""),
            flaky("/retry/all", Some(500), 4, "100ms").is(504),
        ],
    );
}
