//! What holds for any objects.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Compiles with what was held, as the driver does.
fn again(values: &[Value], held: &Allocations) -> Compiled {
    compile(&objects(values.iter().cloned()), &Settings::default(), held, now())
}

fn some_service(number: usize) -> Value {
    let kind = ["ClusterIP", "NodePort", "LoadBalancer"].get(number % 3);
    service(&format!("s{number}"), json!({"type": kind, "ports": [{"port": 80}]}))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_others_do_never_moves_an_allocation(steps in prop::collection::vec(0_usize..300, 1..12)) {
        let mut values: Vec<Value> = (1_000..1_020).map(some_service).collect();
        let first = again(&values, &Allocations::default());
        let mut held = first.allocations.clone();
        for step in steps {
            let other = some_service(step);
            match values.iter().position(|it| *it == other) {
                Some(place) => drop(values.remove(place)),
                None => values.push(other),
            }
            held = again(&values, &held).allocations;
            for (key, addresses) in &first.allocations.cluster_ips {
                prop_assert_eq!(held.cluster_ips.get(key), Some(addresses));
            }
            for (id, port) in &first.allocations.node_ports {
                prop_assert_eq!(held.node_ports.get(id), Some(port));
            }
        }
        let mut addresses: Vec<_> = held.cluster_ips.values().flatten().collect();
        addresses.sort();
        addresses.dedup();
        prop_assert_eq!(addresses.len(), held.cluster_ips.len(), "every address is given once");
    }

    #[test]
    fn the_order_of_arrival_changes_nothing(order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let values: Vec<Value> = (0..20).map(some_service).collect();
        let shuffled: Vec<Value> = order.iter().filter_map(|place| values.get(*place)).cloned().collect();
        let (one, two) = (again(&values, &Allocations::default()), again(&shuffled, &Allocations::default()));
        prop_assert_eq!(one.allocations, two.allocations);
    }

    #[test]
    fn nothing_panics_and_equal_input_gives_equal_output(
        mutations in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8)
    ) {
        let mut values = zoo();
        for (place, poison) in mutations {
            let mut leaves = Vec::new();
            for value in &mut values {
                leaves_of(value, &mut leaves);
            }
            let leaf = place.index(leaves.len());
            let poison = poisons().swap_remove(poison.index(poisons().len()));
            if let Some(leaf) = leaves.get_mut(leaf) {
                **leaf = poison;
            }
        }
        // A value of another type never gets past the decoder.
        let values: Vec<Value> = values.into_iter().filter(decodes).collect();
        let one = again(&values, &Allocations::default());
        prop_assert_eq!(&again(&values, &Allocations::default()), &one);
        prop_assert_eq!(again(&values, &one.allocations).snapshot, one.snapshot);
    }
}

/// One object of every kind, with every field that `compile` reads.
fn zoo() -> Vec<Value> {
    vec![
        service(
            "web",
            json!({
                "type": "LoadBalancer", "clusterIP": "127.96.0.20", "clusterIPs": ["127.96.0.20", "fd00::1"],
                "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack",
                "selector": {"app": "web"}, "externalIPs": ["127.9.9.9"], "loadBalancerIP": "127.8.8.8",
                "loadBalancerSourceRanges": ["10.0.0.0/8"], "sessionAffinity": "ClientIP",
                "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Cluster",
                "trafficDistribution": "PreferClose",
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080, "appProtocol": "h2c"},
                    {"name": "udp", "port": 53, "protocol": "UDP", "targetPort": 5353},
                ],
            }),
        ),
        service("db", json!({"clusterIP": "None", "ports": [{"port": 5432}]})),
        service("out", json!({"type": "ExternalName", "externalName": "example.org"})),
        pod("web-0", "10.0.0.1"),
        json!({"kind": "Node", "metadata": {"name": "n", "labels": {"topology.kubernetes.io/zone": "z"}}}),
        json!({"kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "db", "labels": {"kubernetes.io/service-name": "db"}},
            "endpoints": [{"addresses": ["10.0.0.2"], "hostname": "db-0"}], "ports": [{"port": 5432}]}),
        json!({"kind": "Endpoints", "metadata": {"name": "out"},
            "subsets": [{"addresses": [{"ip": "10.0.0.3"}], "ports": [{"name": "x", "port": 1}]}]}),
        json!({"kind": "IngressClass", "metadata": {"name": "c"}, "spec": {"controller": "x/y"}}),
        json!({"kind": "Secret", "metadata": {"name": "tls"}, "data": {"tls.crt": "eA==", "tls.key": "eA=="}}),
        ingress(
            "web",
            json!({
                "ingressClassName": "rutter", "defaultBackend": backend("db"),
                "tls": [{"hosts": ["a.test", "*.b.test"], "secretName": "tls"}],
                "rules": [{"host": "a.test", "http": {"paths": [
                    {"path": "/x", "pathType": "Prefix", "backend": backend("web")},
                    {"path": "/x", "pathType": "Exact", "backend": {"service": {"name": "web", "port": {"name": "http"}}}},
                ]}}],
            }),
        ),
    ]
}

fn poisons() -> Vec<Value> {
    let texts = [
        "",
        "None",
        "0",
        "a",
        "A.B",
        "*",
        "*.",
        "*.*.a",
        "é",
        "//",
        "/%2f",
        "::",
        "::1",
        "0.0.0.0",
        "255.255.255.255",
        "10.0.0.1:80",
        "-",
        "..",
        "Local",
        "IPv6",
        "UDP",
        "SCTP",
        "web",
        "http",
        "ExternalName",
        "NodePort",
        "rutter",
        "2020-01-01T00:00:00Z",
        "127.96.0.20",
    ];
    let numbers = [i64::MIN, -1, 0, 1, 80, 30_080, 65_535, 65_536, i64::MAX];
    let texts = texts.into_iter().map(Value::from);
    texts.chain(numbers.into_iter().map(Value::from)).chain([Value::Null]).collect()
}

fn leaves_of<'a>(value: &'a mut Value, leaves: &mut Vec<&'a mut Value>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if name != "kind" && name != "name" {
                    leaves_of(field, leaves);
                } else if name == "name" && !field.is_string() {
                    leaves.push(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| leaves_of(item, leaves)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => leaves.push(value),
    }
}

fn decodes(value: &Value) -> bool {
    let value = value.clone();
    match value["kind"].as_str() {
        Some("Service") => {
            serde_json::from_value::<crate::manifest::service::Service>(value).is_ok()
        }
        Some("Pod") => serde_json::from_value::<crate::manifest::pod::Pod>(value).is_ok(),
        Some("Node") => serde_json::from_value::<crate::manifest::core::Node>(value).is_ok(),
        Some("EndpointSlice") => {
            serde_json::from_value::<crate::manifest::endpoints::EndpointSlice>(value).is_ok()
        }
        Some("Endpoints") => {
            serde_json::from_value::<crate::manifest::endpoints::Endpoints>(value).is_ok()
        }
        Some("Ingress") => {
            serde_json::from_value::<crate::manifest::ingress::Ingress>(value).is_ok()
        }
        Some("IngressClass") => {
            serde_json::from_value::<crate::manifest::ingress::IngressClass>(value).is_ok()
        }
        Some("Secret") => serde_json::from_value::<crate::manifest::core::Secret>(value).is_ok(),
        _ => false,
    }
}
