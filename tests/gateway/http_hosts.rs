//! HTTPRoute: which listener a request belongs to, by host, port and server name.

use crate::http_route::{at, start};
use crate::suite::case::Case;
use crate::suite::certificates::CERTIFICATES;
use crate::suite::client::Way;
use crate::suite::{INFRA, Listener, Suite, V1, V2, V3};

/// By a backend, or by nobody.
fn answered(case: Case, backend: Option<&'static str>) -> Case {
    match backend {
        Some(backend) => case.to(backend),
        None => case.status(404),
    }
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
            Listener {
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
