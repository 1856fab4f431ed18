//! Who gets which endpoints by which address, and who may come at all.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::services::web;
use super::*;
use crate::snapshot::Exposure;

/// This node is 192.168.0.1, pods are in 10.1.0.0/16.
fn settings() -> Settings {
    Settings {
        node_ips: vec![IpAddr::from([192, 168, 0, 1])],
        pod_cidrs: vec!["10.1.0.0/16".parse().expect("a CIDR")],
        ..Settings::default()
    }
}

const POD: &str = "10.1.0.9";
const NODE: &str = "192.168.0.1";
const OUTSIDE: &str = "203.0.113.9";

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

fn frontend(compiled: &Compiled, exposure: Exposure) -> Arc<Frontend> {
    let mut frontends = compiled.snapshot.listeners.values().flat_map(|it| it.serve.frontends());
    frontends.find(|it| it.exposure == exposure).expect("a frontend").clone()
}

/// The masquerade table of services.md, as far as it says who gets which endpoints: `all`, or
/// those of this node, or nobody (`-`).
#[test]
fn a_client_gets_the_endpoints_of_its_policy() {
    let (internal, external) = ("internalTrafficPolicy", "externalTrafficPolicy");
    let outside = [Exposure::NodePort, Exposure::LoadBalancer, Exposure::ExternalIp];
    for (policies, client, cluster_ip, others) in [
        (json!({}), POD, "all", "all"),
        (json!({}), NODE, "all", "all"),
        (json!({}), OUTSIDE, "all", "all"),
        (json!({external: "Local"}), POD, "all", "all"),
        (json!({external: "Local"}), NODE, "all", "all"),
        (json!({external: "Local"}), "127.0.0.1", "all", "all"),
        (json!({external: "Local"}), OUTSIDE, "all", "here"),
        (json!({internal: "Local"}), POD, "here", "all"),
        (json!({internal: "Local"}), NODE, "here", "all"),
        (json!({internal: "Local"}), OUTSIDE, "here", "all"),
        (json!({internal: "Local", external: "Local"}), POD, "here", "all"),
        (json!({internal: "Local", external: "Local"}), OUTSIDE, "here", "here"),
    ] {
        let compiled = compiled_with(policies.clone());
        assert_eq!(codes(&compiled).iter().filter(|it| it.0 == Code::NotCarried).count(), 0);
        let given = |exposure| {
            let frontend = frontend(&compiled, exposure);
            let backend = frontend.shares[0].backend().expect("a backend");
            let ip: IpAddr = client.parse().expect("an address");
            match frontend.endpoints(backend, ip) {
                [one] if one.id.ip() == IpAddr::from([10, 1, 0, 1]) => "here",
                [_, _] => "all",
                _ => "-",
            }
        };
        assert_eq!(given(Exposure::ClusterIp), cluster_ip, "{policies} {client}");
        for exposure in outside {
            assert_eq!(given(exposure), others, "{policies} {client} {exposure}");
        }
    }
}

#[test]
fn source_ranges_limit_the_load_balancers_address_and_nothing_else() {
    for (ranges, client, expected) in [
        (json!([]), OUTSIDE, true),
        (json!(["203.0.113.0/24"]), OUTSIDE, true),
        (json!([" 203.0.113.0/24 "]), OUTSIDE, true),
        (json!(["203.0.113.0/25", "198.51.100.0/24"]), "198.51.100.1", true),
        (json!(["198.51.100.0/24"]), OUTSIDE, false),
        // pods and the node are no exception
        (json!(["198.51.100.0/24"]), POD, false),
        (json!(["198.51.100.0/24"]), NODE, false),
        // the node may come by the address that it has of the load balancer
        (json!(["192.168.0.0/24"]), NODE, true),
        (json!(["192.168.0.0/24"]), "5.5.5.5", true),
        (json!(["198.51.100.0/24"]), "5.5.5.5", false),
        (json!(["0.0.0.0/0", "198.51.100.0/24"]), OUTSIDE, true),
        // ranges of the other family say nothing about this one
        (json!(["2001:db8::/32"]), OUTSIDE, true),
        (json!(["2001:db8::/32", "198.51.100.0/24"]), OUTSIDE, false),
        (json!(["203.0.113/24"]), OUTSIDE, false),
    ] {
        let compiled = compiled_with(json!({"loadBalancerSourceRanges": ranges}));
        let ip: IpAddr = client.parse().expect("an address");
        let admits = |exposure| frontend(&compiled, exposure).admits(ip);
        assert_eq!(admits(Exposure::LoadBalancer), expected, "{ranges} {client}");
        for exposure in [Exposure::ClusterIp, Exposure::NodePort, Exposure::ExternalIp] {
            assert!(admits(exposure), "{ranges} {client} {exposure}");
        }
    }
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
