//! Which node announces which address of a load balancer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::pools::{lb, pool, with};
use super::*;

/// As `node-b` sees it, which has the address 10.0.0.19.
fn announced(values: impl IntoIterator<Item = Value>) -> Compiled {
    let settings = Settings {
        announce: true,
        node_name: "node-b".into(),
        node_ips: vec![IpAddr::from([10, 0, 0, 19])],
        ..Settings::default()
    };
    compile(&objects(values), &settings, &Allocations::default(), now())
}

fn node(name: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": name}})
}

/// A LoadBalancer with an address, and its endpoints: `NODE`, or `NODE:unready`, `NODE:leaving`.
fn balanced(ip: &str, extra: Value, endpoints: &[&str]) -> [Value; 2] {
    let mut spec = json!({"loadBalancerIP": ip});
    let is_v6 = ip.contains(':');
    if is_v6 {
        spec["ipFamilies"] = json!(["IPv6"]);
    }
    spec.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
    let name = format!("s-{}", ip.replace(['.', ':'], "-"));
    let endpoint = |(place, text): (usize, &&str)| {
        let (node, condition) = text.split_once(':').unwrap_or((text, "ready"));
        let is = |it: &str| condition == it;
        json!({
            "addresses": [if is_v6 { format!("fd01::{place}") } else { format!("10.9.0.{place}") }],
            "nodeName": (!node.is_empty()).then_some(node),
            "conditions": {"ready": is("ready"), "serving": !is("unready"),
                           "terminating": is("leaving")},
        })
    };
    let endpoints: Vec<_> = endpoints.iter().enumerate().map(endpoint).collect();
    let slice = json!({
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": if is_v6 { "IPv6" } else { "IPv4" },
        "ports": [{"port": 8080}],
        "endpoints": endpoints,
    });
    [lb(&name, spec), slice]
}

fn lan() -> Value {
    pool("lan", json!({"addresses": ["10.0.0.10-10.0.0.19", "fd00::100/120"]}))
}

/// `OWNER, NEXT …: WHY`, by address.
fn told(compiled: &Compiled) -> Vec<String> {
    let announcements = compiled.snapshot.announcements.iter();
    let line = |(ip, it): (&IpAddr, &crate::snapshot::Announcement)| {
        assert_eq!(it.is_here, it.owner().is_some_and(|it| &**it == "node-b"), "{ip}");
        let here = compiled.snapshot.announced().any(|here| here == *ip);
        assert_eq!(it.is_here, here, "{ip}");
        format!("{ip} {}: {}", it.nodes.join(" "), it.why)
    };
    announcements.map(line).collect()
}

#[track_caller]
fn check(nodes: &[Value], service: [Value; 2], expected: &[&str]) {
    let values = [&[lan()], nodes, &service].concat();
    assert_eq!(told(&announced(values.clone())), expected, "{values:#?}");
}

#[test]
fn the_order_is_that_of_metallb() {
    let nodes = ["node-a", "node-b", "node-c"].map(node);
    let first = "the first of 3 nodes, by SHA-256 of node#address";
    // sha256("node-c#10.0.0.12") and so on, by another implementation
    for (ip, order) in [
        ("10.0.0.10", "node-b node-c node-a"),
        ("10.0.0.12", "node-c node-a node-b"),
        ("fd00::100", "node-a node-b node-c"),
    ] {
        let mut settings = Settings { announce: true, ..Settings::default() };
        settings.service_cidrs.push("fd02::/112".parse().expect("a CIDR"));
        let values = [&[lan()], &nodes[..], &balanced(ip, json!({}), &["node-x"])].concat();
        let compiled = compile(&objects(values), &settings, &Allocations::default(), now());
        let expected = format!("{ip} {order}: {first}");
        let announcements = compiled.snapshot.announcements.iter();
        let told = announcements.map(|(ip, it)| format!("{ip} {}: {}", it.nodes.join(" "), it.why));
        assert_eq!(told.collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn nodes_that_load_balancers_avoid_announce_nothing() {
    let excluded = with(
        node("node-b"),
        "labels",
        json!({"node.kubernetes.io/exclude-from-external-load-balancers": ""}),
    );
    let mut leaving = node("node-b");
    leaving["spec"] = json!({"taints": [{"key": "ToBeDeletedByClusterAutoscaler", "value": "1"}]});
    let with_condition = |status: &str| {
        let mut node = node("node-b");
        node["status"] = json!({"conditions": [{"type": "Ready", "status": status}]});
        node
    };
    let mut tainted = node("node-b");
    tainted["spec"] = json!({"unschedulable": true, "taints": [{"key": "dedicated"}]});
    let ours = "10.0.0.10 node-b node-a: the first of 2 nodes, by SHA-256 of node#address";
    let theirs = "10.0.0.10 node-a: the only node that may";
    for (node_b, expected, why) in [
        (node("node-b"), ours, None),
        (with_condition("True"), ours, None),
        // new Pods stay away, but nothing leaves
        (tainted, ours, None),
        (
            excluded,
            theirs,
            Some("it has the label node.kubernetes.io/exclude-from-external-load-balancers"),
        ),
        (leaving, theirs, Some("it has the taint ToBeDeletedByClusterAutoscaler")),
        (with_condition("False"), theirs, Some("it is not ready")),
        (with_condition("Unknown"), theirs, Some("it is not ready")),
    ] {
        let service = balanced("10.0.0.10", json!({}), &["node-a"]);
        check(&[node("node-a"), node_b.clone()], service.clone(), &[expected]);
        let values = [vec![lan(), node("node-a"), node_b], service.to_vec()].concat();
        let compiled = announced(values);
        let excluded = compiled.snapshot.announcements.values().flat_map(|it| it.excluded.iter());
        let excluded: Vec<_> = excluded.map(|it| (&*it.name, it.why)).collect();
        assert_eq!(excluded, why.map(|why| ("node-b", why)).into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn who_announces_depends_on_where_the_endpoints_are() {
    let local = || json!({"externalTrafficPolicy": "Local"});
    let cluster = || json!({});
    let both = "the first of 2 nodes, by SHA-256 of node#address";
    let one = "the only node with an endpoint (externalTrafficPolicy: Local) that may";
    let nobody = "no endpoint is ready";
    for (policy, endpoints, expected) in [
        (cluster(), &["node-a"][..], format!("10.0.0.10 node-b node-a: {both}")),
        (cluster(), &["node-x:leaving"], format!("10.0.0.10 node-b node-a: {both}")),
        (cluster(), &["node-b:unready"], format!("10.0.0.10 : {nobody}")),
        (cluster(), &[], format!("10.0.0.10 : {nobody}")),
        (local(), &["node-a"], format!("10.0.0.10 node-a: {one}")),
        (local(), &["node-a", "node-b:unready"], format!("10.0.0.10 node-a: {one}")),
        (local(), &["node-a", "node-b:leaving"], format!("10.0.0.10 node-a: {one}")),
        (local(), &["node-b:leaving"], format!("10.0.0.10 node-b: {one}")),
        (
            local(),
            &["node-a", "node-b"],
            "10.0.0.10 node-b node-a: the first of 2 nodes with an endpoint \
             (externalTrafficPolicy: Local), by SHA-256 of node#address"
                .to_owned(),
        ),
        (
            local(),
            &["node-x"],
            "10.0.0.10 : there is no node with an endpoint (externalTrafficPolicy: Local) that may"
                .to_owned(),
        ),
    ] {
        let nodes = [node("node-a"), node("node-b")];
        check(&nodes, balanced("10.0.0.10", policy, endpoints), &[&expected]);
    }
}

#[test]
fn a_node_that_knows_of_no_other_announces_everything_that_it_serves() {
    let local = || json!({"externalTrafficPolicy": "Local"});
    check(
        &[],
        balanced("10.0.0.10", json!({}), &["elsewhere"]),
        &["10.0.0.10 node-b: the only node that may"],
    );
    let one =
        "10.0.0.10 node-b: the only node with an endpoint (externalTrafficPolicy: Local) that may";
    check(&[], balanced("10.0.0.10", local(), &["node-b"]), &[one]);
    let none =
        "10.0.0.10 : there is no node with an endpoint (externalTrafficPolicy: Local) that may";
    check(&[], balanced("10.0.0.10", local(), &["node-a"]), &[none]);
    // among Nodes without this one, it is none of them
    let others = "10.0.0.10 node-a: the only node that may";
    check(&[node("node-a")], balanced("10.0.0.10", json!({}), &["node-a"]), &[others]);
}

#[test]
fn addresses_that_others_decided_on_and_those_of_the_node_are_not_announced() {
    let foreign = json!({"loadBalancerClass": "example.com/other"});
    let with_status = |extra: Value, ip: &str| {
        let [mut service, slice] = balanced("10.0.0.10", extra, &["node-a"]);
        service["status"] = json!({"loadBalancer": {"ingress": [{"ip": ip}]}});
        [service, slice]
    };
    check(&[], with_status(foreign, "10.0.0.10"), &[]);
    check(&[], with_status(json!({}), "203.0.113.9"), &[]);
    check(&[], balanced("10.0.0.19", json!({}), &["node-a"]), &[]);
    // what a pool gave is announced after a restart too
    check(&[], with_status(json!({}), "10.0.0.10"), &["10.0.0.10 node-b: the only node that may"]);
    let silent = compiled(balanced("10.0.0.10", json!({}), &["node-a"]).into_iter().chain([lan()]));
    assert_eq!(*silent.snapshot.announcements, BTreeMap::new(), "without --announce");
}

#[test]
fn services_that_share_an_address_are_announced_as_one() {
    let sharing = |name: &str, port: u16| {
        let mut service = lb(
            name,
            json!({"loadBalancerIP": "10.0.0.10", "ports": [{"port": port}], "selector": {"app": "web"}}),
        );
        service["metadata"]["annotations"] = json!({"metallb.io/allow-shared-ip": "k"});
        service
    };
    let values = [lan(), sharing("a", 80), sharing("b", 81), pod("web-1", "10.9.0.1")];
    let compiled = announced(values);
    assert_eq!(told(&compiled), ["10.0.0.10 node-b: the only node that may"]);
    let services = compiled.snapshot.announcements.values().flat_map(|it| &it.services);
    let services: Vec<_> = services.map(ToString::to_string).collect();
    assert_eq!(services, ["default/a", "default/b"]);
}

fn owners(nodes: &[String]) -> BTreeMap<IpAddr, String> {
    let services = (10..19).flat_map(|last| balanced(&format!("10.0.0.{last}"), json!({}), &["x"]));
    let nodes = nodes.iter().map(|name| node(name));
    let compiled = announced([lan()].into_iter().chain(nodes).chain(services));
    let announcements = compiled.snapshot.announcements.iter();
    announcements.map(|(ip, it)| (*ip, it.owner().expect("an owner").to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_node_that_goes_or_comes_moves_only_addresses_of_its_own(
        names in prop::collection::btree_set("[a-z]{1,8}", 2..6),
    ) {
        let all: Vec<_> = names.into_iter().collect();
        let (before, more) = (owners(&all[1..]), owners(&all));
        prop_assert_eq!(before.len(), 9);
        let newcomer = &all[0];
        for (ip, owner) in &more {
            // read the other way round, what the newcomer gives up when it goes
            prop_assert!(owner == newcomer || Some(owner) == before.get(ip), "{}", ip);
        }
    }
}
