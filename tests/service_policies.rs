//! What Services say about their traffic, over real sockets: who stays where, who gets which
//! endpoints, who may come.

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};

use common::backend::Backend;
use common::http;
use common::{Block, PATIENCE, Site};

/// Two pods of one Service, `here` on this node and `far` on another.
const PODS: &str = "\
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints:
- {addresses: [NET.130], nodeName: node-a, conditions: {ready: true}}
- {addresses: [NET.131], nodeName: node-b}
";

fn service(spec: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{clusterIP: NET.20, \
         {spec}}}\nstatus: {{loadBalancer: {{ingress: [{{ip: NET.70}}]}}}}\n"
    )
}

fn pods(block: &Block) -> [Backend; 2] {
    [Backend::http(block.addr(130, 8080), "here"), Backend::http(block.addr(131, 8080), "far")]
}

/// Which pod answers a client of this address; `None`: none does.
fn ask(from: IpAddr, addr: SocketAddr) -> Option<String> {
    let mut stream = http::connect_from(from, addr).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.trim().to_owned())
}

#[test]
fn a_client_stays_with_its_pod_by_every_address_and_worker() {
    let block = Block::claim();
    let _pods = pods(&block);
    let sticky = "type: NodePort, sessionAffinity: ClientIP, ports: [{port: 80, nodePort: 30080}]";
    let site = Site::start_in(block, &(service(sticky) + PODS), |_| {});
    let ways = [site.block.addr(20, 80), site.block.addr(2, 30080)];
    let mut seen = std::collections::BTreeSet::new();
    for last in 140..156 {
        let from = site.block.ip(last);
        let first = ask(from, ways[0]).expect("an answer");
        for way in ways.iter().cycle().take(6) {
            assert_eq!(ask(from, *way).as_ref(), Some(&first), "{from}");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "clients are spread");
    site.save("main.yaml", &(service(sticky) + &PODS.replace("NET.130", "NET.131")));
    assert_eq!(ask(site.block.ip(140), ways[0]).as_deref(), Some("far"), "the other is gone");
}

const LOCAL: &str = "type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 32000, \
                     loadBalancerSourceRanges: [NET.0/27, NET.128/26], ports: [{port: 80}]";

#[test]
fn a_load_balancer_keeps_to_its_node_and_its_source_ranges() {
    let block = Block::claim();
    let _pods = pods(&block);
    let site = Site::start_in(block, &(service(LOCAL) + PODS), |_| {});
    let (outside, stranger, pod) = (site.block.ip(9), site.block.ip(40), site.block.ip(140));
    let balanced = site.block.addr(70, 80);
    let health = site.block.addr(2, 32000);
    for _ in 0..10 {
        assert_eq!(ask(outside, balanced).as_deref(), Some("here"));
        assert_eq!(ask(stranger, balanced), None);
    }
    let cluster_ip = site.block.addr(20, 80);
    for (from, addr) in [(pod, balanced), (stranger, cluster_ip)] {
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < 2 {
            seen.insert(ask(from, addr).expect("an answer"));
        }
    }
    let healthy = http::get(health, "any", "/whatever");
    assert_eq!(healthy.status, 200);
    assert_eq!(healthy.header("x-load-balancing-endpoint-weight"), Some("1"));
    let expected = serde_json::json!({"service": {"namespace": "default", "name": "web"},
                                      "localEndpoints": 1, "serviceProxyHealthy": true});
    assert_eq!(healthy.json(), expected);

    let unready = PODS.replace("ready: true", "ready: false, serving: true, terminating: true");
    site.save("main.yaml", &(service(LOCAL) + &unready));
    assert_eq!(http::get(health, "any", "/").status, 503, "terminating does not count");
    assert_eq!(ask(outside, balanced).as_deref(), Some("here"), "but it serves");

    let gone = PODS.replace("nodeName: node-a", "nodeName: node-c");
    site.save("main.yaml", &(service(LOCAL) + &gone));
    assert_eq!(ask(outside, balanced), None, "no pod is here");
    assert!(ask(pod, balanced).is_some(), "pods get those of other nodes");
}

#[test]
fn what_a_service_says_changes_live_and_cuts_nothing() {
    let block = Block::claim();
    let _pods = pods(&block);
    let ports = "ports: [{port: 80, nodePort: 30080}]";
    let sticky = format!("type: NodePort, sessionAffinity: ClientIP, {ports}");
    let site = Site::start_in(block, &(service(&sticky) + PODS), |_| {});
    let (client, cluster_ip) = (site.block.ip(140), site.block.addr(20, 80));
    let node_port = site.block.addr(2, 30080);
    let mut old = http::Client::connect(cluster_ip);
    let pod = old.get("any", "/x").json()["pod"].clone();
    let first = ask(client, node_port).expect("an answer");
    assert_eq!(ask(client, cluster_ip), Some(first));

    let save = |spec: &str| site.save("main.yaml", &(service(spec) + PODS));
    save(&format!("type: NodePort, {ports}"));
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        seen.insert(ask(client, cluster_ip).expect("an answer"));
    }
    save("type: ClusterIP, internalTrafficPolicy: Local, ports: [{port: 80}]");
    assert_eq!(ask(client, node_port), None, "a ClusterIP has no node port");
    assert_eq!(ask(client, cluster_ip).as_deref(), Some("here"));
    save("type: ExternalName, externalName: example.org, ports: [{port: 80}]");
    assert_eq!(ask(client, cluster_ip), None, "an ExternalName has no address");
    save(&format!("type: NodePort, {ports}"));
    assert!(ask(client, cluster_ip).is_some() && ask(client, node_port).is_some());
    assert_eq!(old.get("any", "/x").json()["pod"], pod, "what was connected stays");
}

#[test]
fn the_policy_of_a_virtual_address_keeps_clients_on_their_node() {
    let block = Block::claim();
    let _pods = pods(&block);
    let local = "internalTrafficPolicy: Local, ports: [{port: 80}]";
    let site = Site::start_in(block, &(service(local) + PODS), |_| {});
    for _ in 0..10 {
        assert_eq!(ask(site.block.ip(140), site.block.addr(20, 80)).as_deref(), Some("here"));
    }
    site.save("main.yaml", &(service("ports: [{port: 80}]") + PODS));
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 2 {
        seen.insert(ask(site.block.ip(140), site.block.addr(20, 80)).expect("an answer"));
    }
}
