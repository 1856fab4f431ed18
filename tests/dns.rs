//! Names over real sockets, UDP and TCP, by `dig` (Debian package dnsutils).

mod common;

use std::net::SocketAddr;
use std::process::Command;

use clap::{Args as _, FromArgMatches};
use common::{Options, Site};
use rutter::app::{App, Objects};
use rutter::config::{Args, Config};
use rutter::snapshot::Generation;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: NET.20, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db, namespace: shop, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints:
- {addresses: [NET.130], hostname: db-0}
- {addresses: [NET.131], hostname: db-1}
ports: [{name: sql, port: 5432}]
---
apiVersion: v1
kind: Service
metadata: {name: outside, namespace: shop}
spec: {type: ExternalName, externalName: example.org}
"#;

/// The answer section of `dig`, one record a line, and its status.
fn dig(site: &Site, arguments: &[&str]) -> (String, Vec<String>) {
    dig_at(site.dns(), arguments)
}

fn dig_at(server: SocketAddr, arguments: &[&str]) -> (String, Vec<String>) {
    let output = Command::new("dig")
        .args([&format!("@{}", server.ip()), "-p", &server.port().to_string()])
        .args(["+noall", "+comments", "+answer", "+time=5", "+tries=1"])
        .args(arguments)
        .output()
        .expect("dig must be installed (dnsutils)");
    let text = String::from_utf8(output.stdout).expect("text");
    let status = text.split("status: ").nth(1).and_then(|rest| rest.split(',').next());
    let records = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let mut records: Vec<String> =
        records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    records.sort();
    (status.unwrap_or("none").to_owned(), records)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn dig_gets_every_kind_of_record_over_udp_and_tcp() {
    let site = Site::start(MANIFESTS);
    let net = site.block.prefix();
    let reversed =
        format!("20.{}.in-addr.arpa.", net.split('.').rev().collect::<Vec<_>>().join("."));
    let ptr = [reversed.as_str(), "PTR"];
    let rows: Vec<(&[&str], &str, Vec<String>)> = vec![
        (
            &["web.shop.svc.cluster.local", "A"],
            "NOERROR",
            vec![format!("web.shop.svc.cluster.local. 5 IN A {net}.20")],
        ),
        (&["web.shop.svc.cluster.local", "AAAA"], "NOERROR", vec![]),
        (&["nothing.shop.svc.cluster.local", "A"], "NXDOMAIN", vec![]),
        (
            &["_http._tcp.web.shop.svc.cluster.local", "SRV"],
            "NOERROR",
            vec![
                "_http._tcp.web.shop.svc.cluster.local. 5 IN SRV 0 100 80 \
                 web.shop.svc.cluster.local."
                    .to_owned(),
            ],
        ),
        (
            &["db.shop.svc.cluster.local", "A"],
            "NOERROR",
            vec![
                format!("db.shop.svc.cluster.local. 5 IN A {net}.130"),
                format!("db.shop.svc.cluster.local. 5 IN A {net}.131"),
            ],
        ),
        (
            &["db-1.db.shop.svc.cluster.local", "A"],
            "NOERROR",
            vec![format!("db-1.db.shop.svc.cluster.local. 5 IN A {net}.131")],
        ),
        (
            &["outside.shop.svc.cluster.local", "A"],
            "NOERROR",
            vec!["outside.shop.svc.cluster.local. 5 IN CNAME example.org.".to_owned()],
        ),
        (&ptr, "NOERROR", vec![format!("{reversed} 5 IN PTR web.shop.svc.cluster.local.")]),
        (
            &["dns-version.cluster.local", "TXT"],
            "NOERROR",
            vec!["dns-version.cluster.local. 28800 IN TXT \"1.1.0\"".to_owned()],
        ),
        (
            &["127-0-0-9.shop.pod.cluster.local", "A"],
            "NOERROR",
            vec!["127-0-0-9.shop.pod.cluster.local. 5 IN A 127.0.0.9".to_owned()],
        ),
        (&["example.org", "A"], "REFUSED", vec![]),
    ];
    for (question, status, records) in rows {
        for transport in ["+notcp", "+tcp"] {
            let arguments = [question, &[transport]].concat();
            assert_eq!(
                dig(&site, &arguments),
                (status.to_owned(), records.clone()),
                "{question:?}"
            );
        }
    }
}

#[test]
fn a_name_is_there_as_soon_as_its_service_is_served() {
    let site = Site::start(MANIFESTS);
    let name = "new.shop.svc.cluster.local";
    assert_eq!(dig(&site, &[name]).0, "NXDOMAIN");
    site.save(
        "new.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: new, namespace: shop}\nspec: {clusterIP: \
         NET.21, ports: [{port: 80}]}\n",
    );
    let expected = format!("{name}. 5 IN A {}.21", site.block.prefix());
    assert_eq!(dig(&site, &[name]).1, [expected]);
    site.remove("new.yaml");
    assert_eq!(dig(&site, &[name]).0, "NXDOMAIN");
}

/// Answers names of its own, as an upstream: those of another rutter, whose domain is no cluster's.
fn upstream() -> Site {
    Site::start_with(MANIFESTS, |options| options.set("cluster-domain", "example.org"))
}

#[test]
fn names_of_others_come_from_upstreams_and_stub_domains() {
    let (upstream, other) = (upstream(), upstream());
    let external = "apiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: shop}\n\
                    spec: {type: ExternalName, externalName: web.shop.svc.example.org}\n";
    let site = Site::start_with(external, |options| {
        options.set("dns-upstream", upstream.dns().to_string());
        options.set("dns-stub", format!("pod.example.org={}", other.dns()));
    });
    let web = format!("web.shop.svc.example.org. 5 IN A {}.20", upstream.block.prefix());
    let alias = "edge.shop.svc.cluster.local. 5 IN CNAME web.shop.svc.example.org.".to_owned();
    let pod = "1-2-3-4.shop.pod.example.org. 5 IN A 1.2.3.4".to_owned();
    let reversed = |last: u8, site: &Site| {
        let prefix = site.block.prefix();
        let labels: Vec<&str> = prefix.split('.').rev().collect();
        format!("{last}.{}.in-addr.arpa.", labels.join("."))
    };
    let theirs = reversed(20, &upstream);
    let rows = [
        ("web.shop.svc.example.org", "A", "NOERROR", vec![web.clone()]),
        ("web.shop.svc.example.org", "AAAA", "NOERROR", vec![]),
        ("nothing.shop.svc.example.org", "A", "NXDOMAIN", vec![]),
        ("1-2-3-4.shop.pod.example.org", "A", "NOERROR", vec![pod]),
        ("edge.shop.svc.cluster.local", "A", "NOERROR", vec![alias, web]),
        (
            theirs.as_str(),
            "PTR",
            "NOERROR",
            vec![format!("{theirs} 5 IN PTR web.shop.svc.example.org.")],
        ),
        ("example.com", "A", "REFUSED", vec![]),
    ];
    for (name, query, status, records) in rows {
        for transport in ["+notcp", "+tcp"] {
            let (told, mut lines) = dig(&site, &[name, query, transport]);
            // remembered ones are a second older
            lines.iter_mut().for_each(|line| *line = line.replace(" 4 IN ", " 5 IN "));
            assert_eq!((told.as_str(), &lines), (status, &records), "{name} {query} {transport}");
        }
    }
}

#[test]
fn a_dead_upstream_does_not_delay_names_of_the_cluster() {
    // a block that nobody listens in
    let dead = common::Block::claim();
    let site = Site::start_with(MANIFESTS, |options| {
        options.set("dns-upstream", dead.addr(9, 53).to_string());
    });
    assert_eq!(dig(&site, &["example.org"]).0, "SERVFAIL");
    assert_eq!(dig(&site, &["web.shop.svc.cluster.local"]).0, "NOERROR");
}

#[test]
fn names_of_others_come_over_tcp_from_upstreams_that_are_asked_so() {
    let upstream = upstream();
    let site = Site::start_with(MANIFESTS, |options| {
        options.set("dns-upstream", format!("tcp://{}", upstream.dns()));
    });
    for last in ["web", "db"] {
        let name = format!("{last}.shop.svc.example.org");
        assert_eq!(dig(&site, &[&name]).0, "NOERROR");
    }
}

#[test]
fn names_of_a_hosts_file_are_answered_first_and_follow_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hosts");
    std::fs::write(&path, "192.0.2.1 printer.lan web.shop.svc.cluster.local\n").expect("a file");
    let site = Site::start_with(MANIFESTS, |options| {
        options.set("dns-hosts", path.display().to_string());
    });
    let web = "web.shop.svc.cluster.local";
    let rows = [
        (["printer.lan", "A"], vec!["printer.lan. 3600 IN A 192.0.2.1".to_owned()]),
        (["printer.lan", "AAAA"], vec![]),
        ([web, "A"], vec![format!("{web}. 3600 IN A 192.0.2.1")]),
        (
            ["1.2.0.192.in-addr.arpa", "PTR"],
            vec![
                "1.2.0.192.in-addr.arpa. 3600 IN PTR printer.lan.".to_owned(),
                format!("1.2.0.192.in-addr.arpa. 3600 IN PTR {web}."),
            ],
        ),
        (
            ["db-1.db.shop.svc.cluster.local", "A"],
            vec![format!("db-1.db.shop.svc.cluster.local. 5 IN A {}.131", site.block.prefix())],
        ),
    ];
    for (question, records) in rows {
        assert_eq!(dig(&site, &question), ("NOERROR".to_owned(), records), "{question:?}");
    }
    let draft = dir.path().join("draft");
    std::fs::write(&draft, "192.0.2.2 printer.lan\n300.0.0.1 wrong\n").expect("a file");
    let generation = site.status().generation;
    std::fs::rename(&draft, &path).expect("a file in place");
    site.wait("the hosts file", |status| status.generation > generation);
    assert_eq!(dig(&site, &["printer.lan"]).1, ["printer.lan. 3600 IN A 192.0.2.2"]);
    let expected = format!("{web}. 5 IN A {}.20", site.block.prefix());
    assert_eq!(dig(&site, &[web]).1, [expected]);
    let findings = site.findings();
    let wrong = format!("{}:2:1: RT007 \"300.0.0.1\" is not an IP address", path.display());
    assert!(findings.iter().any(|finding| finding.line.starts_with(&wrong)), "{findings:?}");
}

/// What the e2e tests of Kubernetes ask for (`test/e2e/network/dns.go`), but for what is kubelet's.
const CLUSTER: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: NET.1, ports: [{name: https, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns-test-service, namespace: dns-1}
spec: {clusterIP: None, selector: {app: dns}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: test-service-2, namespace: dns-1}
spec: {clusterIP: NET.21, selector: {app: dns}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: 1kubernetes, namespace: dns-1}
spec: {clusterIP: NET.22, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: dns-test-service-3, namespace: dns-1}
spec: {type: ExternalName, externalName: foo.example.com}
---
apiVersion: v1
kind: Pod
metadata: {name: querier, namespace: dns-1, labels: {app: dns}}
spec: {hostname: dns-querier-1, subdomain: dns-test-service}
status: {podIP: NET.130, phase: Running, conditions: [{type: Ready, status: "True"}]}
"#;

#[test]
fn what_the_e2e_tests_of_kubernetes_ask_for_is_found_through_search_lists() {
    let site = Site::start(CLUSTER);
    let net = site.block.prefix();
    let headless = "dns-test-service.dns-1.svc.cluster.local.";
    let virtual_ip = "test-service-2.dns-1.svc.cluster.local.";
    let a = |name: &str, last: u8| format!("{name} 5 IN A {net}.{last}");
    let srv = |name: &str, target: &str| format!("_http._tcp.{name} 5 IN SRV 0 100 80 {target}");
    let host = format!("dns-querier-1.{headless}");
    // name, what is searched, type
    let rows: Vec<(&str, &str, &str, String)> = vec![
        (
            "kubernetes.default",
            "svc.cluster.local",
            "A",
            a("kubernetes.default.svc.cluster.local.", 1),
        ),
        (
            "kubernetes.default.svc",
            "cluster.local",
            "A",
            a("kubernetes.default.svc.cluster.local.", 1),
        ),
        ("dns-test-service", "dns-1.svc.cluster.local", "A", a(headless, 130)),
        ("dns-test-service.dns-1", "svc.cluster.local", "A", a(headless, 130)),
        ("dns-test-service.dns-1.svc", "cluster.local", "A", a(headless, 130)),
        ("_http._tcp.dns-test-service.dns-1.svc", "cluster.local", "SRV", srv(headless, &host)),
        (
            "_http._tcp.test-service-2.dns-1.svc",
            "cluster.local",
            "SRV",
            srv(virtual_ip, virtual_ip),
        ),
        ("dns-querier-1.dns-test-service.dns-1.svc", "cluster.local", "A", a(&host, 130)),
        (
            "1kubernetes",
            "dns-1.svc.cluster.local",
            "A",
            a("1kubernetes.dns-1.svc.cluster.local.", 22),
        ),
    ];
    for (name, domain, query, expected) in rows {
        for transport in ["+notcp", "+tcp"] {
            let domain = format!("+domain={domain}");
            let told = dig(&site, &["+search", "+ndots=5", &domain, transport, name, query]);
            assert_eq!(told, ("NOERROR".to_owned(), vec![expected.clone()]), "{name} {transport}");
        }
    }
    let reversed: Vec<&str> = net.split('.').rev().collect();
    let reversed = reversed.join(".");
    for (last, expected) in [(21, virtual_ip), (130, &*host)] {
        for transport in ["+notcp", "+tcp"] {
            let told = dig(&site, &["-x", &format!("{net}.{last}"), transport]).1;
            assert_eq!(told, [format!("{last}.{reversed}.in-addr.arpa. 5 IN PTR {expected}")]);
        }
    }
}

#[test]
fn an_external_name_changes_and_becomes_an_address_at_once() {
    let site = Site::start(CLUSTER);
    let name = "dns-test-service-3.dns-1.svc.cluster.local";
    let told = || ["+notcp", "+tcp"].map(|transport| dig(&site, &[name, transport]).1.join(""));
    let is = |data: &str| ["+notcp", "+tcp"].map(|_| format!("{name}. 5 IN {data}"));
    assert_eq!(told(), is("CNAME foo.example.com."));
    let change = |from: &str, to: &str| site.save("main.yaml", &CLUSTER.replace(from, to));
    change("foo.example.com", "bar.example.com");
    assert_eq!(told(), is("CNAME bar.example.com."));
    let spec = "clusterIP: NET.23, ports: [{port: 80}]";
    change("type: ExternalName, externalName: foo.example.com", spec);
    assert_eq!(told(), is(&format!("A {}.23", site.block.prefix())));
}

#[test]
fn names_are_refused_for_now_until_the_first_snapshot_is_served() {
    let block = common::Block::claim();
    let dir = tempfile::tempdir().expect("a directory");
    let manifests = CLUSTER.replace("NET.", &format!("{}.", block.prefix()));
    std::fs::write(dir.path().join("main.yaml"), manifests).expect("a file");
    let options = Options::of(&block, dir.path());
    let arguments = ["run".to_owned()].into_iter().chain(options.arguments());
    let matches = Args::augment_args(clap::Command::new("run")).get_matches_from(arguments);
    let args = Args::from_arg_matches(&matches).expect("good arguments");
    let config = Config::new(&args).expect("good options");
    let objects = Objects::Directory(config.manifests.clone());
    let app = App::build(config, objects).expect("it must start");
    let server = block.addr(3, 53);
    let name = "kubernetes.default.svc.cluster.local";
    assert_eq!(dig_at(server, &[name]).0, "SERVFAIL");
    assert_eq!(dig_at(server, &[name, "+tcp"]).0, "SERVFAIL");
    let handle = app.handle();
    let mut applied = handle.applied();
    let running = std::thread::spawn(move || app.run().expect("it must run"));
    common::block_on(async {
        let served = applied.wait_for(|applied| *applied > Generation(0));
        tokio::time::timeout(common::PATIENCE, served).await.expect("in time").expect("running");
    });
    assert_eq!(dig_at(server, &[name]).0, "NOERROR");
    handle.terminate();
    running.join().expect("it must end without a panic");
}

/// A Pod in `dns-1` and a Service in another namespace; names of others come from an upstream.
fn searching(upstream: &Site) -> Site {
    Site::start_with(CLUSTER, |options| {
        options.set("dns-upstream", upstream.dns().to_string());
        // no more than what is the cluster's, whatever this machine searches
        options.set("dns-search", "cluster.local");
    })
}

#[test]
fn the_search_list_of_a_pod_takes_one_round_trip() {
    let upstream = upstream();
    let site = searching(&upstream);
    let (pod, other) = (site.block.ip(130).to_string(), site.block.ip(131).to_string());
    let first = |name: &str| format!("{name}.dns-1.svc.cluster.local");
    let found = [
        ("kubernetes.default", "kubernetes.default.svc.cluster.local", site.block.addr(1, 0)),
        ("web.shop.svc.example.org", "web.shop.svc.example.org", upstream.block.addr(20, 0)),
    ];
    for transport in ["+notcp", "+tcp"] {
        for (name, target, address) in found {
            let asked = first(name);
            let (status, mut records) = dig(&site, &["-b", &pod, &asked, transport]);
            records.iter_mut().for_each(|line| *line = line.replace(" 4 IN ", " 5 IN "));
            let expected = [
                format!("{asked}. 5 IN CNAME {target}."),
                format!("{target}. 5 IN A {}", address.ip()),
            ];
            let mut expected = Vec::from(expected);
            expected.sort();
            assert_eq!((status.as_str(), records), ("NOERROR", expected), "{name}");
            // nobody knows whose list it would be
            let told = dig(&site, &["-b", &other, &asked, transport]);
            assert_eq!(told, ("NXDOMAIN".to_owned(), vec![]), "{name}");
        }
        let told = dig(&site, &["-b", &pod, &first("nothing.shop.svc.example.org"), transport]);
        assert_eq!(told, ("NXDOMAIN".to_owned(), vec![]));
    }
    let admin = site.admin().to_string();
    let metrics = common::http::get(site.admin(), &admin, "/metrics").text();
    let counted = |series: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} is missing in:\n{metrics}")).trim().to_owned()
    };
    assert_eq!(counted("rutter_dns_search_answers_total{namespace=\"dns-1\"}"), "4");
    assert_eq!(counted("rutter_dns_search_misses_total{namespace=\"dns-1\"}"), "6");
}

#[test]
fn the_command_line_tells_what_a_search_list_costs_in_a_running_rutter() {
    let site = searching(&upstream());
    let explain = |from: u8, format: &str| {
        let from = site.block.ip(from).to_string();
        let output = Command::new(common::rutter())
            .args(["explain", "dns", "kubernetes.default", "--from", &from, "-o", format])
            .args(["--admin", &site.admin().to_string()])
            .output()
            .expect("rutter must run");
        String::from_utf8(output.stdout).expect("text")
    };
    let text = explain(130, "text");
    assert!(text.contains("search list: that of a pod in namespace dns-1\n"), "{text}");
    assert!(text.contains("questions: one (--dns-search): kubernetes.default.dns-1"), "{text}");
    assert!(text.contains("source: the zone: a Service with virtual addresses\n    at "), "{text}");
    let address = format!("kubernetes.default.svc.cluster.local 5 A {}\n", site.block.ip(1));
    assert!(text.ends_with(&address), "{text}");
    let json: serde_json::Value = serde_json::from_str(&explain(130, "json")).expect("JSON");
    assert_eq!(json["steps"][1]["candidates"][0]["taken"], false);
    assert!(explain(131, "text").contains("is the address of no pod"), "{}", explain(131, "text"));
}
