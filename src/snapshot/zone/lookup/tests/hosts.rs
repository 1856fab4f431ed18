use std::sync::Arc;

use super::{ip, outcome, zone};
use crate::manifest::Origin;
use crate::snapshot::zone::{Hosts, Query, Zone};

#[test]
fn hosts_files_win_over_the_zone_and_leave_it_what_they_do_not_have() {
    let mut hosts = Hosts::default();
    let lines = [
        ("192.0.2.1", "web.shop.svc.cluster.local"),
        ("192.0.2.2", "printer.lan"),
        ("2001:db8::2", "printer.lan"),
        ("192.0.2.2", "scanner.lan"),
        ("192.0.2.2", "printer.lan"),
        ("10.1.0.1", "db.lan"),
        ("192.0.2.3", "nothing.shop.svc.cluster.local"),
    ];
    for (address, name) in lines {
        hosts.add(ip(address), &Arc::from(name), &Origin::default());
    }
    let zone = Zone { hosts: hosts.into(), ..zone() };
    let printer6 = "printer.lan 3600 AAAA 2001:db8::2".to_owned();
    let names = ["printer.lan", "scanner.lan"];
    let reversed = "2.2.0.192.in-addr.arpa";
    let rows = [
        ("Printer.LAN", Query::A, vec!["printer.lan 3600 A 192.0.2.2".to_owned()]),
        ("printer.lan", Query::Aaaa, vec![printer6]),
        ("scanner.lan", Query::Aaaa, vec!["NODATA".to_owned()]),
        ("printer.lan", Query::Other, vec!["NODATA".to_owned()]),
        ("printer.lan", Query::Any, vec!["printer.lan 3600 HINFO".to_owned()]),
        (reversed, Query::Ptr, names.map(|it| format!("{reversed} 3600 PTR {it}")).to_vec()),
        (reversed, Query::A, vec!["NODATA".to_owned()]),
        // a name and an address of the cluster
        (
            "web.shop.svc.cluster.local",
            Query::A,
            vec!["web.shop.svc.cluster.local 3600 A 192.0.2.1".to_owned()],
        ),
        (
            "1.0.1.10.in-addr.arpa",
            Query::Ptr,
            vec!["1.0.1.10.in-addr.arpa 3600 PTR db.lan".to_owned()],
        ),
        // an alias of the zone may lead to them
        (
            "dangling.shop.svc.cluster.local",
            Query::A,
            vec![
                "dangling.shop.svc.cluster.local 5 CNAME nothing.shop.svc.cluster.local".to_owned(),
                "nothing.shop.svc.cluster.local 3600 A 192.0.2.3".to_owned(),
            ],
        ),
        // what they do not have
        (
            "kube-dns.kube-system.svc.cluster.local",
            Query::A,
            vec!["kube-dns.kube-system.svc.cluster.local 5 A 10.96.0.10".to_owned()],
        ),
        ("lan", Query::A, vec!["OUTSIDE".to_owned()]),
        ("a.printer.lan", Query::A, vec!["OUTSIDE".to_owned()]),
    ];
    for (name, query, expected) in rows {
        assert_eq!(outcome(&zone.lookup(name, query)), expected, "{name} {query:?}");
    }
    assert_eq!(zone.lookup("scanner.lan", Query::Aaaa).authority, None);
}
