//! Addresses of LoadBalancers: what is kept, what is shared, both families.

use serde_json::{Value, json};

use super::pools::{addresses, after, lan, lb, pool, told, with};
use super::*;

#[test]
fn an_address_is_kept_while_it_may_be_and_others_cannot_ask_for_it() {
    let first = compiled([lan(), lb("z", json!({}))]);
    let held = addresses(&first, "z");
    let ip = held.first().expect("an address").as_str();
    let asking = || lb("a", json!({"loadBalancerIP": ip}));
    let second = after(&first, [lan(), lb("z", json!({})), asking()]);
    assert_eq!((addresses(&second, "z"), addresses(&second, "a")), (held.clone(), Vec::new()));
    let clash =
        format!("RT203 spec.loadBalancerIP: {ip} is taken by Service default/z (in.yaml:2)");
    assert_eq!(told(&second), [clash]);
    let help = second.report.findings.first().and_then(|it| it.help.as_deref()).unwrap_or_default();
    assert!(help.contains("metallb.io/allow-shared-ip"), "{help}");
    // edits of the pool that leave it legal
    for spec in [
        json!({"addresses": ["10.0.0.10-10.0.0.19"], "autoAssign": false}),
        json!({"addresses": ["10.0.0.0/24"], "avoidBuggyIPs": true}),
        json!({"addresses": ["10.0.0.10-10.0.0.19"], "serviceAllocation": {"priority": 5, "namespaces": ["default"]}}),
    ] {
        let edited = after(&second, [pool("lan", spec.clone()), lb("z", json!({}))]);
        assert_eq!(addresses(&edited, "z"), held, "{spec}");
    }
    // and those that do not
    let elsewhere = pool("lan", json!({"addresses": ["10.3.0.1/32"]}));
    assert_eq!(addresses(&after(&second, [elsewhere, lb("z", json!({}))]), "z"), ["10.3.0.1"]);
    let wish = lb(
        "z",
        json!({"loadBalancerIP": if ip == "10.0.0.10" { "10.0.0.11" } else { "10.0.0.10" }}),
    );
    assert_ne!(addresses(&after(&second, [lan(), wish]), "z"), held);
    // a restart: the status tells
    let mut restarted = lb("z", json!({}));
    let other = if ip == "10.0.0.12" { "10.0.0.13" } else { "10.0.0.12" };
    restarted["status"] = json!({"loadBalancer": {"ingress": [{"ip": other}]}});
    let third = compiled([lan(), restarted, lb("a", json!({"loadBalancerIP": other}))]);
    assert_eq!(
        (addresses(&third, "z"), addresses(&third, "a")),
        (vec![other.to_owned()], Vec::new())
    );
}

/// Two that ask for one address: the key, ports and policy of each.
#[track_caller]
fn check_sharing(what: &str, one: &Sharer, other: &Sharer, refused: Option<&str>) {
    let of = |name: &str, (annotation, key, port, extra): &Sharer| {
        let mut spec =
            json!({"loadBalancerIP": "10.0.0.13", "selector": {"app": "x"}, "ports": [port]});
        spec.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
        with(lb(name, spec), "annotations", json!({*annotation: key}))
    };
    let compiled = compiled([lan(), of("a", one), of("b", other)]);
    assert_eq!(addresses(&compiled, "a"), ["10.0.0.13"], "{what}");
    let clash = "RT203 spec.loadBalancerIP: 10.0.0.13 is taken by Service default/a (in.yaml:2)";
    let expected: Vec<_> = refused.iter().map(|why| format!("{clash}{why}")).collect();
    assert_eq!(told(&compiled), expected, "{what}");
    assert_eq!(addresses(&compiled, "b").is_empty(), refused.is_some(), "{what}");
}

/// Annotation, key, port, changes to the spec.
type Sharer = (&'static str, &'static str, Value, Value);

const KEY: &str = "metallb.io/allow-shared-ip";

fn port(number: u16) -> Value {
    json!({"port": number})
}

fn local(app: &str) -> Value {
    json!({"externalTrafficPolicy": "Local", "selector": {"app": app}})
}

#[test]
fn an_address_is_shared_by_one_key_on_different_ports() {
    let older = || (KEY, "k", port(80), json!({}));
    let udp = json!({"port": 80, "protocol": "UDP"});
    let rows: Vec<(&str, Sharer, Sharer)> = vec![
        ("the same key", older(), (KEY, "k", port(81), json!({}))),
        (
            "the key of another project",
            older(),
            ("lbipam.cilium.io/sharing-key", "k", port(81), json!({})),
        ),
        (
            "the old prefix",
            ("metallb.universe.tf/allow-shared-ip", "k", port(80), json!({})),
            (KEY, "k", port(81), json!({})),
        ),
        ("one number of two transports", older(), (KEY, "k", udp, json!({}))),
        (
            "both Local, the same pods",
            (KEY, "k", port(80), local("x")),
            (KEY, "k", port(81), local("x")),
        ),
        ("one Local, the same pods", older(), (KEY, "k", port(81), local("x"))),
        (
            "both Cluster, other pods",
            older(),
            (KEY, "k", port(81), json!({"selector": {"app": "y"}})),
        ),
    ];
    for (what, one, other) in rows {
        check_sharing(what, &one, &other, None);
    }
}

#[test]
fn an_address_is_not_shared_where_a_condition_is_missing() {
    let older = || (KEY, "k", port(80), json!({}));
    let of_other_pods = ", with externalTrafficPolicy Local and another selector";
    let rows: Vec<(&str, Sharer, Sharer, &str)> = vec![
        ("no key", ("a/b", "", port(80), json!({})), ("a/b", "", port(81), json!({})), ""),
        (
            "a key on one side",
            ("a/b", "", port(80), json!({})),
            (KEY, "k", port(81), json!({})),
            "",
        ),
        (
            "another key",
            older(),
            (KEY, "other", port(81), json!({})),
            ", which shares by the key \"k\", not \"other\"",
        ),
        ("the same port", older(), older(), ", which has the port 80/tcp there"),
        (
            "both Local, other pods",
            (KEY, "k", port(80), local("x")),
            (KEY, "k", port(81), local("y")),
            of_other_pods,
        ),
        ("one Local, other pods", older(), (KEY, "k", port(81), local("y")), of_other_pods),
    ];
    for (what, one, other, refused) in rows {
        check_sharing(what, &one, &other, Some(refused));
    }
}

#[test]
fn a_border_of_namespaces_is_crossed_where_both_sides_allow_it() {
    let share = |namespace: &str, port: u16, annotations: Value| {
        let spec = json!({"loadBalancerIP": "10.0.0.13", "ports": [{"port": port}]});
        with(with(lb("s", spec), "annotations", annotations), "namespace", json!(namespace))
    };
    let metallb = || json!({"metallb.io/allow-shared-ip": "k"});
    let cilium = |namespaces: &str| json!({"lbipam.cilium.io/sharing-key": "k", "lbipam.cilium.io/sharing-cross-namespace": namespaces});
    for (one, other, is_shared) in [
        (metallb(), metallb(), true),
        (cilium("b"), cilium("a"), true),
        (cilium("*"), cilium("x, a"), true),
        (cilium("b"), cilium("x"), false),
        (cilium(""), cilium("a"), false),
        (metallb(), cilium("a"), true),
        (metallb(), cilium("x"), false),
    ] {
        let values = [lan(), share("a", 80, one.clone()), share("b", 81, other.clone())];
        let compiled = compiled(values);
        let given = compiled.allocations.load_balancers.get(&ObjectKey::new("b", "s"));
        assert_eq!(given.is_some_and(|it| !it.is_empty()), is_shared, "{one} {other}");
    }
}

#[test]
fn who_shares_by_a_key_is_given_the_address_of_the_others() {
    let share = |name: &str, port: u16| {
        let value = lb(name, json!({"ports": [{"port": port}]}));
        with(value, "annotations", json!({"metallb.io/allow-shared-ip": "k"}))
    };
    let compiled =
        compiled([lan(), share("a", 80), share("b", 81), share("c", 80), lb("d", json!({}))]);
    let of = |name: &str| addresses(&compiled, name);
    assert_eq!(of("a"), of("b"));
    assert!(of("c") != of("a") && of("d") != of("a") && of("d") != of("c"));
    // one who changes its terms gives way to the others, though it is the older
    let changed =
        with(lb("a", json!({})), "annotations", json!({"metallb.io/allow-shared-ip": "x"}));
    let edited = after(&compiled, [lan(), changed, share("b", 81)]);
    assert_eq!(addresses(&edited, "b"), of("b"));
    assert_ne!(addresses(&edited, "a"), of("a"));
}

#[test]
fn both_families_are_given_or_told() {
    let v4 = || pool("four", json!({"addresses": ["10.0.0.10-10.0.0.19"]}));
    let both = || pool("two", json!({"addresses": ["10.2.0.0/24", "fd00:2::/120"]}));
    let dual = |policy: &str| lb("s", json!({"ipFamilyPolicy": policy}));
    let settings = Settings {
        service_cidrs: vec![
            "127.96.0.0/16".parse().expect("a CIDR"),
            "fd00:96::/108".parse().expect("a CIDR"),
        ],
        node_ips: vec![[127, 0, 0, 1].into(), "::1".parse().expect("an address")],
        ..Settings::default()
    };
    let given = |values: Vec<Value>| {
        let compiled = compile(&objects(values), &settings, &Allocations::default(), now());
        let prefixes: Vec<_> = addresses(&compiled, "s")
            .iter()
            .map(|ip| ip.split(['.', ':']).take(2).collect::<Vec<_>>().join("-"))
            .collect();
        (prefixes, told(&compiled))
    };
    let none =
        "RT402 spec: no pool has a free address for family IPv6: none has an IPv6 range".to_owned();
    assert_eq!(given(vec![v4(), dual("PreferDualStack")]), (vec!["10-0".to_owned()], vec![]));
    assert_eq!(
        given(vec![v4(), dual("RequireDualStack")]),
        (vec!["10-0".to_owned()], vec![none.clone()])
    );
    let six = lb("s", json!({"ipFamilies": ["IPv6"]}));
    assert_eq!(given(vec![v4(), six]), (vec![], vec![none]));
    // one pool with both is better than two with one each
    let expected = (vec!["10-2".to_owned(), "fd00-2".to_owned()], vec![]);
    assert_eq!(given(vec![v4(), both(), dual("RequireDualStack")]), expected);
    let asking = with(
        dual("PreferDualStack"),
        "annotations",
        json!({"metallb.io/loadBalancerIPs": "10.2.0.7,fd00:2::7"}),
    );
    let asking = {
        let mut asking = asking;
        asking["spec"]["loadBalancerIP"] = json!("10.2.0.7");
        asking
    };
    assert_eq!(given(vec![v4(), both(), asking]), expected);
    assert_eq!(given(vec![dual("PreferDualStack")]).0, ["127-0", "-"]);
}

#[test]
fn a_second_family_comes_beside_the_first_when_a_pool_has_one() {
    let settings = Settings {
        service_cidrs: vec![
            "127.96.0.0/16".parse().expect("a CIDR"),
            "fd00:96::/108".parse().expect("a CIDR"),
        ],
        ..Settings::default()
    };
    let dual = || lb("s", json!({"ipFamilyPolicy": "PreferDualStack"}));
    let first = compile(&objects([lan(), dual()]), &settings, &Allocations::default(), now());
    let six = pool("six", json!({"addresses": ["fd00::/120"]}));
    let second = compile(&objects([lan(), six, dual()]), &settings, &first.allocations, now());
    let (before, after) = (addresses(&first, "s"), addresses(&second, "s"));
    assert_eq!(after.first(), before.first());
    assert_eq!((before.len(), after.len()), (1, 2));
}

#[test]
fn both_stacks_with_one_service_cidr_are_told_where_they_are_required() {
    let of =
        |policy: &str| service("s", json!({"ipFamilyPolicy": policy, "ports": [{"port": 80}]}));
    assert_eq!(
        codes(&compiled([of("RequireDualStack")])),
        [(Code::BadValue, "spec.ipFamilyPolicy")]
    );
    assert_eq!(codes(&compiled([of("PreferDualStack")])), []);
    let named = service(
        "s",
        json!({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": ["IPv4", "IPv6"], "ports": [{"port": 80}]}),
    );
    assert_eq!(codes(&compiled([named])), []);
}

#[test]
fn the_addresses_of_another_class_are_captured_and_nothing_is_given_or_asked() {
    let mut other =
        lb("s", json!({"loadBalancerClass": "example.com/other", "loadBalancerIP": "10.0.0.10"}));
    other["status"] = json!({"loadBalancer": {"ingress": [{"ip": "127.4.4.4"}]}});
    let compiled = compiled([lan(), other]);
    assert_eq!(addresses(&compiled, "s"), ["127.4.4.4"]);
    assert_eq!(told(&compiled), [""; 0]);
}

#[test]
fn who_has_an_address_is_told_the_same_after_every_compilation() {
    let share = |name: &str, port: u16, annotations: Value| {
        let value = lb(name, json!({"ports": [{"port": port}]}));
        let mut annotations = annotations;
        annotations[KEY] = json!("k");
        with(value, "annotations", annotations)
    };
    // `a` comes to the address of `c` after `b` was refused because of `c`
    let values = [
        lan(),
        share("a", 80, json!({})),
        lb("b", json!({"loadBalancerIP": "10.0.0.13"})),
        share("c", 81, json!({"metallb.io/loadBalancerIPs": "10.0.0.13"})),
    ];
    let older = |value: Value| with(value, "creationTimestamp", json!("2020-01-01T00:00:00Z"));
    let values = values.map(|it| if it["metadata"]["name"] == "c" { older(it) } else { it });
    let first = compiled(values.clone());
    assert_eq!(addresses(&first, "a"), ["10.0.0.13"]);
    let second = after(&first, values);
    assert_eq!(told(&first), told(&second));
    assert!(first.snapshot == second.snapshot);
}

#[test]
fn full_pools_are_told_in_the_same_order_after_every_compilation() {
    let cidrs = ["127.96.0.0/16", "fd00:96::/108"].map(|it| it.parse().expect("a CIDR"));
    let settings = Settings { service_cidrs: cidrs.to_vec(), ..Settings::default() };
    let values = [
        pool("a", json!({"addresses": ["10.0.0.1/32"]})),
        pool("b", json!({"addresses": ["10.0.0.2/32", "fd00::/126"]})),
        lb("first", json!({})),
        lb("second", json!({})),
        lb("third", json!({"ipFamilyPolicy": "PreferDualStack"})),
    ];
    let again = |held: &Allocations| compile(&objects(values.clone()), &settings, held, now());
    let first = again(&Allocations::default());
    assert_eq!(addresses(&first, "third").len(), 1);
    let second = again(&first.allocations);
    assert_eq!(second.report.load_balancers, first.report.load_balancers);
}
