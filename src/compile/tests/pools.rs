//! Pools of addresses for LoadBalancers, and what LoadBalancers ask of them.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;

pub(super) fn lb(name: &str, extra: Value) -> Value {
    let mut spec = json!({"type": "LoadBalancer", "ports": [{"port": 80}]});
    spec.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
    service(name, spec)
}

/// With metadata.
pub(super) fn with(mut value: Value, field: &str, map: Value) -> Value {
    value["metadata"][field] = map;
    value
}

pub(super) fn pool(name: &str, spec: Value) -> Value {
    json!({"kind": "IPAddressPool", "metadata": {"name": name, "namespace": "metallb-system"}, "spec": spec})
}

fn cilium(name: &str, spec: Value) -> Value {
    json!({"kind": "CiliumLoadBalancerIPPool", "metadata": {"name": name}, "spec": spec})
}

pub(super) fn lan() -> Value {
    pool("lan", json!({"addresses": ["10.0.0.10-10.0.0.19"]}))
}

pub(super) fn addresses(compiled: &Compiled, name: &str) -> Vec<String> {
    let given = compiled.allocations.load_balancers.get(&ObjectKey::new("default", name));
    given.into_iter().flatten().map(IpAddr::to_string).collect()
}

pub(super) fn after(before: &Compiled, values: impl IntoIterator<Item = Value>) -> Compiled {
    compile(&objects(values), &Settings::default(), &before.allocations, now())
}

/// Findings about LoadBalancers and pools, without their places.
pub(super) fn told(compiled: &Compiled) -> Vec<String> {
    let findings = compiled.report.findings.iter();
    let findings = findings.filter(|it| it.code != Code::EmptySelection);
    findings.map(|it| format!("{} {}: {}", it.code, it.field, it.message)).collect()
}

#[track_caller]
fn check_one_of(values: Vec<Value>, name: &str, expected: &[&str]) {
    let compiled = compiled(values);
    let given = addresses(&compiled, name);
    assert!(
        given.len() == 1 && given.iter().all(|ip| expected.contains(&ip.as_str())),
        "{given:?} is not one of {expected:?}: {:?}",
        told(&compiled)
    );
}

#[test]
fn pools_are_for_whom_they_say_and_asked_by_priority() {
    let one = |allocation: Value| {
        pool("p", json!({"addresses": ["10.1.0.1/32"], "serviceAllocation": allocation}))
    };
    let prior = |name: &str, priority: i64| {
        let addresses = json!([format!("10.2.0.{priority}/32")]);
        pool(name, json!({"addresses": addresses, "serviceAllocation": {"priority": priority}}))
    };
    let plain = |extra: Value| {
        let mut spec = json!({"addresses": ["10.1.0.255-10.1.1.0"]});
        spec.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        pool("a", spec)
    };
    let selectors = |labels: Value| json!([{"matchLabels": labels}]);
    let of_team = selectors(json!({"team": "a"}));
    let rows: Vec<(&str, Vec<Value>, &str)> = vec![
        ("its namespace", vec![one(json!({"namespaces": ["default"]}))], "10.1.0.1"),
        ("another one", vec![one(json!({"namespaces": ["x"]}))], "10.9.0.1"),
        ("namespace by label", vec![one(json!({"namespaceSelectors": of_team}))], "10.1.0.1"),
        (
            "another namespace by label",
            vec![one(json!({"namespaceSelectors": selectors(json!({"team": "b"}))}))],
            "10.9.0.1",
        ),
        (
            "its label",
            vec![one(json!({"serviceSelectors": selectors(json!({"tier": "front"}))}))],
            "10.1.0.1",
        ),
        (
            "its namespace, but not its label",
            vec![one(json!({"namespaces": ["default"], "serviceSelectors": of_team}))],
            "10.9.0.1",
        ),
        ("priority", vec![prior("a", 9), prior("b", 3)], "10.2.0.3"),
        ("none before some", vec![one(json!({})), prior("q", 9)], "10.2.0.9"),
        ("not automatic", vec![plain(json!({"autoAssign": false}))], "10.9.0.1"),
        ("none that ends in 0 or 255", vec![plain(json!({"avoidBuggyIPs": true}))], "10.9.0.1"),
    ];
    for (what, mut values, expected) in rows {
        println!("{what}");
        values.push(pool("z", json!({"addresses": ["10.9.0.1/32"]})));
        values.push(
            json!({"kind": "Namespace", "metadata": {"name": "default", "labels": {"team": "a"}}}),
        );
        values.push(with(lb("s", json!({})), "labels", json!({"tier": "front"})));
        check_one_of(values, "s", &[expected]);
    }
}

#[test]
fn pools_of_cilium_give_blocks_to_whom_they_select() {
    let small = |cidr: &str| json!({"blocks": [{"cidr": cidr}], "allowFirstLastIPs": "No"});
    let by_name = json!([{"key": "io.kubernetes.service.name", "operator": "In", "values": ["s"]}]);
    let elsewhere = json!({"io.kubernetes.service.namespace": "x"});
    let rows: Vec<(&str, Value, &[&str])> = vec![
        ("off", json!({"blocks": [{"cidr": "10.1.0.1/32"}], "disabled": true}), &["10.9.0.1"]),
        ("first and last kept back", small("10.1.0.0/30"), &["10.1.0.1", "10.1.0.2"]),
        ("two are too few to keep any back", small("10.1.0.0/31"), &["10.1.0.0", "10.1.0.1"]),
        ("one address", json!({"blocks": [{"start": "10.1.0.7"}]}), &["10.1.0.7"]),
        (
            "a range",
            json!({"blocks": [{"start": "10.1.0.7", "stop": "10.1.0.8"}]}),
            &["10.1.0.7", "10.1.0.8"],
        ),
        ("the old name of blocks", json!({"cidrs": [{"cidr": "10.1.0.7/32"}]}), &["10.1.0.7"]),
        (
            "by name",
            json!({"blocks": [{"start": "10.1.0.8"}], "serviceSelector": {"matchExpressions": by_name}}),
            &["10.1.0.8"],
        ),
        (
            "by namespace",
            json!({"blocks": [{"start": "10.1.0.8"}], "serviceSelector": {"matchLabels": elsewhere}}),
            &["10.9.0.1"],
        ),
    ];
    for (what, spec, expected) in rows {
        println!("{what}");
        let rest = pool("z", json!({"addresses": ["10.9.0.1/32"]}));
        check_one_of(vec![cilium("a", spec), rest, lb("s", json!({}))], "s", expected);
    }
}

#[test]
fn an_address_is_asked_for_by_any_of_the_annotations_or_by_the_spec() {
    for annotation in [
        "metallb.io/loadBalancerIPs",
        "metallb.universe.tf/loadBalancerIPs",
        "kube-vip.io/loadbalancerIPs",
        "lbipam.cilium.io/ips",
        "io.cilium/lb-ipam-ips",
    ] {
        let asking = with(lb("s", json!({})), "annotations", json!({annotation: " 10.0.0.13 "}));
        check_one_of(vec![lan(), asking], "s", &["10.0.0.13"]);
    }
    check_one_of(vec![lan(), lb("s", json!({"loadBalancerIP": "10.0.0.13"}))], "s", &["10.0.0.13"]);
    let both = lb("s", json!({"loadBalancerIP": "10.0.0.13"}));
    let both = with(both, "annotations", json!({"metallb.io/loadBalancerIPs": "10.0.0.13"}));
    check_one_of(vec![lan(), both], "s", &["10.0.0.13"]);
    for pool_annotation in ["metallb.io/address-pool", "metallb.universe.tf/address-pool"] {
        let dmz = pool("dmz", json!({"addresses": ["10.7.0.1/32"], "autoAssign": false}));
        let asking = with(lb("s", json!({})), "annotations", json!({pool_annotation: "dmz"}));
        check_one_of(vec![lan(), dmz, asking], "s", &["10.7.0.1"]);
    }
}

/// Annotations, changes to the spec, what is told.
type Wrong = (Value, Value, &'static str);

#[track_caller]
fn check_nothing_is_given(rows: Vec<Wrong>) {
    let only_x = json!({"namespaces": ["x"]});
    let closed = json!({"addresses": ["10.5.0.0/24"], "serviceAllocation": only_x});
    let buggy = json!({"addresses": ["10.6.0.0/24"], "avoidBuggyIPs": true});
    for (annotations, spec, expected) in rows {
        let asking = with(lb("s", spec), "annotations", annotations);
        let values = [lan(), pool("closed", closed.clone()), pool("buggy", buggy.clone()), asking];
        let compiled = compiled(values);
        let told = told(&compiled);
        let told: Vec<_> = told.iter().map(|it| it.replace("metadata.annotations.", "")).collect();
        assert_eq!(told, [expected]);
        assert_eq!(addresses(&compiled, "s"), [""; 0], "{expected}");
    }
}

#[test]
fn what_a_pool_does_not_give_is_told_and_nothing_else_is_given() {
    let ask = |ips: &str| json!({"metallb.io/loadBalancerIPs": ips});
    let of_pool = |name: &str| json!({"metallb.io/address-pool": name});
    check_nothing_is_given(vec![
        (
            ask("10.9.9.9"),
            json!({}),
            "RT401 metallb.io/loadBalancerIPs: no pool has the address 10.9.9.9",
        ),
        (
            ask("10.5.0.7"),
            json!({}),
            "RT401 metallb.io/loadBalancerIPs: IPAddressPool metallb-system/closed (in.yaml:2) has \
             10.5.0.7, but is not for this Service",
        ),
        (
            ask("10.6.0.255"),
            json!({}),
            "RT401 metallb.io/loadBalancerIPs: IPAddressPool metallb-system/buggy (in.yaml:3) has \
             10.6.0.255, but does not give it",
        ),
        (
            ask("fd00::1"),
            json!({}),
            "RT007 metallb.io/loadBalancerIPs: fd00::1 is IPv6, and the Service is not",
        ),
        (of_pool("lam"), json!({}), "RT112 metallb.io/address-pool: no pool is named \"lam\""),
        (
            of_pool("closed"),
            json!({}),
            "RT402 spec: no pool has a free address for family IPv4: the pool closed has none for \
             this Service",
        ),
    ]);
}

#[test]
fn wishes_that_contradict_each_other_are_told_and_none_is_met() {
    let ask = |ips: &str| json!({"metallb.io/loadBalancerIPs": ips});
    let with_ask =
        |name: &str, value: &str| json!({"metallb.io/loadBalancerIPs": "10.0.0.11", name: value});
    check_nothing_is_given(vec![
        (
            ask("10.0.0.x"),
            json!({}),
            "RT007 metallb.io/loadBalancerIPs: \"10.0.0.x\" is no IP address",
        ),
        (
            ask("10.0.0.11"),
            json!({"loadBalancerIP": "10.0.0.12"}),
            "RT007 spec.loadBalancerIP: 10.0.0.12 is asked for, but metallb.io/loadBalancerIPs \
             asks for 10.0.0.11",
        ),
        (
            with_ask("kube-vip.io/loadbalancerIPs", "10.0.0.12"),
            json!({}),
            "RT007 kube-vip.io/loadbalancerIPs: 10.0.0.12 is asked for, but \
             metallb.io/loadBalancerIPs asks for 10.0.0.11",
        ),
        (
            with_ask("metallb.io/address-pool", "buggy"),
            json!({}),
            "RT007 metallb.io/loadBalancerIPs: IPAddressPool metallb-system/lan (in.yaml:1) has \
             10.0.0.11, and the pool buggy is asked for",
        ),
    ]);
}

#[test]
fn a_wish_that_is_almost_read_is_told() {
    let rows = [
        ("metallb.io/loadBalancerIP", "RT004", Some("did you mean metallb.io/loadBalancerIPs?")),
        ("metallb.io/allow-shared-ips", "RT004", Some("did you mean metallb.io/allow-shared-ip?")),
        (
            "lbipam.cilium.io/sharingkey",
            "RT004",
            Some("did you mean lbipam.cilium.io/sharing-key?"),
        ),
    ];
    for (annotation, code, help) in rows {
        let asking = with(lb("s", json!({})), "annotations", json!({annotation: "x"}));
        let compiled = compiled([lan(), asking]);
        let found: Vec<_> = compiled
            .report
            .findings
            .iter()
            .map(|it| (it.code.as_str(), it.help.as_deref()))
            .collect();
        assert_eq!(found, [(code, help)], "{annotation}");
    }
    let quiet = json!({"metallb.io/ip-allocated-from-pool": "lan", "kube-vip.io/vipHost": "n"});
    let compiled = compiled([lan(), with(lb("s", json!({})), "annotations", quiet)]);
    assert_eq!(told(&compiled), [""; 0]);
    let dhcp = json!({"kube-vip.io/loadbalancerIPs": "0.0.0.0"});
    let compiled = super::compiled([lan(), with(lb("s", json!({})), "annotations", dhcp)]);
    assert!(
        told(&compiled).first().is_some_and(|it| it.contains("by DHCP")),
        "{:?}",
        told(&compiled)
    );
    assert_eq!(addresses(&compiled, "s").len(), 1);
}

#[test]
fn what_is_wrong_with_a_pool_costs_that_part_only() {
    let bad = pool(
        "bad",
        json!({"addresses": ["10.0.0.7", "10.0.0.9-10.0.0.3", "x", "10.0.0.10-fd00::1", "10.0.0.12/32"],
               "serviceAllocation": {"serviceSelectors": [{"matchExpressions": [{"key": "a", "operator": "in"}]}]}}),
    );
    let block = cilium(
        "blocks",
        json!({"blocks": [{"cidr": "10.0.0"}, {"start": "a"}, {"start": "10.1.0.9", "stop": "10.1.0.1"}, {}], "allowFirstLastIPs": "no"}),
    );
    let late = pool("late", json!({"addresses": ["10.0.0.0/24"]}));
    let compiled = compiled([bad, block, late, pool("none", json!({}))]);
    let expected = [
        "RT007 spec.addresses[0]: \"10.0.0.7\" is neither a CIDR nor FIRST-LAST",
        "RT007 spec.addresses[1]: 10.0.0.9 comes after 10.0.0.3",
        "RT007 spec.addresses[2]: \"x\" is neither a CIDR nor FIRST-LAST",
        "RT007 spec.addresses[3]: 10.0.0.10 and fd00::1 are not of one family",
        "RT007 spec.serviceAllocation.serviceSelectors[0].matchExpressions[0].operator: \"in\" is none of In, NotIn, Exists, DoesNotExist",
        "RT007 spec.allowFirstLastIPs: \"no\" is none of Yes, No",
        "RT007 spec.blocks[0].cidr: \"10.0.0\" is no CIDR",
        "RT007 spec.blocks[1].start: \"a\" is no IP address",
        "RT007 spec.blocks[2].stop: 10.1.0.9 comes after 10.1.0.1",
        "RT007 spec.blocks[3].cidr: the block has neither cidr nor start",
        "RT204 spec.addresses[0]: 10.0.0.0-10.0.0.255 overlaps 10.0.0.12 of IPAddressPool metallb-system/bad (in.yaml:1), which gives those",
        "RT007 spec.addresses: the pool has no addresses",
    ];
    assert_eq!(told(&compiled), expected);
}

#[test]
fn options_make_pools_with_names_and_without() {
    let range = |pool: &str, ip: [u8; 4]| crate::compile::PoolRange {
        pool: pool.into(),
        range: crate::compile::AddressRange { first: ip.into(), last: ip.into() },
    };
    let settings = Settings {
        lb_pool: vec![range("", [10, 0, 0, 1]), range("dmz", [10, 0, 0, 2])],
        ..Settings::default()
    };
    let asking = with(lb("a", json!({})), "annotations", json!({"metallb.io/address-pool": "dmz"}));
    let compiled =
        compile(&objects([asking, lb("b", json!({}))]), &settings, &Allocations::default(), now());
    assert_eq!(addresses(&compiled, "a"), ["10.0.0.2"]);
    assert_eq!(addresses(&compiled, "b"), ["10.0.0.1"]);
    let sources: Vec<_> = compiled
        .report
        .load_balancers
        .values()
        .flat_map(|it| &it.addresses)
        .map(|it| format!("{}, {}", it.source, it.why))
        .collect();
    assert_eq!(
        sources,
        [
            "pool dmz (--lb-pool), the pool is asked for by metallb.io/address-pool",
            "--lb-pool, automatic"
        ]
    );
}
