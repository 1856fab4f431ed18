//! Names over real sockets, UDP and TCP, by `dig` (Debian package dnsutils).

mod common;

use std::process::Command;

use common::Site;

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
    let server = site.dns();
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
    Site::start_with(MANIFESTS, |args| args.cluster_domain = Some("example.org".into()))
}

#[test]
fn names_of_others_come_from_upstreams_and_stub_domains() {
    let (upstream, other) = (upstream(), upstream());
    let external = "apiVersion: v1\nkind: Service\nmetadata: {name: edge, namespace: shop}\n\
                    spec: {type: ExternalName, externalName: web.shop.svc.example.org}\n";
    let site = Site::start_with(external, |args| {
        args.dns_upstream = vec![upstream.dns().to_string()];
        args.dns_stub = vec![format!("pod.example.org={}", other.dns())];
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
    let site = Site::start_with(MANIFESTS, |args| {
        args.dns_upstream = vec![dead.addr(9, 53).to_string()];
    });
    assert_eq!(dig(&site, &["example.org"]).0, "SERVFAIL");
    assert_eq!(dig(&site, &["web.shop.svc.cluster.local"]).0, "NOERROR");
}

#[test]
fn names_of_others_come_over_tcp_from_upstreams_that_are_asked_so() {
    let upstream = upstream();
    let site = Site::start_with(MANIFESTS, |args| {
        args.dns_upstream = vec![format!("tcp://{}", upstream.dns())];
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
    let site = Site::start_with(MANIFESTS, |args| {
        args.dns_hosts = vec![path.display().to_string()];
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
    let findings: Vec<_> = site.status().report.findings.iter().map(ToString::to_string).collect();
    let wrong = format!("{}:2:1: RT007 \"300.0.0.1\" is not an IP address", path.display());
    assert!(findings.iter().any(|finding| finding.starts_with(&wrong)), "{findings:?}");
}
