//! HTTPRoute: what browsers are told of other origins.

use crate::http_filters::{SAME, start};
use crate::suite::Suite;
use crate::suite::case::{Case, request};

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
