//! The tables of the DNS specification and of CoreDNS's tests, from objects to answers.

use std::net::IpAddr;

use super::*;
use crate::snapshot::Zone;
use crate::snapshot::zone::{Outcome, Query};

fn slice(service: &str, name: &str, family: &str, endpoints: Value) -> Value {
    json!({"kind": "EndpointSlice", "addressType": family, "endpoints": endpoints,
           "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
           "ports": [{"name": "sql", "port": 5432}, {"name": "", "port": 9}]})
}

fn external(name: &str, target: &str) -> Value {
    service(name, json!({"type": "ExternalName", "externalName": target}))
}

/// Answers live for 30 s, as with kubeadm.
fn zone() -> Zone {
    let cidr = |text: &str| text.parse().expect("a CIDR");
    let settings = Settings {
        service_cidrs: vec![cidr("10.96.0.0/16"), cidr("fd00:96::/112")],
        pod_cidrs: vec![cidr("10.1.0.0/16")],
        dns_ttl: 30,
        ..Settings::default()
    };
    let objects = objects(services().into_iter().chain(endpoints()).chain(aliases()));
    let compiled = compile(&objects, &settings, &Allocations::default(), now());
    Arc::unwrap_or_clone(compiled.snapshot.zone)
}

fn services() -> Vec<Value> {
    let http =
        json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}]);
    let sql = json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]});
    let early = json!({"clusterIP": "None", "publishNotReadyAddresses": true,
                       "selector": {"app": "early"}, "ports": [{"name": "sql", "port": 5432}]});
    vec![
        json!({"kind": "Namespace", "metadata": {"name": "empty"}}),
        service("web", json!({"clusterIPs": ["10.96.0.1", "fd00:96::1"], "ports": http})),
        service("plain", json!({"clusterIP": "10.96.0.2", "ports": [{"port": 80}]})),
        service("1st", json!({"clusterIP": "10.96.0.3", "ports": [{"port": 80}]})),
        service("db", sql.clone()),
        service("all", sql.clone()),
        service("down", sql.clone()),
        service("proxied", sql),
        service("early", early),
    ]
}

fn endpoints() -> Vec<Value> {
    let db = json!([
        {"addresses": ["10.1.0.1"], "hostname": "db-0"},
        {"addresses": ["10.1.0.2"], "hostname": "db-1"},
        {"addresses": ["10.1.0.3"], "hostname": "db-1"},
        {"addresses": ["10.1.0.4"]},
        {"addresses": ["10.1.0.5"], "hostname": "late", "conditions": {"ready": false}},
    ]);
    let down = json!([
        {"addresses": ["10.1.0.8"], "hostname": "d", "conditions": {"ready": false}},
    ]);
    let mut unready = pod("early-0", "10.1.0.9");
    unready["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    unready["spec"]["hostname"] = json!("early-0");
    unready["spec"]["subdomain"] = json!("early");
    vec![
        slice("db", "db-4", "IPv4", db),
        slice("db", "db-6", "IPv6", json!([{"addresses": ["fd00::"]}])),
        // an address again, under another name
        slice("db", "db-more", "IPv4", json!([{"addresses": ["10.1.0.1"], "hostname": "first"}])),
        slice("all", "all", "IPv4", json!([{"addresses": ["10.1.0.1"]}])),
        slice("down", "down", "IPv4", down),
        // a virtual address among the endpoints of a headless Service
        slice("proxied", "proxied", "IPv4", json!([{"addresses": ["10.96.0.2"]}])),
        unready,
    ]
}

fn aliases() -> Vec<Value> {
    let inner = |name: &str| format!("{name}.default.svc.cluster.local");
    let chain = (0..12).map(|it| external(&format!("c{it}"), &inner(&format!("c{}", it + 1))));
    let others = [
        external("out", "Example.org."),
        external("ip", "10.0.0.1"),
        external("alias", &inner("web")),
        external("gone", &inner("nothing")),
        external("loop-a", &inner("loop-b")),
        external("loop-b", &inner("loop-a")),
    ];
    others.into_iter().chain(chain).collect()
}

/// Names without a final dot are below `default.svc.cluster.local`, addresses are reversed.
fn full(name: &str) -> String {
    if let Ok(ip) = name.parse::<IpAddr>() {
        return match ip {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(ip) => {
                let digits = format!("{:032x}", ip.to_bits());
                let digits: Vec<_> = digits.chars().rev().map(String::from).collect();
                format!("{}.ip6.arpa", digits.join("."))
            }
        };
    }
    match name.strip_suffix('.') {
        Some(full) => full.to_owned(),
        None => format!("{name}.default.svc.cluster.local"),
    }
}

/// `@` is the name that is asked for, `…` the namespace.
#[track_caller]
fn check(zone: &Zone, name: &str, query: Query, expected: &[&str]) {
    let name = full(name);
    let lookup = zone.lookup(&name, query);
    let told = match &lookup.outcome {
        Outcome::Records(records) => {
            let line =
                |it: &crate::snapshot::zone::Record| format!("{} {} {}", it.name, it.ttl, it.data);
            records.iter().map(line).collect()
        }
        Outcome::NoData | Outcome::NxDomain | Outcome::OutOfZone => {
            vec![format!("{:?}", lookup.outcome)]
        }
    };
    let written = |line: &&str| line.replace('@', &name).replace('…', "default.svc.cluster.local");
    assert_eq!(told, expected.iter().map(written).collect::<Vec<_>>(), "{name} {query:?}");
    let is_negative = matches!(lookup.outcome, Outcome::NoData | Outcome::NxDomain);
    assert_eq!(lookup.authority.is_some(), is_negative, "{name} {query:?}");
}

#[test]
fn every_record_of_the_specification_comes_from_its_objects() {
    use Query::*;
    let zone = zone();
    let srv = |name: &str, weight: u8, port: u16| format!("@ 30 SRV 0 {weight} {port} {name}…");
    let web = srv("web.", 100, 80);
    let both = [srv("web.", 50, 53), srv("web.", 50, 80)];
    let hosts = ["10-1-0-4", "db-0", "db-1", "fd00--0", "first"];
    let sql: Vec<String> = hosts.iter().map(|it| srv(&format!("{it}.db."), 20, 5432)).collect();
    let sql: Vec<&str> = sql.iter().map(String::as_str).collect();
    let rows: &[(&str, Query, &[&str])] = &[
        ("dns-version.cluster.local.", Txt, &["@ 28800 TXT \"1.1.0\""]),
        ("cluster.local.", Soa, &["@ 30 SOA ns.dns.cluster.local hostmaster.cluster.local 30"]),
        ("cluster.local.", Ns, &["@ 30 NS ns.dns.cluster.local"]),
        // a ClusterIP, of both families, whether there are endpoints or not
        ("web", A, &["@ 30 A 10.96.0.1"]),
        ("web", Aaaa, &["@ 30 AAAA fd00:96::1"]),
        ("1st", A, &["@ 30 A 10.96.0.3"]),
        ("_http._tcp.web", Srv, &[&web]),
        ("http.tcp.web", Srv, &[&web]),
        ("web", Srv, &[&both[0], &both[1]]),
        ("10.96.0.1", Ptr, &["@ 30 PTR web.…"]),
        ("fd00:96::1", Ptr, &["@ 30 PTR web.…"]),
        // a headless Service: ready endpoints, each address once
        ("db", A, &["@ 30 A 10.1.0.1", "@ 30 A 10.1.0.2", "@ 30 A 10.1.0.3", "@ 30 A 10.1.0.4"]),
        ("db", Aaaa, &["@ 30 AAAA fd00::"]),
        ("early", A, &["@ 30 A 10.1.0.9"]),
        ("db-0.db", A, &["@ 30 A 10.1.0.1"]),
        ("first.db", A, &["@ 30 A 10.1.0.1"]),
        ("db-1.db", A, &["@ 30 A 10.1.0.2", "@ 30 A 10.1.0.3"]),
        ("10-1-0-4.db", A, &["@ 30 A 10.1.0.4"]),
        ("fd00--0.db", Aaaa, &["@ 30 AAAA fd00::"]),
        ("early-0.early", A, &["@ 30 A 10.1.0.9"]),
        ("_sql._tcp.db", Srv, &sql),
        ("db", Srv, &sql),
        // one name for each Service that has the Pod
        (
            "10.1.0.1",
            Ptr,
            &["@ 30 PTR 10-1-0-1.all.…", "@ 30 PTR db-0.db.…", "@ 30 PTR first.db.…"],
        ),
        ("fd00::", Ptr, &["@ 30 PTR fd00--0.db.…"]),
        ("10.96.0.2", Ptr, &["@ 30 PTR plain.…"]),
        // an alias, and what it leads to in the zone
        ("out", A, &["@ 30 CNAME example.org"]),
        ("out", Cname, &["@ 30 CNAME example.org"]),
        ("alias", A, &["@ 30 CNAME web.…", "web.… 30 A 10.96.0.1"]),
        ("alias", Aaaa, &["@ 30 CNAME web.…", "web.… 30 AAAA fd00:96::1"]),
        ("gone", A, &["@ 30 CNAME nothing.…"]),
        ("loop-a", A, &["@ 30 CNAME loop-b.…", "loop-b.… 30 CNAME loop-a.…"]),
        ("10-2-3-4.empty.pod.cluster.local.", A, &["@ 30 A 10.2.3.4"]),
        ("fd00--9.default.pod.cluster.local.", Aaaa, &["@ 30 AAAA fd00::9"]),
    ];
    for (name, query, expected) in rows {
        check(&zone, name, *query, expected);
    }
    let Outcome::Records(chain) = zone.lookup(&full("c0"), A).outcome else { panic!("a chain") };
    assert_eq!(chain.len(), 11, "ten aliases are followed");
}

#[test]
fn what_exists_without_data_is_told_from_what_does_not_exist() {
    use Query::*;
    let zone = zone();
    let exist = [
        ("cluster.local.", &[A, Aaaa, Srv, Txt, Ptr, Cname, Other][..]),
        ("svc.cluster.local.", &[A, Soa, Ns, Srv]),
        ("pod.cluster.local.", &[A, Soa, Ns, Srv]),
        ("empty.svc.cluster.local.", &[A, Aaaa, Srv]),
        ("web", &[Txt, Ptr, Soa, Ns, Cname, Other]),
        ("plain", &[Aaaa, Srv]),
        ("_http._tcp.web", &[A, Aaaa]),
        ("_tcp.web", &[A, Srv]),
        ("db", &[Txt, Other]),
        ("all", &[Aaaa]),
        ("db-0.db", &[Aaaa, Other]),
        ("10.96.0.1", &[A, Txt]),
    ];
    for (name, queries) in exist {
        queries.iter().for_each(|query| check(&zone, name, *query, &["NoData"]));
    }
    let missing = [
        "missing.svc.cluster.local.",
        "web.missing.svc.cluster.local.",
        "foo.cluster.local.",
        "nothing",
        "bogus.web",
        "bogus.db",
        "a.b.c.web",
        "_ftp._tcp.web",
        "_http._udp.web",
        "_._tcp.plain",
        "late.db",
        "10-1-0-5.db",
        "down",
        "d.down",
        "_sql._tcp.down",
        "ip",
        "x.out",
        "_http._tcp.out",
        "*",
        "any",
        "*.web",
        "*._tcp.web",
        "*.svc.cluster.local.",
        "1-2-3.default.pod.cluster.local.",
        "1-2-3-4.missing.pod.cluster.local.",
        "10.96.9.9",
        "fd00:96::99",
        "10.1.0.77",
    ];
    for name in missing {
        [A, Aaaa, Srv, Ptr, Txt, Any].iter().for_each(|it| check(&zone, name, *it, &["NxDomain"]));
    }
    check(&zone, "192.0.2.1", Ptr, &["OutOfZone"]);
    check(&zone, "2001:db8::1", Ptr, &["OutOfZone"]);
}
