//! What hot reload must not cost: connections, requests, answers.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::backend::Backend;
use common::http::{self, Client};
use common::{Block, PATIENCE, Site};

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
spec: {clusterIP: NET.21, ports: [{port: 80}]}
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

fn start() -> (Site, [Backend; 2]) {
    let block = Block::claim();
    let backends =
        [Backend::tcp(block.addr(130, 7)), Backend::http(block.addr(131, 8080), "web-0")];
    (Site::start_in(block, MANIFESTS, |_| {}), backends)
}

/// An edit that changes other objects, valid or broken.
fn edit(place: usize, broken: bool) -> String {
    let good = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: other}}\nspec: {{clusterIP: NET.22, ports: \
         [{{port: {}}}]}}\n",
        1000 + place
    );
    if broken { format!("{good}---\nkind: Service\n  metadata: [{place}\n") } else { good }
}

fn echo(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).expect("the connection must live");
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer).expect("the connection must live");
    assert_eq!(answer, message);
}

/// A masked text frame of five bytes, and the server's unmasked echo of it (RFC 6455 section 5.2).
const FRAME: [u8; 11] = [0x81, 0x85, 0, 0, 0, 0, b'h', b'e', b'l', b'l', b'o'];
const FRAME_ECHOED: [u8; 7] = [0x81, 0x05, b'h', b'e', b'l', b'l', b'o'];

fn websocket(site: &Site) -> TcpStream {
    let mut client = Client::connect(site.http());
    client.send(
        b"GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: \
          websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: \
          dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    let response = client.response().expect("a response");
    assert_eq!(response.status, 101);
    assert_eq!(response.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client.into_stream()
}

fn hello(stream: &mut TcpStream) {
    stream.write_all(&FRAME).expect("the WebSocket must live");
    let mut answer = [0; FRAME_ECHOED.len()];
    stream.read_exact(&mut answer).expect("the WebSocket must live");
    assert_eq!(answer, FRAME_ECHOED);
}

#[test]
fn a_thousand_connections_survive_two_hundred_reloads() {
    let (site, _backends) = start();
    let vip = site.block.addr(20, 7);
    let mut sessions: Vec<TcpStream> =
        (0..500).map(|_| TcpStream::connect_timeout(&vip, PATIENCE).expect("a session")).collect();
    let mut sockets: Vec<TcpStream> = (0..500).map(|_| websocket(&site)).collect();
    for place in 0..200 {
        site.save("other.yaml", &edit(place, false));
        let (session, socket) = (&mut sessions[place % 500], &mut sockets[place * 7 % 500]);
        echo(session, b"between reloads");
        hello(socket);
    }
    assert!(site.status().generation > 200, "every edit must have been published");
    for session in &mut sessions {
        echo(session, b"still here");
    }
    for socket in &mut sockets {
        hello(socket);
    }
}

#[test]
fn no_request_of_100_000_fails_during_150_edits() {
    let (site, _backends) = start();
    let (done, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(site.http());
                while !done.load(Ordering::Relaxed) || served.load(Ordering::Relaxed) < 100_000 {
                    let response = client.get("a.test", "/");
                    assert_eq!(response.status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for place in 0..150 {
            site.save("other.yaml", &edit(place, place % 3 == 2));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(served.load(Ordering::Relaxed) >= 100_000);
}

#[test]
fn a_broken_file_changes_no_answer_and_is_shown() {
    let (site, _backends) = start();
    let before = site.status().generation;
    site.save("main.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: tcp\n");
    assert_eq!(http::get(site.http(), "a.test", "/").status, 200);
    assert_eq!(site.status().generation, before, "nothing may change");
    site.wait("the stale objects", |status| status.stale > 0);
    let told = http::get(site.admin(), &site.admin().to_string(), "/readyz?verbose");
    assert!(told.text().contains("stale"), "{}", told.text());
}

#[test]
fn a_removed_endpoint_gets_no_new_request_and_a_new_one_does() {
    let (site, _backends) = start();
    let next = Backend::http(site.block.addr(132, 8080), "web-1");
    let mut kept = Client::connect(site.http());
    assert_eq!(kept.get("a.test", "/x").json()["pod"], "web-0");
    site.save("main.yaml", &MANIFESTS.replace("NET.131", "NET.132"));
    for _ in 0..20 {
        assert_eq!(kept.get("a.test", "/x").json()["pod"], "web-1");
    }
    drop(next);
}
