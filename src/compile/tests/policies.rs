//! What Services say about their traffic: health checks, node ports, external addresses.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::services::web;
use super::*;
use crate::compile::NodePortAddresses;
/// This node is 192.168.0.1, pods are in 10.1.0.0/16.
fn settings() -> Settings {
    Settings {
        node_ips: vec![IpAddr::from([192, 168, 0, 1])],
        pod_cidrs: vec!["10.1.0.0/16".parse().expect("a CIDR")],
        ..Settings::default()
    }
}

/// A load balancer with every kind of address, one endpoint here and one elsewhere.
fn compiled_with(extra: Value) -> Compiled {
    let mut service = web(json!({"type": "LoadBalancer", "selector": {},
                                 "externalIPs": ["127.9.9.9"]}));
    service["spec"]
        .as_object_mut()
        .expect("a map")
        .extend(extra.as_object().expect("a map").clone());
    service["status"] = json!({"loadBalancer": {"ingress": [{"ip": "5.5.5.5"}]}});
    let slice = json!({
        "kind": "EndpointSlice",
        "metadata": {"name": "web", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": 8080}],
        "endpoints": [{"addresses": ["10.1.0.1"], "nodeName": "localhost"},
                      {"addresses": ["10.1.0.2"], "nodeName": "other"}],
    });
    compile(&objects([service, slice]), &settings(), &Allocations::default(), now())
}

/// What each health check tells, by its socket.
fn health_checks(compiled: &Compiled) -> Vec<(String, usize)> {
    let listeners = compiled.snapshot.listeners.iter();
    listeners
        .filter_map(|(key, spec)| match &spec.serve {
            Serve::Health(check) => Some((key.to_string(), check.local_endpoints)),
            Serve::Frontend(_) | Serve::Http(_) | Serve::Tls(_) => None,
        })
        .collect()
}

#[test]
fn a_load_balancer_of_local_endpoints_tells_its_health() {
    let local =
        |port: Value| json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": port});
    let told = health_checks(&compiled_with(local(json!(32_000))));
    assert_eq!(told, [("tcp://0.0.0.0:32000".to_owned(), 1)]);
    assert_eq!(health_checks(&compiled_with(local(json!(null)))).len(), 1, "a port is allocated");
    assert_eq!(health_checks(&compiled_with(json!({}))), []);
    let nodes = json!({"type": "NodePort", "externalTrafficPolicy": "Local"});
    assert_eq!(health_checks(&compiled_with(nodes)), []);
}

/// As kube-proxy, which is two proxies, one a family.
#[test]
fn a_health_check_listens_in_the_families_of_its_service() {
    let addresses = ["192.168.0.1", "fd00::1"].map(|ip| ip.parse().expect("an address"));
    let settings =
        Settings { nodeport_addresses: NodePortAddresses::Only(addresses.to_vec()), ..settings() };
    let service = |families: Value| {
        service(
            "lb",
            json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                   "healthCheckNodePort": 32_000, "ipFamilies": families,
                   "ports": [{"port": 80, "nodePort": 30_080}]}),
        )
    };
    for (families, expected) in [
        (json!(["IPv4"]), vec!["tcp://192.168.0.1:32000"]),
        (json!(["IPv6"]), vec!["tcp://[fd00::1]:32000"]),
        (json!(["IPv4", "IPv6"]), vec!["tcp://192.168.0.1:32000", "tcp://[fd00::1]:32000"]),
    ] {
        let objects = objects([service(families)]);
        let compiled = compile(&objects, &settings, &Allocations::default(), now());
        let sockets: Vec<_> = health_checks(&compiled).into_iter().map(|(key, _)| key).collect();
        assert_eq!(sockets, expected);
    }
}

#[test]
fn an_allocated_health_port_stays() {
    let service = service(
        "lb",
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                                       "ports": [{"port": 80}]}),
    );
    let first = compiled([service.clone()]);
    let again = compile(&objects([service]), &Settings::default(), &first.allocations, now());
    assert_eq!(health_checks(&first), health_checks(&again));
    assert_eq!(health_checks(&first).len(), 1);
}

#[test]
fn a_load_balancer_without_allocated_node_ports_has_those_that_it_names() {
    for (allocate, named, expected) in [
        (json!(null), json!(null), true),
        (json!(false), json!(null), false),
        (json!(false), json!(30_080), true),
    ] {
        let ports = json!([{"port": 80, "targetPort": 8080, "nodePort": named}]);
        let extra = json!({"allocateLoadBalancerNodePorts": allocate, "ports": ports});
        let compiled = compiled_with(extra);
        let has = frontends(&compiled).iter().any(|it| it.contains(" node-port "));
        assert_eq!(has, expected, "{allocate} {named}");
    }
}

#[test]
fn external_addresses_can_be_switched_off() {
    let settings = Settings { external_ips: false, ..Settings::default() };
    let service = web(json!({"externalIPs": ["127.9.9.9"], "externalTrafficPolicy": "Local"}));
    let values = [service, pod("web-0", "10.0.0.1")];
    let off = compile(&objects(values.clone()), &settings, &Allocations::default(), now());
    assert_eq!(frontends(&off), ["tcp://127.96.0.20:80 default/web cluster-ip → 10.0.0.1:8080"]);
    assert_eq!(codes(&off), [(Code::NotCarried, "spec.externalIPs")]);
    assert_eq!(frontends(&compiled(values)).len(), 2);
}
