//! Virtual addresses and node ports: who gets which, and who keeps it.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::*;

/// Compiles with what the compilation before left, as the driver does.
pub(super) fn after(before: &Compiled, values: impl IntoIterator<Item = Value>) -> Compiled {
    compile(&objects(values), &Settings::default(), &before.allocations, now())
}

pub(super) fn cluster_ips(compiled: &Compiled, name: &str) -> Vec<IpAddr> {
    let key = ObjectKey::new("default", name);
    compiled.allocations.cluster_ips.get(&key).cloned().unwrap_or_default()
}

fn plain(name: &str, extra: Value) -> Value {
    let mut spec = json!({"ports": [{"port": 80}]});
    spec.as_object_mut().expect("a map").extend(extra.as_object().expect("a map").clone());
    service(name, spec)
}

#[test]
fn a_named_cluster_ip_that_another_service_holds_stays_with_its_holder() {
    let first = compiled([plain("z", json!({}))]);
    let held = cluster_ips(&first, "z");
    let ip = held.first().expect("an address").to_string();
    // by name it comes first, and it asks for it: all the same it comes too late
    let second = after(&first, [plain("a", json!({"clusterIP": ip})), plain("z", json!({}))]);
    assert_eq!(cluster_ips(&second, "z"), held);
    let other = cluster_ips(&second, "a");
    assert!(other.len() == 1 && other != held, "{other:?}");
    assert_eq!(codes(&second), [(Code::AddressClash, "spec.clusterIP")]);
    let finding = second.report.findings.first().expect("a finding");
    assert!(finding.message.contains("is taken by Service default/z (in.yaml:2)"), "{finding}");
}

#[test]
fn of_two_services_that_name_one_cluster_ip_the_older_has_it() {
    let named = |name: &str, port: u16| {
        plain(name, json!({"clusterIP": "127.96.0.20", "ports": [{"port": port}]}))
    };
    let compiled = compiled([named("a", 80), named("b", 81)]);
    assert_eq!(cluster_ips(&compiled, "a"), [IpAddr::from([127, 96, 0, 20])]);
    assert_ne!(cluster_ips(&compiled, "b"), cluster_ips(&compiled, "a"));
    assert_eq!(codes(&compiled), [(Code::AddressClash, "spec.clusterIP")]);
}

#[test]
fn a_named_node_port_that_another_service_holds_stays_with_its_holder() {
    let node = |name: &str, port: Value| {
        service(name, json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}))
    };
    let first = compiled([node("z", json!(null))]);
    let held = *first.allocations.node_ports.values().next().expect("a port");
    let second = after(&first, [node("a", json!(held)), node("z", json!(null))]);
    let listeners = frontends(&second);
    let holder = format!("tcp://0.0.0.0:{held} default/z node-port");
    assert!(listeners.iter().any(|it| it.starts_with(&holder)), "{listeners:?}");
    assert_eq!(codes(&second), [(Code::AddressClash, "spec.ports[0].nodePort")]);
    let finding = second.report.findings.first().expect("a finding");
    assert!(finding.message.ends_with("is taken by Service default/z (in.yaml:2)"), "{finding}");
}

#[test]
fn tcp_and_udp_of_one_port_number_have_one_node_port() {
    let two = |second: Value| {
        let ports = json!([{"name": "t", "port": 53}, second]);
        service("dns", json!({"type": "NodePort", "ports": ports}))
    };
    let ports = |compiled: &Compiled| -> Vec<u16> {
        compiled.allocations.node_ports.values().copied().collect()
    };
    let both = compiled([two(json!({"name": "u", "port": 53, "protocol": "UDP"}))]);
    let given = ports(&both);
    assert!(given.len() == 2 && given.first() == given.get(1), "{given:?}");
    let named =
        compiled([two(json!({"name": "u", "port": 53, "protocol": "UDP", "nodePort": 30_053}))]);
    assert_eq!(ports(&named), [30_053, 30_053]);
    let apart = ports(&compiled([two(json!({"name": "u", "port": 54, "protocol": "UDP"}))]));
    assert_ne!(apart.first(), apart.get(1));
}
