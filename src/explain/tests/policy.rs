//! Policies, and addresses that nobody answers at.

use super::*;

const POLICIES: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: lb}
spec: {type: LoadBalancer, clusterIP: 127.96.0.30, externalTrafficPolicy: Local, internalTrafficPolicy: Local, loadBalancerSourceRanges: [127.0.0.0/24], healthCheckNodePort: 32000, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 127.5.0.1}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: lb, labels: {kubernetes.io/service-name: lb}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [10.0.0.1], nodeName: localhost, zone: a, hints: {forZones: [{name: a}]}}
- {addresses: [10.0.0.2], nodeName: other, zone: a, hints: {forZones: [{name: a}]}}
- {addresses: [10.0.0.3], nodeName: far, zone: b, hints: {forZones: [{name: b}]}}
---
apiVersion: v1
kind: Node
metadata: {name: localhost, labels: {topology.kubernetes.io/zone: a}}
"#;

#[test]
fn policies_are_told_for_the_client_that_asks() {
    let told = |url: &str, from: Option<&str>| ask_of(POLICIES, &[url], from);
    assert_eq!(
        told("tcp://127.5.0.1:80", Some("127.0.0.9")),
        "\
tcp://127.5.0.1:80

frontend: tcp://127.5.0.1:80 is the load-balancer of Service default/lb
    at shop.yaml:2

source ranges: 127.0.0.9 may connect
    at shop.yaml:2
  + 127.0.0.0/24: it has 127.0.0.9
  - 127.5.0.1/32: 127.0.0.9 is outside

policy: external Local: 127.0.0.9 is outside, and gets endpoints of this node only
    at shop.yaml:2

endpoint: the only one that can take new work on this node
  + 10.0.0.1:8080: ready, node localhost, zone a (shop.yaml:8)
  - 10.0.0.2:8080: ready, but not on this node, node other, zone a (shop.yaml:8)
  - 10.0.0.3:8080: ready, but not on this node, node far, zone b (shop.yaml:8)

source address: an address of this node, since it is rutter that connects (kube-proxy would keep \
         127.0.0.9)

it goes to an endpoint of default/lb:80/tcp
"
    );
    let by_hints = told("tcp://127.5.0.1:80", Some("127.0.0.1"));
    assert!(
        by_hints.contains("127.0.0.1 is this node, and gets endpoints of every node"),
        "{by_hints}"
    );
    assert!(by_hints.contains("endpoint: one of 2 in this zone"), "{by_hints}");
    let far = "- 10.0.0.3:8080: ready, but its hints are not for this zone, node far, zone b";
    assert!(by_hints.contains(far), "{by_hints}");
    let end = "an address of this node (kube-proxy too would masquerade 127.0.0.1)\n";
    assert!(by_hints.contains(end), "{by_hints}");
    let itself = told("tcp://127.5.0.1:80", Some("127.5.0.1"));
    assert!(itself.contains("127.5.0.1 is this node, and gets"), "{itself}");
    let pod = told("tcp://127.5.0.1:80", Some("127.97.0.9"));
    assert!(pod.contains("127.97.0.9 is a pod, and gets endpoints of every node"), "{pod}");
    let stranger = told("tcp://127.5.0.1:80", Some("203.0.113.9"));
    assert!(stranger.contains("203.0.113.9 is in none of these ranges"), "{stranger}");
    let end = "the connection is reset at once: source_not_allowed\n";
    assert!(stranger.ends_with(end), "{stranger}");
    let internal = told("tcp://127.96.0.30:80", None);
    assert!(internal.contains("internal Local: endpoints of this node only"), "{internal}");
    let health = told("tcp://127.0.0.1:32000", None);
    let end = "load balancers get 200: 1 ready endpoints on this node\n";
    assert!(health.ends_with(end), "{health}");
}

/// A Service with and without endpoints, beside Ingress on every address.
const REFUSING: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {type: NodePort, clusterIP: 127.96.0.40, ports: [{name: a, port: 80, nodePort: 30080}, {name: b, port: 81, nodePort: 30081}, {name: u, port: 81, protocol: UDP}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec: {defaultBackend: {service: {name: empty, port: {number: 80}}}}
"#;

fn ask_everywhere(words: &[&str]) -> String {
    let mut objects = Objects::default();
    for (object, origin) in decode("shop.yaml", REFUSING).objects {
        objects.apply(&Sourced { object, origin, stale: false });
    }
    let settings = Settings { host_ips: vec![[192, 0, 2, 7].into()], ..Settings::default() };
    let compiled = compile(&objects, &settings, &Allocations::default(), UNIX_EPOCH);
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let question = Question::parse(&words, &[], None).expect("a question");
    explain(&compiled.snapshot, &compiled.report.findings, &question, UNIX_EPOCH).to_string()
}

#[test]
fn what_clients_see_depends_on_whether_there_is_a_socket() {
    for (url, end) in [
        // Ingress has port 80 everywhere, so that this one keeps its socket
        ("tcp://127.96.0.40:80", "the connection is reset at once: no_ready_endpoint\n"),
        ("tcp://127.96.0.40:81", "the connection is refused at once: no_ready_endpoint\n"),
        ("udp://127.96.0.40:81", "the datagram is refused at once: no_ready_endpoint\n"),
        ("tcp://127.96.0.40:30081", "the client is refused\n"),
        ("tcp://127.96.0.77:30081", "the client is refused\n"),
        ("tcp://127.0.0.1:30081", "the connection is refused at once: no_ready_endpoint\n"),
    ] {
        let told = ask_everywhere(&[url]);
        assert!(told.ends_with(end), "{told}");
    }
}

#[test]
fn a_listener_on_every_address_is_not_named_for_those_that_are_none_of_the_node() {
    let told = ask_everywhere(&["tcp://127.0.0.1:80"]);
    assert!(told.contains("tcp://0.0.0.0:80 is the HTTP listener"), "{told}");
    assert!(ask_everywhere(&["tcp://192.0.2.7:80"]).contains("is the HTTP listener"));
    let told = ask_everywhere(&["tcp://127.96.0.77:80"]);
    let end = "tcp://0.0.0.0:80 has the port, but 127.96.0.77 is virtual; the connection is reset \
               at once: no_service\n";
    assert!(told.ends_with(end), "{told}");
    let told = ask_everywhere(&["tcp://8.8.8.8:80"]);
    assert!(told.contains("8.8.8.8 is none that is known"), "{told}");
    assert!(told.ends_with("it does not come to rutter\n"), "{told}");
    let told = ask_everywhere(&["http://127.96.0.77/"]);
    assert!(told.contains("127.96.0.77 is virtual: only Services answer there"), "{told}");
    assert!(told.ends_with("the client cannot connect\n"), "{told}");
}

#[test]
fn what_an_endpoint_is_told_of_the_client_is_told() {
    let annotated = "{name: lb, annotations: {rutter.dev/proxy-protocol: v2}}\nspec";
    let manifests = POLICIES.replacen("{name: lb}\nspec", annotated, 1);
    let told = ask_of(&manifests, &["tcp://127.5.0.1:80"], Some("127.0.0.9"));
    let step = "client address: PROXY protocol v2 tells the endpoint of 127.0.0.9\n";
    assert!(told.contains(step), "{told}");
}
