//! Who is behind a Service: selectors, EndpointSlices, Endpoints, and all of them together.

use serde_json::{Value, json};

use super::services::web;
use super::*;

#[track_caller]
fn check_usable(values: Vec<Value>, expected: &[&str]) {
    let compiled = compiled(values);
    let all = frontends(&compiled);
    let first = all.first().expect("a frontend");
    let usable: Vec<_> = first.split("→ ").nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(usable, expected, "{first}");
}

/// A Pod `web-0` with these changes by JSON pointer.
fn changed(changes: &[(&str, Value)]) -> Value {
    let mut pod = pod("web-0", "10.0.0.1");
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        pod.pointer_mut(parent).expect("the parent")[field] = value.clone();
    }
    pod
}

#[test]
fn selectors_choose_pods_by_the_rules_of_the_endpointslice_controller() {
    let unready = json!([{"type": "Ready", "status": "False"}]);
    let deleted = ("/metadata/deletionTimestamp", json!("2026-11-24T00:00:00Z"));
    let rows: Vec<Selection> = vec![
        ("ready", changed(&[]), json!({}), &["10.0.0.1:8080"]),
        ("not ready", changed(&[("/status/conditions", unready.clone())]), json!({}), &[]),
        ("no condition", changed(&[("/status/conditions", json!([]))]), json!({}), &[]),
        ("ended", changed(&[("/status/phase", json!("Succeeded"))]), json!({}), &[]),
        ("failed", changed(&[("/status/phase", json!("Failed"))]), json!({}), &[]),
        ("no address", changed(&[("/status/podIP", json!(null))]), json!({}), &[]),
        ("other label", changed(&[("/metadata/labels", json!({"app": "x"}))]), json!({}), &[]),
        ("other namespace", changed(&[("/metadata/namespace", json!("x"))]), json!({}), &[]),
        ("no selector", changed(&[]), json!({"selector": null}), &[]),
        ("one label of two", changed(&[]), json!({"selector": {"app": "web", "tier": "x"}}), &[]),
        (
            "both labels",
            changed(&[("/metadata/labels", json!({"app": "web", "tier": "x"}))]),
            json!({"selector": {"app": "web", "tier": "x"}}),
            &["10.0.0.1:8080"],
        ),
        (
            "published though it ends",
            changed(&[deleted.clone(), ("/status/conditions", unready.clone())]),
            json!({"publishNotReadyAddresses": true}),
            &["10.0.0.1:8080"],
        ),
        (
            "of the family of the Service only",
            changed(&[("/status/podIPs", json!([{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]))]),
            json!({}),
            &["10.0.0.1:8080"],
        ),
        ("of another family", changed(&[("/status/podIP", json!("fd00::1"))]), json!({}), &[]),
        (
            "only a terminating one serves",
            changed(std::slice::from_ref(&deleted)),
            json!({}),
            &["10.0.0.1:8080"],
        ),
        (
            "terminating and not serving",
            changed(&[deleted, ("/status/conditions", unready.clone())]),
            json!({}),
            &[],
        ),
        (
            "published though not ready",
            changed(&[("/status/conditions", unready)]),
            json!({"publishNotReadyAddresses": true}),
            &["10.0.0.1:8080"],
        ),
    ];
    check_selection(rows);
}

#[test]
fn target_ports_are_found_by_number_and_by_name() {
    check_selection(vec![
        (
            "the port equals the target where none is named",
            changed(&[]),
            json!({"ports": [{"port": 80}]}),
            &["10.0.0.1:80"],
        ),
        (
            "by name",
            changed(&[]),
            json!({"ports": [{"port": 80, "targetPort": "http"}]}),
            &["10.0.0.1:8080"],
        ),
        (
            "by the name of a sidecar's port",
            changed(&[(
                "/spec/initContainers",
                json!([{"name": "s", "restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 15}]}]),
            )]),
            json!({"ports": [{"port": 80, "targetPort": "side"}]}),
            &["10.0.0.1:15"],
        ),
        (
            "not by the name of an ended init container's port",
            changed(&[(
                "/spec/initContainers",
                json!([{"name": "s", "ports": [{"name": "side", "containerPort": 15}]}]),
            )]),
            json!({"ports": [{"port": 80, "targetPort": "side"}]}),
            &[],
        ),
        (
            "not by a name that the Pod has not",
            changed(&[]),
            json!({"ports": [{"port": 80, "targetPort": "gone"}]}),
            &[],
        ),
        (
            "the first of a name and protocol",
            changed(&[(
                "/spec/containers",
                json!([
                {"name": "c", "ports": [{"name": "dns", "protocol": "UDP", "containerPort": 1},
                                        {"name": "dns", "containerPort": 2}]},
                {"name": "d", "ports": [{"name": "dns", "containerPort": 3}]}]),
            )]),
            json!({"ports": [{"port": 80, "targetPort": "dns"}]}),
            &["10.0.0.1:2"],
        ),
        (
            "a name of another protocol is another port",
            changed(&[]),
            json!({"ports": [{"port": 80, "protocol": "UDP", "targetPort": "http"}]}),
            &[],
        ),
    ]);
}

/// What is tried, the Pod, changes to the Service, the usable endpoints.
type Selection = (&'static str, Value, Value, &'static [&'static str]);

#[track_caller]
fn check_selection(rows: Vec<Selection>) {
    for (what, pod, extra, expected) in rows {
        println!("{what}");
        check_usable(vec![web(extra), pod], expected);
    }
}

#[test]
fn one_name_may_be_another_port_on_each_pod() {
    let mut other = pod("web-1", "10.0.0.2");
    other["spec"]["containers"][0]["ports"][0]["containerPort"] = json!(9090);
    let mut without = pod("web-2", "10.0.0.3");
    without["spec"]["containers"][0]["ports"] = json!([]);
    let ports = json!({"ports": [{"port": 80, "targetPort": "http"}]});
    let values = vec![web(ports), pod("web-0", "10.0.0.1"), other, without];
    check_usable(values, &["10.0.0.1:8080", "10.0.0.2:9090"]);
}

#[test]
fn a_terminating_endpoint_gets_nothing_while_another_is_ready() {
    let mut leaving = pod("web-1", "10.0.0.2");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
    check_usable(vec![web(json!({})), pod("web-0", "10.0.0.1"), leaving], &["10.0.0.1:8080"]);
}

pub(super) fn slice(name: &str, endpoints: Value) -> Value {
    json!({
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"port": 8080}],
    })
}

fn without_selector() -> Value {
    web(json!({"selector": {}}))
}

#[test]
fn slices_and_endpoints_are_joined_by_their_rules() {
    let endpoints = json!({"kind": "Endpoints", "metadata": {"name": "web"},
        "subsets": [{"addresses": [{"ip": "10.0.0.9"}], "notReadyAddresses": [{"ip": "10.0.0.8"}],
                     "ports": [{"port": 8080}]}]});
    let one = slice("a", json!([{"addresses": ["10.0.0.1", "10.0.0.77"]}]));
    let mut named = slice("n", json!([{"addresses": ["10.0.0.3"]}]));
    named["ports"] = json!([{"name": "other", "port": 8080}]);
    let mut fqdn = slice("f", json!([{"addresses": ["example.org"]}]));
    fqdn["addressType"] = json!("FQDN");
    let mut headless = slice("h", json!([{"addresses": ["10.0.0.4"]}]));
    headless["metadata"]["labels"]["service.kubernetes.io/headless"] = json!("");
    let terminating = slice(
        "t",
        json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": false, "terminating": true}}]),
    );
    let rows: Vec<(&str, Vec<Value>, &[&str])> = vec![
        ("only the first address", vec![one.clone()], &["10.0.0.1:8080"]),
        ("Endpoints alone", vec![endpoints.clone()], &["10.0.0.9:8080"]),
        ("Endpoints beside a slice", vec![endpoints, one.clone()], &["10.0.0.1:8080"]),
        ("another port name", vec![named], &[]),
        ("FQDN", vec![fqdn], &[]),
        ("headless label", vec![headless], &[]),
        ("the one that is not terminating wins", vec![one, terminating], &["10.0.0.1:8080"]),
        (
            "absent conditions",
            vec![slice("c", json!([{"addresses": ["010.0.0.1"], "conditions": {}}]))],
            &["10.0.0.1:8080"],
        ),
    ];
    for (what, mut values, expected) in rows {
        println!("{what}");
        values.push(without_selector());
        check_usable(values, expected);
    }
}

#[test]
fn pods_and_slices_of_one_service_are_united() {
    let slice = slice("a", json!([{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}]));
    check_usable(
        vec![web(json!({})), slice, pod("web-0", "10.0.0.1")],
        &["10.0.0.1:8080", "10.0.0.2:8080"],
    );
}

/// As kube-proxy, which favours the one that is local.
#[test]
fn an_address_told_of_twice_is_here_if_anyone_says_so() {
    let local = json!({"type": "NodePort", "externalTrafficPolicy": "Local"});
    for conditions in [json!({}), json!({"ready": false, "serving": true, "terminating": true})] {
        let endpoint = json!([{"addresses": ["10.0.0.1"], "conditions": conditions}]);
        let compiled =
            compiled([web(local.clone()), slice("a", endpoint), pod("web-0", "10.0.0.1")]);
        let backend = compiled.snapshot.backends.values().next().expect("a backend");
        assert_eq!(backend.endpoints.len(), 1);
        assert_eq!(backend.local, backend.endpoints, "{conditions}");
    }
    let mut leaving = pod("web-0", "10.0.0.1");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-24T00:00:00Z");
    let ready = slice("a", json!([{"addresses": ["10.0.0.1"]}]));
    let compiled = compiled([web(local), ready, leaving]);
    let backend = compiled.snapshot.backends.values().next().expect("a backend");
    assert!(backend.local.iter().all(|it| it.ready && !it.terminating));
    assert_eq!(backend.local.len(), 1);
}

#[test]
fn that_a_selector_selects_nobody_is_not_said_where_a_slice_of_any_family_names_somebody() {
    let selecting = service("web", json!({"selector": {"app": "web"}, "ports": [{"port": 80}]}));
    let of = |slices: Vec<Value>| {
        let compiled = compiled([selecting.clone()].into_iter().chain(slices));
        codes(&compiled).iter().filter(|(code, _)| *code == Code::EmptySelection).count()
    };
    assert_eq!(of(Vec::new()), 1);
    for (family, address) in [("IPv4", "10.0.0.1"), ("IPv6", "fd00::1")] {
        let slice = json!({"kind": "EndpointSlice",
            "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
            "addressType": family, "ports": [{"port": 8080}],
            "endpoints": [{"addresses": [address]}]});
        assert_eq!(of(vec![slice]), 0, "{family}");
    }
}
