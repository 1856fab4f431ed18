//! The Corefile of a cluster, edited live: what upstream's e2e tests (`dns_configmap.go`) do to the
//! ConfigMap `kube-system/coredns`, by `dig` (Debian package dnsutils), with upstreams on loopback.

mod common;

use std::process::Command;

use common::metrics::families;
use common::{Site, http};

const SERVICES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: NET.20, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {type: ExternalName, externalName: foo.example.com}
"#;

/// The ConfigMap; its Corefile begins on line 5.
fn config_map(corefile: &str) -> String {
    let mut text = "apiVersion: v1\nkind: ConfigMap\ndata:\n  Corefile: |\n".to_owned();
    for line in corefile.lines() {
        text += &format!("    {line}\n");
    }
    text + "metadata: {name: coredns, namespace: kube-system}\n"
}

/// A server that knows what the upstreams of the e2e tests know.
fn upstream() -> Site {
    let corefile = "\
.:53 {
  hosts {
    1.1.1.1 abc.acme.local
    2.2.2.2 def.acme.local
    3.3.3.3 widget.local
    192.0.2.123 my.test
    192.0.2.124 foo.example.com
    fallthrough
  }
}";
    Site::start(&config_map(corefile))
}

const KUBERNETES: &str = "\
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 30
  }";

/// As the tests restore it: nothing is forwarded.
fn default_corefile() -> String {
    format!(".:53 {{\n{KUBERNETES}\n}}\n")
}

/// The data of the answers.
fn dig(site: &Site, arguments: &[&str]) -> Vec<String> {
    let server = site.dns();
    let output = Command::new("dig")
        .args([&format!("@{}", server.ip()), "-p", &server.port().to_string()])
        .args(["+short", "+time=5", "+tries=1"])
        .args(arguments)
        .output()
        .expect("dig must be installed (dnsutils)");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect()
}

#[track_caller]
fn check(site: &Site, rows: &[(&[&str], &[&str])]) {
    for (question, expected) in rows {
        assert_eq!(dig(site, question), *expected, "{question:?}");
    }
}

fn edit(site: &Site, corefile: &str) {
    site.save("coredns.yaml", &config_map(corefile));
}

#[test]
fn the_three_edits_of_upstreams_tests_take_effect_at_once() {
    let upstream = upstream();
    let addr = upstream.dns();
    let site = Site::start(SERVICES);
    edit(&site, &default_corefile());
    let forwarding = format!(".:53 {{\n{KUBERNETES}\n  forward . {addr}\n}}\n");
    let unknown: &[(&[&str], &[&str])] = &[
        (&["abc.acme.local"], &[]),
        (&["widget.local"], &[]),
        (&["-x", "192.0.2.123"], &[]),
        (&["outside.shop.svc.cluster.local"], &["foo.example.com."]),
        (&["web.shop.svc.cluster.local", "AAAA"], &[]),
    ];
    check(&site, unknown);

    // change stubDomain
    edit(&site, &format!("{forwarding}acme.local:53 {{\n  forward . {addr}\n}}\n"));
    check(
        &site,
        &[
            (&["abc.acme.local"], &["1.1.1.1"]),
            (&["def.acme.local"], &["2.2.2.2"]),
            (&["widget.local"], &["3.3.3.3"]),
        ],
    );
    edit(&site, &format!("{}acme.local:53 {{\n  forward . {addr}\n}}\n", default_corefile()));
    check(&site, &[(&["abc.acme.local"], &["1.1.1.1"]), (&["widget.local"], &[])]);
    edit(&site, &default_corefile());
    check(&site, unknown);

    // forward PTR upstream, and externalName upstream
    edit(&site, &forwarding);
    let web = format!("{}.20", site.block.prefix());
    check(
        &site,
        &[
            (&["-x", "192.0.2.123"], &["my.test."]),
            (&["-x", &web], &["web.shop.svc.cluster.local."]),
            (&["outside.shop.svc.cluster.local"], &["foo.example.com.", "192.0.2.124"]),
        ],
    );
    edit(&site, &default_corefile());
    check(&site, unknown);
}

#[test]
fn rewritten_names_are_answered_as_they_were_asked() {
    let upstream = upstream();
    let site = Site::start(SERVICES);
    edit(
        &site,
        &format!(
            ".:53 {{\n  rewrite name web.shop.test web.shop.svc.cluster.local\n  rewrite name suffix \
             .old.test .acme.local answer auto\n  rewrite name suffix .bare.test \
             .acme.local\n  rewrite name void.test a..b\n  {KUBERNETES}\n  forward . {}\n}}\n",
            upstream.dns()
        ),
    );
    let full = |name: &str| {
        let server = site.dns();
        let output = Command::new("dig")
            .args([&format!("@{}", server.ip()), "-p", &server.port().to_string()])
            .args(["+noall", "+answer", "+question", "+comments", "+time=5", "+tries=1", name])
            .output()
            .expect("dig must be installed (dnsutils)");
        let text = String::from_utf8(output.stdout).expect("text");
        let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
        let lines = text.lines().filter(|line| !line.starts_with(";;") && !line.is_empty());
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = lines.filter(|line| !line.starts_with("; ")).map(words).collect();
        format!("{} {}", status.unwrap_or("none"), lines.join(" | "))
    };
    let web = format!("{}.20", site.block.prefix());
    let rows = [
        ("WeB.shop.test", format!("NOERROR ;WeB.shop.test. IN A | WeB.shop.test. 30 IN A {web}")),
        (
            "Abc.old.test",
            "NOERROR ;Abc.old.test. IN A | Abc.old.test. 3600 IN A 1.1.1.1".to_owned(),
        ),
        (
            "abc.bare.test",
            "NOERROR ;abc.bare.test. IN A | abc.acme.local. 3600 IN A 1.1.1.1".to_owned(),
        ),
        ("void.test", "SERVFAIL ;void.test. IN A".to_owned()),
    ];
    for (name, expected) in rows {
        assert_eq!(full(name), expected, "{name}");
    }
    let told = ask(&site, "/explain?dns=abc.old.test.&format=text");
    let expected = "rewritten to abc.acme.local (line 3 of the Corefile); forwarded to ";
    assert!(told.contains(expected), "{told}");
}

fn ask(site: &Site, path: &str) -> String {
    http::get(site.admin(), &site.admin().to_string(), path).text()
}

#[test]
fn a_broken_edit_changes_no_answer_and_is_told_at_its_line() {
    let upstream = upstream();
    let site = Site::start_with(SERVICES, |options| options.set("metrics-compat", "coredns"));
    let good = format!(".:53 {{\n{KUBERNETES}\n  forward . {}\n}}\n", upstream.dns());
    edit(&site, &good);
    let before = site.status().generation;
    edit(&site, &good.replace("ttl 30\n  }", "ttl 30\n"));
    assert_eq!(site.status().generation, before, "nothing may change");
    check(&site, &[(&["widget.local"], &["3.3.3.3"])]);
    let told = site.findings();
    // that of the first line is the brace that is left open
    assert!(
        told[0].line.contains("coredns.yaml:5:10: RT002 ConfigMap kube-system/coredns: "),
        "{told:?}"
    );
    assert!(ask(&site, "/metrics").contains("\ncoredns_reload_failed_total{} 1\n"));
    edit(&site, &good);
    assert!(site.findings().is_empty());
    assert!(ask(&site, "/metrics").contains("\ncoredns_reload_failed_total{} 1\n"));
}

/// What coredns-mixin and the dashboards of CoreDNS ask for, as families of OpenMetrics.
const ASKED: [&str; 24] = [
    "coredns_build_info",
    "coredns_cache_entries",
    "coredns_cache_hits",
    "coredns_cache_misses",
    "coredns_cache_prefetch",
    "coredns_cache_requests",
    "coredns_dns_do_requests",
    "coredns_dns_request_duration_seconds",
    "coredns_dns_request_size_bytes",
    "coredns_dns_requests",
    "coredns_dns_response_size_bytes",
    "coredns_dns_responses",
    "coredns_forward_healthcheck_broken",
    "coredns_forward_healthcheck_failures",
    "coredns_forward_max_concurrent_rejects",
    "coredns_forward_request_duration_seconds",
    "coredns_forward_requests",
    "coredns_forward_responses",
    "coredns_health_request_failures",
    "coredns_panics",
    "coredns_plugin_enabled",
    "coredns_proxy_conn_cache_hits",
    "coredns_proxy_request_duration_seconds",
    "coredns_reload_failed",
];

#[test]
fn metrics_have_the_names_of_coredns_where_that_is_wanted() {
    let upstream = upstream();
    let corefile = |addr| {
        format!(
            ".:53 {{\n{KUBERNETES}\n  forward . {addr}\n  cache 30\n}}\nacme.local {{\n  forward . \
             {addr}\n}}\n"
        )
    };
    let silent = Site::start(SERVICES);
    edit(&silent, &corefile(upstream.dns()));
    let site = Site::start_with(SERVICES, |options| options.set("metrics-compat", "coredns"));
    edit(&site, &corefile(upstream.dns()));
    for site in [&silent, &site] {
        dig(site, &["+tcp", "+dnssec", "web.shop.svc.cluster.local"]);
        dig(site, &["nothing.shop.svc.cluster.local", "CAA"]);
        dig(site, &["abc.acme.local"]);
        // two workers have a cache each
        (0..6).for_each(|_| drop(dig(site, &["widget.local"])));
    }
    assert!(!ask(&silent, "/metrics").contains("coredns"), "nothing was asked for");
    let metrics = ask(&site, "/metrics");
    let block = "server=\"dns://:53\",zone=\".\",view=\"\"";
    let stub = "server=\"dns://:53\",zone=\"acme.local.\",view=\"\"";
    for line in [
        format!("coredns_dns_requests_total{{{block},proto=\"tcp\",family=\"1\",type=\"A\"}} 1"),
        format!(
            "coredns_dns_requests_total{{{block},proto=\"udp\",family=\"1\",type=\"other\"}} 1"
        ),
        format!("coredns_dns_requests_total{{{stub},proto=\"udp\",family=\"1\",type=\"A\"}} 1"),
        format!("coredns_dns_do_requests_total{{{block}}} 1"),
        format!(
            "coredns_dns_responses_total{{{block},rcode=\"NXDOMAIN\",plugin=\"kubernetes\"}} 1"
        ),
        format!("coredns_dns_responses_total{{{stub},rcode=\"NOERROR\",plugin=\"forward\"}} 1"),
        format!("coredns_plugin_enabled{{{stub},name=\"forward\"}} 1.0"),
        format!("coredns_dns_request_duration_seconds_count{{{stub}}} 1"),
        format!("coredns_dns_response_size_bytes_count{{{stub},proto=\"udp\"}} 1"),
        "coredns_reload_failed_total{} 0".to_owned(),
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line} is missing in:\n{metrics}");
    }
    let cached =
        format!("coredns_dns_responses_total{{{block},rcode=\"NOERROR\",plugin=\"cache\"}} ");
    assert!(metrics.contains(&cached), "{metrics}");
    let names = families(&metrics);
    for name in ASKED {
        assert!(names.iter().any(|it| it == name), "{name} is missing in {names:?}");
    }
}
