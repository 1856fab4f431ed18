//! HTTPRoute: redirects.

use crate::http_filters::{SAME, own, start};
use crate::suite::case::{Case, Redirect, get, request};
use crate::suite::certificates::CERTIFICATES;
use crate::suite::client::Way;
use crate::suite::{INFRA, Suite};

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
