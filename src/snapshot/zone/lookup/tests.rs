//! The tables of the specification, on a zone written by hand.

mod hosts;

use std::net::IpAddr;
use std::sync::Arc;

use super::super::{
    Decision, Forward, Lookup, Outcome, Query, RecordData, ReverseEntry, Zone, ZoneEndpoint,
    ZonePort, ZoneService,
};
use crate::manifest::ObjectKey;
use crate::snapshot::Transport;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn port(name: &str, transport: Transport, port: u16) -> ZonePort {
    ZonePort { name: name.into(), transport, port }
}

fn endpoint(hostname: &str, address: &str) -> ZoneEndpoint {
    let ports = [port("sql", Transport::Tcp, 5432)].into();
    ZoneEndpoint { hostname: hostname.into(), address: ip(address), ports }
}

fn external(name: &str) -> ZoneService {
    ZoneService::External { name: name.into() }
}

/// Namespaces `shop` with one Service of each kind, `kube-system` with the DNS Service, and
/// `empty` with nothing.
fn zone() -> Zone {
    let http = vec![port("http", Transport::Tcp, 80), port("dns", Transport::Udp, 53)];
    let virtual_ip = |addresses: &[&str]| ZoneService::ClusterIp {
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        ports: http.clone(),
    };
    let headless =
        |endpoints: &[ZoneEndpoint]| ZoneService::Headless { endpoints: endpoints.into() };
    let db = [("db-0", "10.1.0.1"), ("db-1", "10.1.0.2"), ("db-1", "10.1.0.3"), ("v6", "fd00::1")];
    let db = db.map(|(hostname, address)| endpoint(hostname, address));
    let shop = [
        ("web", virtual_ip(&["10.96.0.1"])),
        ("dual", virtual_ip(&["10.96.0.2", "fd00:96::2"])),
        ("db", headless(&db)),
        ("pair", headless(&[endpoint("a", "10.1.0.1"), endpoint("b", "10.1.0.1")])),
        ("down", headless(&[])),
        ("outside", external("example.org")),
        ("alias", external("web.shop.svc.cluster.local")),
        ("alias2", external("alias.shop.svc.cluster.local")),
        ("dangling", external("nothing.shop.svc.cluster.local")),
        ("loop-a", external("loop-b.shop.svc.cluster.local")),
        ("loop-b", external("loop-a.shop.svc.cluster.local")),
        ("self", external("self.shop.svc.cluster.local")),
    ];
    let shop = shop.map(|(name, service)| (ObjectKey::new("shop", name), service));
    let dns = (ObjectKey::new("kube-system", "kube-dns"), virtual_ip(&["10.96.0.10"]));
    let reverse =
        [("10.96.0.1", "web"), ("fd00:96::2", "dual"), ("10.1.0.1", "pair"), ("10.1.0.1", "db")];
    let reverse = reverse.map(|(address, name)| ReverseEntry {
        address: ip(address),
        service: ObjectKey::new("shop", name).into(),
    });
    Zone {
        origins: Default::default(),
        domain: "cluster.local".into(),
        ttl: 5,
        namespaces: ["shop", "empty", "kube-system"].map(Arc::from).into(),
        services: shop.into_iter().chain([dns]).collect(),
        reverse: reverse.map(|entry| (entry, ())).into(),
        reverse_zones: vec!["10.96.0.0/16".parse().expect("a CIDR")],
        hosts: Default::default(),
        forward: Default::default(),
        fallthrough: ["in-addr.arpa", "ip6.arpa"].map(Arc::from).to_vec(),
        ..Zone::default()
    }
}

/// One line a record, as in a zone file, without the class.
fn lines<'r>(records: impl IntoIterator<Item = &'r super::Record>) -> Vec<String> {
    let line = |record: &super::Record| {
        let data = match &record.data {
            RecordData::A(ip) => format!("A {ip}"),
            RecordData::Aaaa(ip) => format!("AAAA {ip}"),
            RecordData::Srv { priority, weight, port, target } => {
                format!("SRV {priority} {weight} {port} {target}")
            }
            RecordData::Ptr(name) => format!("PTR {name}"),
            RecordData::Cname(name) => format!("CNAME {name}"),
            RecordData::Txt(text) => format!("TXT {text}"),
            RecordData::Soa { primary, mailbox, minimum } => {
                format!("SOA {primary} {mailbox} {minimum}")
            }
            RecordData::Ns(name) => format!("NS {name}"),
            RecordData::Hinfo => "HINFO".to_owned(),
        };
        format!("{} {} {data}", record.name, record.ttl)
    };
    records.into_iter().map(line).collect()
}

/// The answer's records, or the outcome in capitals.
fn outcome(lookup: &Lookup) -> Vec<String> {
    match &lookup.outcome {
        Outcome::Records(records) => lines(records),
        Outcome::NoData => vec!["NODATA".to_owned()],
        Outcome::NxDomain => vec!["NXDOMAIN".to_owned()],
        Outcome::OutOfZone => vec!["OUTSIDE".to_owned()],
    }
}

/// Names below the zone are written without it. `@` in an answer is the asked name.
#[track_caller]
fn check(name: &str, query: Query, decision: Decision, expected: &[&str]) {
    let name = match name {
        "" => "cluster.local".to_owned(),
        _ if name.ends_with(".arpa") => name.to_owned(),
        _ => format!("{name}.cluster.local"),
    };
    let lookup = zone().lookup(&name, query);
    let expected: Vec<String> = expected.iter().map(|line| line.replace('@', &name)).collect();
    assert_eq!(outcome(&lookup), expected, "{name} {query:?}");
    assert_eq!(lookup.decision, decision, "{name} {query:?}");
    let is_negative = matches!(lookup.outcome, Outcome::NoData | Outcome::NxDomain);
    assert_eq!(lookup.authority.is_some(), is_negative, "{name} {query:?}");
}

#[test]
fn every_record_of_the_specification_is_answered() {
    use Decision::*;
    use Query::*;
    let v6 = format!("2.{}6.9.0.0.0.0.d.f.ip6.arpa", "0.".repeat(23));
    let srv = |target: &str, share: u16, port: u16| {
        format!("@ 5 SRV 0 {share} {port} {target}.shop.svc.cluster.local")
    };
    let sql = ["db-0.db", "db-1.db", "v6.db"].map(|target| srv(target, 33, 5432));
    let sql: Vec<&str> = sql.iter().map(String::as_str).collect();
    let (web, web53) = (srv("web", 100, 80), srv("web", 50, 53));
    let rows: &[(&str, Query, Decision, &[&str])] = &[
        ("dns-version", Txt, DnsVersion, &["@ 28800 TXT 1.1.0"]),
        ("", Soa, Apex, &["@ 5 SOA ns.dns.cluster.local hostmaster.cluster.local 5"]),
        ("", Ns, Apex, &["@ 5 NS ns.dns.cluster.local"]),
        ("ns.dns", A, NameServer, &["@ 5 A 10.96.0.10"]),
        ("web.shop.svc", A, ServiceAddress, &["@ 5 A 10.96.0.1"]),
        ("dual.shop.svc", A, ServiceAddress, &["@ 5 A 10.96.0.2"]),
        ("dual.shop.svc", Aaaa, ServiceAddress, &["@ 5 AAAA fd00:96::2"]),
        ("_http._tcp.web.shop.svc", Srv, ServicePort, &[&web]),
        ("http.tcp.web.shop.svc", Srv, ServicePort, &[&web]),
        ("web.shop.svc", Srv, ServiceAddress, &[&web53, &srv("web", 50, 80)]),
        (
            "db.shop.svc",
            A,
            HeadlessEndpoints,
            &["@ 5 A 10.1.0.1", "@ 5 A 10.1.0.2", "@ 5 A 10.1.0.3"],
        ),
        ("db.shop.svc", Aaaa, HeadlessEndpoints, &["@ 5 AAAA fd00::1"]),
        ("db.shop.svc", Srv, HeadlessEndpoints, &sql),
        ("_sql._tcp.db.shop.svc", Srv, ServicePort, &sql),
        ("db-0.db.shop.svc", A, EndpointHostname, &["@ 5 A 10.1.0.1"]),
        ("db-1.db.shop.svc", A, EndpointHostname, &["@ 5 A 10.1.0.2", "@ 5 A 10.1.0.3"]),
        (
            "db-0.db.shop.svc",
            Srv,
            EndpointHostname,
            &["@ 5 SRV 0 100 5432 db-0.db.shop.svc.cluster.local"],
        ),
        ("1.0.96.10.in-addr.arpa", Ptr, Reverse, &["@ 5 PTR web.shop.svc.cluster.local"]),
        (&v6, Ptr, Reverse, &["@ 5 PTR dual.shop.svc.cluster.local"]),
        ("outside.shop.svc", A, ExternalName, &["@ 5 CNAME example.org"]),
        ("outside.shop.svc", Txt, ExternalName, &["@ 5 CNAME example.org"]),
        ("outside.shop.svc", Cname, ExternalName, &["@ 5 CNAME example.org"]),
        ("10-2-3-4.shop.pod", A, PodName, &["@ 5 A 10.2.3.4"]),
        ("fd00--1.empty.pod", Aaaa, PodName, &["@ 5 AAAA fd00::1"]),
        ("web.shop.svc", Any, ServiceAddress, &["@ 5 HINFO"]),
        ("outside.shop.svc", Any, ExternalName, &["@ 5 HINFO"]),
        ("", Any, Apex, &["@ 5 HINFO"]),
        ("svc", Any, InnerName, &["@ 5 HINFO"]),
    ];
    for (name, query, decision, expected) in rows {
        check(name, *query, *decision, expected);
    }
}

#[test]
fn names_that_exist_have_no_data_of_other_types() {
    use Decision::*;
    use Query::*;
    let rows = [
        ("", A, Apex),
        ("", Aaaa, Apex),
        ("", Srv, Apex),
        ("", Other, Apex),
        ("svc", A, InnerName),
        ("pod", A, InnerName),
        ("dns", A, InnerName),
        ("shop.svc", A, InnerName),
        ("empty.svc", Srv, InnerName),
        ("shop.pod", A, InnerName),
        ("_tcp.web.shop.svc", A, InnerName),
        ("ns.dns", Aaaa, NameServer),
        ("dns-version", A, DnsVersion),
        ("web.shop.svc", Aaaa, ServiceAddress),
        ("web.shop.svc", Txt, ServiceAddress),
        ("web.shop.svc", Soa, ServiceAddress),
        ("web.shop.svc", Cname, ServiceAddress),
        ("web.shop.svc", Other, ServiceAddress),
        ("_http._tcp.web.shop.svc", A, ServicePort),
        ("db.shop.svc", Txt, HeadlessEndpoints),
        ("db-0.db.shop.svc", Aaaa, EndpointHostname),
        ("10-2-3-4.shop.pod", Aaaa, PodName),
        ("1.0.96.10.in-addr.arpa", A, Reverse),
    ];
    for (name, query, decision) in rows {
        check(name, query, decision, &["NODATA"]);
    }
}

#[test]
fn names_that_do_not_exist_are_told_apart() {
    use Decision::*;
    let rows = [
        ("missing.svc", NoSuchNamespace),
        ("web.missing.svc", NoSuchNamespace),
        ("10-2-3-4.missing.pod", NoSuchNamespace),
        ("missing.shop.svc", NoSuchService),
        ("web.empty.svc", NoSuchService),
        ("down.shop.svc", NoReadyEndpoint),
        ("_sql._tcp.down.shop.svc", NoReadyEndpoint),
        ("db-9.db.shop.svc", NoSuchEndpoint),
        ("bogus.web.shop.svc", NoSuchEndpoint),
        ("_udp.db.shop.svc", NoSuchEndpoint),
        ("_http._udp.web.shop.svc", NoSuchPort),
        ("_ftp._tcp.web.shop.svc", NoSuchPort),
        ("a.b.c.web.shop.svc", TooManyLabels),
        ("a.10-2-3-4.shop.pod", TooManyLabels),
        ("x.outside.shop.svc", BelowExternalName),
        ("_http._tcp.outside.shop.svc", BelowExternalName),
        ("web.shop.pod", NotAnAddress),
        ("10-2-3.shop.pod", NotAnAddress),
        ("10-2-3-400.shop.pod", NotAnAddress),
        ("foo", UnknownName),
        ("x.dns-version", UnknownName),
        // wildcards
        ("*.shop.svc", NoSuchService),
        ("any.shop.svc", NoSuchService),
        ("*.svc", NoSuchNamespace),
        ("_http._tcp.*.shop.svc", NoSuchService),
        // of a search path, with an external name in front
        ("www.example.org.shop.svc", NoSuchService),
        ("www.example.org", UnknownName),
    ];
    for (name, decision) in rows {
        for query in [Query::A, Query::Srv, Query::Any, Query::Other] {
            check(name, query, decision, &["NXDOMAIN"]);
        }
    }
}

#[test]
fn names_of_others_are_outside() {
    let names = [
        "",
        "local",
        "example.org",
        "xcluster.local",
        "web.shop.svc.cluster.locale",
        "9.9.9.9.in-addr.arpa",
        "10.in-addr.arpa",
        "in-addr.arpa",
        "01.0.96.10.in-addr.arpa",
        "1.0.96.10.0.in-addr.arpa",
        "2.0.ip6.arpa",
        "home.arpa",
    ];
    for name in names {
        let lookup = zone().lookup(name, Query::Ptr);
        assert_eq!(outcome(&lookup), ["OUTSIDE"], "{name}");
        assert_eq!((lookup.authority, lookup.additional), (None, vec![]), "{name}");
    }
}

#[test]
fn an_unknown_address_of_the_cluster_falls_through_or_does_not_exist() {
    check("9.9.96.10.in-addr.arpa", Query::Ptr, Decision::NoSuchAddress, &["NXDOMAIN"]);
    let upstream = std::net::SocketAddr::from(([10, 0, 0, 1], 53)).into();
    let forward = Forward { upstreams: vec![upstream], ..Forward::default() };
    let zone = Zone { forward: forward.into(), ..zone() };
    let ptr = |name: &str| zone.lookup(name, Query::Ptr);
    assert_eq!(ptr("9.9.96.10.in-addr.arpa").outcome, Outcome::OutOfZone);
    assert_eq!(ptr("1.0.96.10.in-addr.arpa").decision, Decision::Reverse);
}

#[test]
fn aliases_are_followed_inside_the_zone() {
    let svc = |name: &str| format!("{name}.shop.svc.cluster.local");
    let cname = |name: &str, target: &str| format!("{} 5 CNAME {}", svc(name), svc(target));
    let address = format!("{} 5 A 10.96.0.1", svc("web"));
    let rows = [
        ("alias", Query::A, vec![cname("alias", "web"), address.clone()]),
        ("alias", Query::Aaaa, vec![cname("alias", "web")]),
        ("alias", Query::Cname, vec![cname("alias", "web")]),
        ("alias2", Query::A, vec![cname("alias2", "alias"), cname("alias", "web"), address]),
        ("dangling", Query::A, vec![cname("dangling", "nothing")]),
        ("loop-a", Query::A, vec![cname("loop-a", "loop-b"), cname("loop-b", "loop-a")]),
        ("self", Query::A, vec![cname("self", "self")]),
    ];
    for (name, query, expected) in rows {
        assert_eq!(outcome(&zone().lookup(&svc(name), query)), expected, "{name}");
    }
}

#[test]
fn a_chain_of_aliases_ends_after_ten() {
    let mut zone = zone();
    let name = |number: usize| format!("c{number}.shop.svc.cluster.local");
    let chain = (0..30)
        .map(|number| (ObjectKey::new("shop", format!("c{number}")), external(&name(number + 1))));
    zone.services = chain.collect();
    assert_eq!(outcome(&zone.lookup(&name(0), Query::A)).len(), 11);
}

#[test]
fn ports_come_with_the_addresses_they_are_at() {
    let additional = |name: &str| {
        let lookup = zone().lookup(&format!("{name}.shop.svc.cluster.local"), Query::Srv);
        lines(&lookup.additional).join(", ").replace(".shop.svc.cluster.local 5", "")
    };
    assert_eq!(additional("_http._tcp.dual"), "dual A 10.96.0.2, dual AAAA fd00:96::2");
    assert_eq!(
        additional("_sql._tcp.db"),
        "db-0.db A 10.1.0.1, db-1.db A 10.1.0.2, db-1.db A 10.1.0.3, v6.db AAAA fd00::1"
    );
    let server = zone().lookup("cluster.local", Query::Ns);
    assert_eq!(lines(&server.additional), ["ns.dns.cluster.local 5 A 10.96.0.10"]);
}

#[test]
fn no_port_of_many_endpoints_has_weight_zero() {
    let mut zone = zone();
    let endpoints = (0..=255).map(|n| endpoint(&format!("e{n}"), &format!("10.2.0.{n}"))).collect();
    zone.services.insert(ObjectKey::new("shop", "many"), ZoneService::Headless { endpoints });
    let lookup = zone.lookup("_sql._tcp.many.shop.svc.cluster.local", Query::Srv);
    let Outcome::Records(records) = lookup.outcome else { panic!("{lookup:?}") };
    assert_eq!(records.len(), 256);
    let is_one = |data: &RecordData| matches!(data, RecordData::Srv { weight: 1, .. });
    assert!(records.iter().all(|record| is_one(&record.data)));
}

#[test]
fn case_does_not_matter_and_owners_are_lower_case() {
    let lookup = zone().lookup("WeB.shOP.sVc.CLUSTER.local", Query::A);
    assert_eq!(outcome(&lookup), ["web.shop.svc.cluster.local 5 A 10.96.0.1"]);
    assert_eq!(zone().lookup("CLUSTER.Local", Query::A).outcome, Outcome::NoData);
    assert_eq!(
        outcome(&zone().lookup("1.0.96.10.IN-ADDR.ARPA", Query::Ptr)),
        ["1.0.96.10.in-addr.arpa 5 PTR web.shop.svc.cluster.local"]
    );
}

#[test]
fn an_address_has_the_name_of_every_endpoint_there() {
    let names = ["db-0.db", "a.pair", "b.pair"]
        .map(|name| format!("1.0.1.10.in-addr.arpa 5 PTR {name}.shop.svc.cluster.local"));
    assert_eq!(outcome(&zone().lookup("1.0.1.10.in-addr.arpa", Query::Ptr)), names);
}

#[test]
fn what_does_not_exist_is_said_by_the_zone_or_by_the_reverse_name_itself() {
    let owner = |name, query| {
        let authority = zone().lookup(name, query).authority.expect("it must be negative");
        assert!(matches!(authority.data, RecordData::Soa { minimum: 5, .. }));
        authority.name
    };
    assert_eq!(&*owner("x.shop.svc.cluster.local", Query::A), "cluster.local");
    assert_eq!(&*owner("1.0.96.10.in-addr.arpa", Query::A), "1.0.96.10.in-addr.arpa");
}
