//! The admin API as people, probes and Prometheus use it.

mod common;

use std::process::Command;
use std::time::Duration;

use common::Site;
use common::http::{self, Client};
use common::metrics::families;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: NET.20, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: wbe, port: {number: 80}}}}
"#;

fn ask(site: &Site, path: &str) -> http::Response {
    http::get(site.admin(), &site.admin().to_string(), path)
}

/// The metrics once a request is counted: that is when its exchange ends, which may be after its
/// client has the answer.
fn metrics_of_a_request(site: &Site) -> String {
    let since = std::time::SystemTime::now();
    loop {
        let metrics = ask(site, "/metrics").text();
        if metrics.lines().any(|line| line.starts_with("rutter_http_requests_total{")) {
            return metrics;
        }
        let waited = since.elapsed().unwrap_or_default();
        assert!(waited < Duration::from_secs(10), "no request is counted in:\n{metrics}");
    }
}

#[test]
fn probes_answer() {
    let site = Site::start(MANIFESTS);
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose"] {
        assert_eq!(ask(&site, path).status, 200, "{path}");
    }
}

#[test]
fn metrics_count_requests_by_route_and_reason_never_by_path() {
    let site = Site::start(MANIFESTS);
    assert_eq!(http::get(site.http(), "secret-host.test", "/secret-path").status, 503);
    let metrics = metrics_of_a_request(&site);
    let line = metrics.lines().find(|line| line.starts_with("rutter_http_requests_total{"));
    let line = line.unwrap_or_else(|| panic!("no request is counted in:\n{metrics}"));
    assert!(line.contains("route=\"default/web\""), "{line}");
    assert!(line.contains("reason=\"no_service\""), "{line}");
    // `rutter: 503 no_service` and its line end
    assert!(metrics.contains("reason=\"no_service\"} 23\n"), "{metrics}");
    assert!(!metrics.contains("secret-"), "labels must never come from the network");
    assert!(metrics.contains("rutter_config_generation "), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "the text must be complete");
}

#[test]
fn metrics_are_what_the_reference_parser_reads() {
    let site = Site::start(MANIFESTS);
    assert_eq!(http::get(site.http(), "a.test", "/").status, 503);
    let names = families(&metrics_of_a_request(&site));
    let is_duration = |name: &String| name == "rutter_http_request_duration_seconds";
    assert!(names.iter().any(is_duration), "{names:?}");
}

#[test]
fn the_command_line_explains_what_a_running_rutter_does_line_by_line() {
    let site = Site::start(MANIFESTS);
    let output = Command::new(common::rutter())
        .args(["explain", "http://any.test/x", "--admin", &site.admin().to_string()])
        .output()
        .expect("rutter must run");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains(".yaml:10\n"), "the line of the default backend is missing:\n{text}");
}

#[test]
fn the_report_holds_findings_at_their_place() {
    let site = Site::start(MANIFESTS);
    let report = ask(&site, "/report").json();
    let finding = &report["findings"][0];
    assert_eq!(finding["code"], "RT101");
    assert_eq!(finding["span"]["line"], 10);
    assert!(finding["help"].as_str().expect("a remedy").contains("web"), "{finding}");
}

#[test]
fn a_snapshot_and_an_explanation_can_be_asked_for() {
    let site = Site::start(MANIFESTS);
    let snapshot = ask(&site, "/snapshot");
    assert_eq!(snapshot.status, 200);
    assert!(snapshot.text().contains("default/web"), "{}", snapshot.text());
    let explained = ask(&site, "/explain?url=http://any.test/x");
    assert_eq!(explained.status, 200, "{}", explained.text());
    assert!(explained.text().contains("no_service"), "{}", explained.text());
}

#[test]
fn foreign_hosts_and_other_methods_are_refused() {
    let site = Site::start(MANIFESTS);
    let rebound = http::get(site.admin(), "evil.example", "/metrics");
    assert!(matches!(rebound.status, 403 | 421), "{}", rebound.status);
    let mut client = Client::connect(site.admin());
    let host = site.admin();
    client.send(
        format!("POST /report HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n").as_bytes(),
    );
    assert_eq!(client.response().expect("a response").status, 405);
}
