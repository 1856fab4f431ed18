//! The end of the process: nothing that runs is cut, nothing new is taken.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::backend::Backend;
use common::http::{self, Client};
use common::{Block, PATIENCE, Site, until};

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: tcp}
spec: {clusterIP: NET.20, ports: [{port: 7}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: tcp, labels: {kubernetes.io/service-name: tcp}}
addressType: IPv4
endpoints: [{addresses: [NET.130]}]
ports: [{port: 7}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [NET.131]}]
ports: [{port: 8080}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
"#;

/// Only with endpoints on this node it wants traffic.
const BALANCED: &str = r#"
---
apiVersion: v1
kind: Service
metadata: {name: lb}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 32000, clusterIP: NET.21, ports: [{port: 7}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: lb, labels: {kubernetes.io/service-name: lb}}
addressType: IPv4
endpoints: [{addresses: [NET.130], nodeName: node-a}]
ports: [{port: 7}]
"#;

fn start() -> (Site, [Backend; 2]) {
    let block = Block::claim();
    let backends =
        [Backend::tcp(block.addr(130, 7)), Backend::http(block.addr(131, 8080), "web-0")];
    (Site::start_in(block, MANIFESTS, |_| {}), backends)
}

#[test]
fn sessions_and_requests_that_run_are_finished() {
    let (site, _backends) = start();
    let mut session =
        TcpStream::connect_timeout(&site.block.addr(20, 7), PATIENCE).expect("a session");
    session.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    session.write_all(b"a").expect("to be sent");
    session.read_exact(&mut [0]).expect("an echo");
    let mut slow = Client::connect(site.http());
    assert_eq!(slow.get("a.test", "/x").status, 200);
    slow.send(b"GET /x?delay=300 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let (http, vip) = (site.http(), site.block.addr(20, 7));
    site.terminate();
    let response = slow.response().expect("the request must be finished");
    assert_eq!(response.status, 200);
    session.write_all(b"b").expect("the session must live on");
    session.read_exact(&mut [0]).expect("the session must live on");
    drop(session);
    drop(slow);
    site.stop();
    assert!(TcpStream::connect(http).is_err(), "nothing may listen any more");
    assert!(TcpStream::connect(vip).is_err(), "nothing may listen any more");
}

/// The first answer that is not 200 any more.
fn told_after(mut ask: impl FnMut() -> http::Response) -> http::Response {
    let mut told = ask();
    until("the drain", || {
        told = ask();
        told.status != 200
    });
    told
}

#[test]
fn readiness_goes_off_when_the_drain_starts() {
    let (site, _backends) = start();
    let _session =
        TcpStream::connect_timeout(&site.block.addr(20, 7), PATIENCE).expect("a session");
    assert_eq!(site.ask("/readyz").status, 200);
    site.terminate();
    let told = told_after(|| site.ask("/readyz"));
    assert_eq!(told.status, 503);
}

#[test]
fn load_balancers_are_told_of_the_drain_until_its_end() {
    let block = Block::claim();
    let _backend = Backend::tcp(block.addr(130, 7));
    let site = Site::start_in(block, &format!("{MANIFESTS}{BALANCED}"), |_| {});
    let (health, vip) = (site.block.addr(2, 32000), site.block.addr(21, 7));
    assert_eq!(http::get(health, "any", "/").status, 200);
    let mut session = TcpStream::connect_timeout(&vip, PATIENCE).expect("a session");
    session.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    session.write_all(b"a").expect("to be sent");
    session.read_exact(&mut [0]).expect("an echo");
    site.terminate();
    let told = told_after(|| http::get(health, "any", "/"));
    assert_eq!(told.status, 503);
    let expected = serde_json::json!({"service": {"namespace": "default", "name": "lb"},
                                      "localEndpoints": 1, "serviceProxyHealthy": false});
    assert_eq!(told.json(), expected);
    assert_eq!(http::get(health, "any", "/").status, 503, "as long as sessions run");
    drop(session);
    site.stop();
    assert!(TcpStream::connect(health).is_err(), "nothing may listen any more");
}
