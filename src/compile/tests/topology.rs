//! Which endpoints are used: conditions, policies, hints (kube-proxy's TestCategorizeEndpoints, as
//! services.md lists it).

use serde_json::{Value, json};

use super::services::web;
use super::*;
use crate::snapshot::{Backend, Place, Reason, Verdict};

/// What is tried; the zone of this node; changes to the Service; endpoints in words (see
/// [`endpoint`]); places of those used for the cluster, and for this node; whether there are any at
/// all (`hasAnyEndpoints`), without which clients are rejected.
type Row =
    (&'static str, &'static str, Value, &'static [&'static str], &'static str, &'static str, bool);

/// Compiles one row. Its endpoints are at 10.0.0.PLACE.
#[track_caller]
fn check((what, zone, extra, endpoints, cluster, local, has_any): Row) {
    let zone = (zone != "-").then(|| zone.into());
    let settings = Settings { zone, ..Settings::default() };
    let mut service = web(json!({"selector": {}}));
    service["spec"]
        .as_object_mut()
        .expect("a map")
        .extend(extra.as_object().expect("a map").clone());
    let endpoints: Vec<_> =
        endpoints.iter().enumerate().map(|(place, words)| endpoint(place, words)).collect();
    let slice = json!({
        "kind": "EndpointSlice",
        "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 8080}],
    });
    let compiled = compile(&objects([service, slice]), &settings, &Allocations::default(), now());
    let backend = only_backend(&compiled);
    assert_eq!(places(&backend.usable), cluster, "{what}: for the cluster");
    assert_eq!(places(&backend.local), local, "{what}: for this node");
    for frontend in compiled.snapshot.listeners.values().flat_map(|it| it.serve.frontends()) {
        let verdict = frontend.verdict_from(Place::Outside, &backend);
        let is_rejected = verdict == Verdict::Reject(Reason::NoReadyEndpoint);
        assert_eq!(is_rejected, !has_any, "{what}: {} {verdict:?}", frontend.exposure);
    }
}

fn only_backend(compiled: &Compiled) -> Arc<Backend> {
    compiled.snapshot.backends.values().next().expect("a backend").clone()
}

fn places(endpoints: &[Arc<crate::snapshot::Endpoint>]) -> String {
    let last = |ip: std::net::IpAddr| ip.to_string().rsplit('.').next().map(str::to_owned);
    endpoints.iter().filter_map(|it| last(it.id.ip())).collect()
}

/// `zone:a,b` and `node:a,b` are hints, `here` is on this node (`localhost`), `unready`, `leaving`
/// (terminating, and serving) are conditions.
fn endpoint(place: usize, words: &str) -> Value {
    let mut endpoint = json!({"addresses": [format!("10.0.0.{place}")], "nodeName": "other"});
    let names = |list: &str| list.split(',').map(|it| json!({"name": it})).collect::<Vec<_>>();
    for word in words.split_whitespace() {
        match word.split_once(':') {
            Some(("zone", list)) => endpoint["hints"]["forZones"] = names(list).into(),
            Some(("node", list)) => endpoint["hints"]["forNodes"] = names(list).into(),
            _ if word == "here" => endpoint["nodeName"] = json!("localhost"),
            _ if word == "unready" => {
                endpoint["conditions"] = json!({"ready": false, "serving": false});
            }
            _ if word == "leaving" => {
                endpoint["conditions"] =
                    json!({"ready": false, "serving": true, "terminating": true});
            }
            _ => panic!("{word} is no word"),
        }
    }
    endpoint
}

fn external_local() -> Value {
    json!({"type": "NodePort", "externalTrafficPolicy": "Local"})
}

fn internal_local() -> Value {
    json!({"internalTrafficPolicy": "Local"})
}

fn internal_local_and_outside() -> Value {
    json!({"type": "NodePort", "internalTrafficPolicy": "Local"})
}

fn both_local() -> Value {
    json!({"type": "NodePort", "internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local"})
}

#[test]
fn hints_of_zones_count_if_every_ready_endpoint_has_one_and_one_is_meant_for_here() {
    const SPREAD: &[&str] = &["zone:a", "zone:b", "zone:c", "zone:a"];
    let none = || json!({});
    let rows: [Row; 9] = [
        ("in this zone", "a", none(), SPREAD, "03", "", true),
        ("a node without zone", "-", none(), &["zone:a"], "0", "", true),
        ("an empty zone", "", none(), &["zone:a"], "0", "", true),
        ("another zone", "b", none(), &["zone:a"], "0", "", true),
        (
            "one is unready",
            "a",
            none(),
            &["zone:a", "zone:b", "zone:c", "zone:a unready"],
            "0",
            "",
            true,
        ),
        (
            "none of the zone is ready",
            "a",
            none(),
            &["zone:a unready", "zone:b", "zone:c", "zone:a unready"],
            "12",
            "",
            true,
        ),
        ("one without", "a", none(), &["zone:a", "zone:b", "", "zone:a"], "0123", "", true),
        (
            "several zones",
            "c",
            none(),
            &["zone:a,b,c", "zone:b,c", "zone:b,d", "zone:c"],
            "013",
            "",
            true,
        ),
        (
            "an unready one without does not matter",
            "a",
            none(),
            &["zone:a", "zone:b", "unready"],
            "0",
            "",
            true,
        ),
    ];
    rows.into_iter().for_each(check);
}

#[test]
fn hints_of_nodes_come_before_those_of_zones() {
    let none = || json!({});
    let rows: [Row; 6] = [
        ("this node", "a", none(), &["node:localhost zone:a", "node:x zone:a"], "0", "", true),
        ("no hint for this node", "a", none(), &["node:x zone:a", "node:y zone:b"], "0", "", true),
        ("nor for its zone", "c", none(), &["node:x zone:a", "node:y zone:b"], "01", "", true),
        ("one without", "a", none(), &["node:localhost zone:a", "zone:b"], "0", "", true),
        (
            "that of this node is unready",
            "a",
            none(),
            &["node:localhost zone:a unready", "node:x zone:a", "node:y zone:b"],
            "1",
            "",
            true,
        ),
        (
            "several nodes",
            "-",
            none(),
            &["node:x,localhost", "node:x", "node:localhost"],
            "02",
            "",
            true,
        ),
    ];
    rows.into_iter().for_each(check);
}

#[test]
fn local_policies_ignore_hints_and_take_what_is_here() {
    const MIXED: &[&str] = &["zone:a here", "zone:b here", "zone:c", "zone:a"];
    const ONE_HERE: &[&str] = &["here", ""];
    let rows: [Row; 12] = [
        ("external", "a", external_local(), MIXED, "03", "01", true),
        ("internal", "a", internal_local_and_outside(), MIXED, "03", "01", true),
        (
            "topology and node disagree",
            "a",
            external_local(),
            &["zone:a here", "zone:b here", "zone:a", "zone:b"],
            "02",
            "01",
            true,
        ),
        ("no endpoint", "-", internal_local(), &[], "", "", false),
        ("all elsewhere", "-", internal_local(), &["", ""], "01", "", true),
        ("all here", "-", internal_local(), &["here", "here"], "01", "01", true),
        ("some here", "-", internal_local(), ONE_HERE, "01", "0", true),
        ("internal, and outside", "-", internal_local_and_outside(), ONE_HERE, "01", "0", true),
        ("external, some here", "-", external_local(), ONE_HERE, "01", "0", true),
        ("both, some here", "-", both_local(), ONE_HERE, "01", "0", true),
        ("both, all elsewhere", "-", both_local(), &["", ""], "01", "", true),
        (
            "no address for the outside",
            "-",
            json!({"externalTrafficPolicy": "Local"}),
            &["", "here"],
            "01",
            "",
            true,
        ),
    ];
    rows.into_iter().for_each(check);
}

#[test]
fn terminating_endpoints_serve_where_none_is_ready_for_each_policy_apart() {
    let none = || json!({});
    let rows: [Row; 5] = [
        ("none ready", "-", none(), &["unready", "unready"], "", "", false),
        ("one ready", "-", none(), &["unready", ""], "1", "", true),
        ("all leaving", "-", none(), &["leaving here", "leaving"], "01", "", true),
        ("all leaving, elsewhere", "-", both_local(), &["leaving", "leaving"], "01", "", true),
        (
            "one leaving here, one ready elsewhere",
            "-",
            external_local(),
            &["", "unready here", "leaving here", "leaving"],
            "0",
            "2",
            true,
        ),
    ];
    rows.into_iter().for_each(check);
}

#[test]
fn pods_get_the_hints_that_the_controller_would_write() {
    let node = |name: &str, zone: &str| {
        json!({"kind": "Node",
            "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}}})
    };
    let placed = |name: &str, ip: &str, node: &str| {
        let mut pod = pod(name, ip);
        pod["spec"]["nodeName"] = json!(node);
        pod
    };
    for (distribution, expected) in [
        (json!(null), "012"),
        (json!("PreferClose"), "01"),
        (json!("PreferSameZone"), "01"),
        (json!("PreferSameNode"), "0"),
    ] {
        let compiled = compiled([
            web(json!({"trafficDistribution": distribution})),
            node("localhost", "a"),
            node("near", "a"),
            node("far", "b"),
            placed("web-0", "10.0.0.0", "localhost"),
            placed("web-1", "10.0.0.1", "near"),
            placed("web-2", "10.0.0.2", "far"),
        ]);
        assert_eq!(places(&only_backend(&compiled).usable), expected, "{distribution}");
        assert_eq!(codes(&compiled), [], "{distribution}");
    }
}

#[test]
fn a_pod_that_names_no_node_runs_here() {
    let extra = json!({"type": "NodePort", "externalTrafficPolicy": "Local"});
    let mut elsewhere = pod("web-1", "10.0.0.1");
    elsewhere["spec"]["nodeName"] = json!("other");
    let compiled = compiled([web(extra), pod("web-0", "10.0.0.0"), elsewhere]);
    assert_eq!(places(&only_backend(&compiled).local), "0");
}
