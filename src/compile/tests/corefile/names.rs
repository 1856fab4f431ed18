//! Which names there are by a Corefile, and what they come to.

use serde_json::{Value, json};

use super::{compiled, findings};
use crate::snapshot::Zone;
use crate::snapshot::zone::{Outcome, Query};

/// `shop`: `web` with an endpoint, `empty` without, `db` headless; `lab`: `web`. A Pod in `shop`.
fn cluster() -> Vec<Value> {
    let service = |namespace: &str, name: &str, spec: Value| {
        let labels = json!({"app": name});
        json!({"kind": "Service", "spec": spec,
            "metadata": {"name": name, "namespace": namespace, "labels": labels}})
    };
    let slice = |service: &str, address: &str, pod: &str| {
        json!({"kind": "EndpointSlice", "addressType": "IPv4", "ports": [{"port": 80}],
            "metadata": {"name": service, "namespace": "shop",
                "labels": {"kubernetes.io/service-name": service}},
            "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}}]})
    };
    vec![
        service("shop", "web", json!({"clusterIP": "127.96.0.1", "ports": [{"port": 80}]})),
        service("shop", "empty", json!({"clusterIP": "127.96.0.2", "ports": [{"port": 80}]})),
        service("shop", "db", json!({"clusterIP": "None", "ports": [{"port": 80}]})),
        service("lab", "web", json!({"clusterIP": "127.96.0.3", "ports": [{"port": 80}]})),
        slice("web", "127.97.0.1", "web-0"),
        slice("db", "127.97.0.2", "db-0"),
        json!({"kind": "Pod", "metadata": {"name": "db-0", "namespace": "shop"},
            "status": {"podIP": "127.97.0.2"}}),
    ]
}

/// Names and what they come to: addresses, `NODATA`, `NXDOMAIN`, or `OUT` of the zone.
fn answers(body: &str, names: &[&str]) -> Vec<String> {
    let corefile = format!(
        ". {{\n  kubernetes cluster.local in-addr.arpa {{\n{body}\n  }}\n  forward . 10.0.0.1\n}}\n"
    );
    let compiled = compiled(&cluster(), &corefile);
    assert_eq!(findings(&compiled), [""; 0], "{corefile}");
    names.iter().map(|name| answer(&compiled.snapshot.zone, name)).collect()
}

fn answer(zone: &Zone, name: &str) -> String {
    let (full, query) = match name.ends_with(".arpa") || name.ends_with(".test") {
        true if name.ends_with(".test") => (name.to_owned(), Query::A),
        true => (name.to_owned(), Query::Ptr),
        false => (format!("{name}.cluster.local"), Query::A),
    };
    match zone.lookup(&full, query).outcome {
        Outcome::Records(records) => {
            let data: Vec<_> = records.iter().map(|record| record.data.to_string()).collect();
            data.join(" ").replace(".svc.cluster.local", "")
        }
        Outcome::NoData => "NODATA".to_owned(),
        Outcome::NxDomain => "NXDOMAIN".to_owned(),
        Outcome::OutOfZone => "OUT".to_owned(),
    }
}

#[test]
fn kubernetes_decides_which_names_there_are() {
    let pod = "127-97-0-2.shop.pod";
    let other = "9-9-9-9.shop.pod";
    let unknown = "9.9.9.9.in-addr.arpa";
    let service = "1.0.96.127.in-addr.arpa";
    let rows: &[(&str, &[(&str, &str)])] = &[
        ("", &[(pod, "NXDOMAIN"), ("shop.pod", "NXDOMAIN"), ("x.shop.svc", "NXDOMAIN")]),
        ("", &[(unknown, "NXDOMAIN"), (service, "PTR web.shop"), ("x.test", "OUT")]),
        ("pods insecure", &[(pod, "A 127.97.0.2"), (other, "A 9.9.9.9"), ("shop.pod", "NODATA")]),
        (
            "pods verified",
            &[(pod, "A 127.97.0.2"), (other, "NXDOMAIN"), ("x.shop.pod", "NXDOMAIN")],
        ),
        ("pods verified", &[("127-97-0-2.lab.pod", "NXDOMAIN")]),
        ("fallthrough", &[("x.shop.svc", "OUT"), (unknown, "OUT"), ("shop.svc", "NODATA")]),
        ("fallthrough in-addr.arpa", &[("x.shop.svc", "NXDOMAIN"), (unknown, "OUT")]),
        ("fallthrough x.svc.cluster.local", &[("a.x.svc", "OUT"), ("a.xx.svc", "NXDOMAIN")]),
        ("endpoint_pod_names", &[("db-0.db.shop.svc", "A 127.97.0.2")]),
        ("", &[("db-0.db.shop.svc", "NXDOMAIN"), ("127-97-0-2.db.shop.svc", "A 127.97.0.2")]),
        ("", &[("db.shop.svc", "A 127.97.0.2"), ("empty.shop.svc", "A 127.96.0.2")]),
        ("noendpoints", &[("db.shop.svc", "NXDOMAIN"), ("web.shop.svc", "A 127.96.0.1")]),
        ("noendpoints", &[("2.0.97.127.in-addr.arpa", "NXDOMAIN")]),
        (
            "ignore empty_service",
            &[("empty.shop.svc", "NXDOMAIN"), ("web.shop.svc", "A 127.96.0.1")],
        ),
        ("ignore empty_service", &[("2.0.96.127.in-addr.arpa", "PTR empty.shop")]),
        ("namespaces lab x", &[("web.lab.svc", "A 127.96.0.3"), ("web.shop.svc", "NXDOMAIN")]),
        ("namespaces lab", &[("shop.svc", "NXDOMAIN"), (service, "NXDOMAIN")]),
        ("labels app in (db, x)", &[("web.shop.svc", "NXDOMAIN"), ("db.shop.svc", "A 127.97.0.2")]),
        ("namespace_labels team=a", &[("web.shop.svc", "NXDOMAIN")]),
        ("namespace_labels !team", &[("web.shop.svc", "A 127.96.0.1")]),
    ];
    for (body, names) in rows {
        let (names, expected): (Vec<_>, Vec<_>) = names.iter().copied().unzip();
        assert_eq!(answers(body, &names), expected, "{body}: {names:?}");
    }
}

#[test]
fn addresses_have_names_only_in_the_zones_that_kubernetes_lists() {
    let service = "1.0.96.127.in-addr.arpa";
    for (zones, expected) in [
        ("", "OUT"),
        (" in-addr.arpa", "PTR web.shop"),
        (" 96.127.in-addr.arpa", "PTR web.shop"),
        (" 127.96.0.0/16", "PTR web.shop"),
        (" 97.127.in-addr.arpa", "OUT"),
    ] {
        let corefile = format!(". {{\n  kubernetes cluster.local{zones}\n}}\n");
        let compiled = compiled(&cluster(), &corefile);
        assert_eq!(answer(&compiled.snapshot.zone, service), expected, "{zones}");
    }
}

#[test]
fn rewritten_names_are_looked_up_and_answered_as_asked() {
    let rules = "rewrite name web.test web.shop.svc.cluster.local\n  rewrite continue name suffix \
                 .old.test .new.test answer auto\n  rewrite name regex (.*)\\.new\\.test \
                 {1}.shop.svc.cluster.local answer auto\n  rewrite stop {\n    name prefix api. \
                 web.\n    answer name web\\.(.*) api.{1}\n  }\n  rewrite name plain.test \
                 x..y\n  rewrite name substring gone.test example.org";
    let corefile = format!(
        ". {{\n  {rules}\n  kubernetes cluster.local {{\n    fallthrough\n  }}\n  forward . \
         10.0.0.1\n}}\nlab.test {{\n  forward . 10.0.0.2\n}}\n"
    );
    let compiled = compiled(&cluster(), &corefile);
    assert_eq!(findings(&compiled), [""; 0]);
    let zone = &compiled.snapshot.zone;
    for (name, expected) in [
        ("web.test", "web.test 127.96.0.1"),
        ("WEB.test", "web.test 127.96.0.1"),
        ("web.old.test", "web.old.test 127.96.0.1"),
        ("db.new.test", "db.new.test 127.97.0.2"),
        ("api.lab.svc.cluster.local", "api.lab.svc.cluster.local 127.96.0.3"),
        ("web.shop.svc.cluster.local", "web.shop.svc.cluster.local 127.96.0.1"),
        ("plain.test", "OUT of x..y"),
        ("a.gone.test", "OUT of a.example.org"),
        ("web.old.lab.test", "OUT"),
    ] {
        let lookup = zone.lookup(name, Query::A);
        let told = match &lookup.outcome {
            Outcome::Records(records) => {
                let record = records.last().expect("never empty");
                let ip = record.data.address().expect("an address");
                format!("{} {ip}", record.name)
            }
            Outcome::OutOfZone => match &lookup.rewritten {
                Some(rewritten) => format!("OUT of {}", rewritten.name),
                None => "OUT".to_owned(),
            },
            Outcome::NoData | Outcome::NxDomain => format!("{:?}", lookup.outcome),
        };
        assert_eq!(told, expected, "{name}");
    }
}

#[test]
fn names_in_the_corefile_are_answered() {
    let corefile = "\
. {
  hosts /etc/dnsmasq.hosts {
    10.1.0.1 db.test DB2.test.
    fd00::1 db.test
    10.1.0 x.test
    10.1.0.2 -_-.test a b*c
    ttl 60
    fallthrough
  }
  forward . 10.0.0.1
}
corp.test {
  hosts {
    10.1.0.3 in.corp.test out.test
    10.1.0.4
    no_reverse
    ttl 0
  }
}
";
    let compiled = compiled(&[], corefile);
    let zone = &compiled.snapshot.zone;
    for (name, expected) in [
        ("db.test", "A 10.1.0.1"),
        ("db2.test", "A 10.1.0.1"),
        ("in.corp.test", "A 10.1.0.3"),
        ("out.test", "OUT"),
        ("x.test", "OUT"),
        ("1.0.1.10.in-addr.arpa", "PTR db.test PTR db2.test"),
        ("3.0.1.10.in-addr.arpa", "OUT"),
    ] {
        assert_eq!(answer(zone, name), expected, "{name}");
    }
    let line = "(a line is an address and its names, such as 10.0.0.1 printer printer.lan)";
    let expected = [
        format!("5:5 error RT007 \"10.1.0\" is not an IP address: the line is left out {line}"),
        format!("6:5 error RT007 \"b*c\" is not a host name: it has no address {line}"),
        format!("15:5 error RT007 the address 10.1.0.4 has no name {line}"),
        "17:9 error RT007 \"0\" is not a number of seconds from 1 to 65535".to_owned(),
        "2:9 warning RT403 /etc/dnsmasq.hosts is not read (start rutter with --dns-hosts \
         /etc/dnsmasq.hosts)"
            .to_owned(),
        "14:27 warning RT403 out.test is in no zone of this hosts: it is left out".to_owned(),
        "13:3 note RT403 names that are not in hosts are looked up elsewhere all the same (write \
         fallthrough into it)"
            .to_owned(),
    ];
    assert_eq!(findings(&compiled), expected);
    assert_eq!(zone.hosts.ttl, 60);
}
