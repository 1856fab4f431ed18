//! Clients behind proxies: who is believed what, over real sockets.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use common::backend::Backend;
use common::http::seen;
use common::{Block, Options, PATIENCE, Site};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

const MANIFESTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec: {ingressClassName: rutter, defaultBackend: {service: {name: echo, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {clusterIP: NET.20, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: echo, labels: {kubernetes.io/service-name: echo}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [NET.130]}]
";

/// The proxy is NET.10; everybody else is a stranger.
fn site(change: impl FnOnce(&mut Options)) -> (Site, Backend) {
    let block = Block::claim();
    let pod = Backend::http(block.addr(130, 8080), "web");
    let proxy = block.ip(10).to_string();
    let site = Site::start_in(block, MANIFESTS, |options| {
        options.set("trusted-proxies", proxy);
        change(options);
    });
    (site, pod)
}

/// What comes back for bytes that are sent from an address: nothing, if the connection is reset.
fn exchange(site: &Site, from: u8, bytes: &[u8]) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(site.block.ip(from), 0).into()).expect("loopback can be bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut answer = Vec::new();
    if let Err(error) = socket.connect(&site.http().into()) {
        // the reset may come before the system tells that there is a connection
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "a connection");
        return String::new();
    }
    let mut stream = TcpStream::from(socket);
    let _ = stream.write_all(bytes).and_then(|()| stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// What the endpoint was told, by one request from an address.
fn told(site: &Site, from: u8, before: &[u8], fields: &str) -> Value {
    let head = format!("GET /x HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n{fields}\r\n");
    let answer = exchange(site, from, &[before, head.as_bytes()].concat());
    let (_, body) =
        answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

const FIELDS: &str = "X-Forwarded-For: 198.51.100.1, 203.0.113.9\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-Host: shop.test\r\nX-Real-IP: 198.51.100.1\r\nForwarded: for=1.1.1.1\r\n";

#[test]
fn a_trusted_proxy_is_believed_who_its_client_is_and_a_stranger_is_not() {
    let (site, _pod) = site(|_| {});
    let (proxy, stranger) = (site.block.ip(10).to_string(), site.block.ip(11).to_string());
    let told_by = |from| told(&site, from, b"", FIELDS);
    let row = |answer: &Value| {
        [
            "x-forwarded-for",
            "x-real-ip",
            "x-forwarded-proto",
            "x-forwarded-port",
            "x-forwarded-host",
            "forwarded",
        ]
        .map(|name| seen(answer, name).join(";"))
    };
    let by_proxy = format!("203.0.113.9, {proxy}");
    assert_eq!(row(&told_by(10)), [&*by_proxy, "203.0.113.9", "https", "443", "shop.test", ""]);
    assert_eq!(row(&told_by(11)), [&*stranger, &stranger, "http", "80", "h.test", ""]);
}

#[test]
fn a_port_with_the_proxy_protocol_takes_connections_of_trusted_proxies_only() {
    let (site, _pod) = site(|options| options.set("proxy-protocol", "80"));
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n";
    let mut binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    binary.extend([203, 0, 113, 9, 192, 0, 2, 1, 0x12, 0x67, 0, 80]);
    for header in [&line[..], &binary] {
        let answer = told(&site, 10, header, FIELDS);
        // who came by the header is a stranger
        assert_eq!(seen(&answer, "x-forwarded-for"), ["203.0.113.9"]);
        assert_eq!(seen(&answer, "x-forwarded-proto"), ["http"]);
    }
    let local = told(&site, 10, b"PROXY UNKNOWN\r\n", "");
    assert_eq!(seen(&local, "x-real-ip"), [site.block.ip(10).to_string()]);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for (from, before) in [(11, &line[..]), (11, b""), (10, b""), (10, b"PROXY TCP4 x y 1 1\r\n")] {
        let sent = [before, request.as_bytes()].concat();
        assert_eq!(exchange(&site, from, &sent), "", "from {from}: {before:?}");
    }
}

#[test]
fn curl_comes_by_the_proxy_protocol() {
    let (site, _pod) = site(|options| options.set("proxy-protocol", "80"));
    let url = format!("http://{}/x", site.http());
    let from = site.block.ip(10).to_string();
    let curl = |more: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "10", "--interface", &from]).args(more).arg(&url);
        command.output().expect("curl")
    };
    let output = curl(&["--haproxy-protocol"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(seen(&answer, "x-real-ip"), [from.as_str()]);
    assert!(!curl(&[]).status.success(), "without the header it is reset");
}
