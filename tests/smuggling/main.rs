//! Request smuggling: raw bytes in, and what real origins saw of them out (`limits-and-threats`, S1
//! to S13).
//!
//! The rows of the tables go through the whole program to nginx, Node, Go's net/http, Waitress,
//! Gunicorn, aiohttp and the built-in echo, each row in one write and once more byte by byte. No
//! origin may see another request than those that the access log has as forwarded, nor one of these
//! twice or not at all; and each row must end as its table says, so that refusing everything does
//! not pass.
//!
//! `tests/run.sh` installs the origins; a test that lacks one fails and says so.

#![allow(missing_docs, unreachable_pub, reason = "tests are no library")]

mod chunks;
#[path = "../common/mod.rs"]
mod common;
mod framing;
mod heads;
mod http2;
mod log;
mod origin;
mod relay;
mod row;
mod sender;
mod targets;
mod verdict;

use common::{Block, Site};
use origin::{Kind, Origin};
use relay::Relay;
use row::Row;
use sender::{Pace, connect, send};

/// Every path of every host leads to the relay in front of the origin.
const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {defaultBackend: {service: {name: web, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [NET.131]}]
"#;

/// Sends every row to this origin and judges what became of it.
fn check(kind: Kind) {
    let rows: Vec<Row> =
        [framing::rows(), chunks::rows(), heads::rows(), targets::rows(), http2::rows()].concat();
    let block = Block::claim();
    let (relayed, from) = (block.addr(131, 8080), block.ip(200));
    let origin = Origin::start(kind, block.addr(132, 8080));
    let relay = Relay::start(relayed, origin.addr);
    let logs = tempfile::tempdir().expect("a directory");
    let log = logs.path().join("access");
    let site = Site::start_in(block, MANIFESTS, |options| {
        options.set("access-log", log.display().to_string());
    });
    let mut sent = Vec::new();
    let mut port = 2000;
    for pace in [Pace::AtOnce, Pace::ByteByByte] {
        for row in &rows {
            let received = send(row, pace, connect(from, &mut port, site.http()));
            sent.push(verdict::Sent { row, pace, port, received });
        }
    }
    site.stop();
    let answers = relay.finish();
    drop(origin);
    let failures = verdict::judge(&sent, &log::read(&log), &origin::seen(kind, &answers));
    assert!(failures.is_empty(), "{kind:?}:\n{}", failures.join("\n"));
}

#[test]
fn nginx_sees_what_is_logged_and_nothing_else() {
    check(Kind::Nginx);
}

#[test]
fn node_sees_what_is_logged_and_nothing_else() {
    check(Kind::Node);
}

#[test]
fn go_sees_what_is_logged_and_nothing_else() {
    check(Kind::Go);
}

#[test]
fn waitress_sees_what_is_logged_and_nothing_else() {
    check(Kind::Waitress);
}

#[test]
fn gunicorn_sees_what_is_logged_and_nothing_else() {
    check(Kind::Gunicorn);
}

#[test]
fn aiohttp_sees_what_is_logged_and_nothing_else() {
    check(Kind::Aiohttp);
}

#[test]
fn the_echo_sees_what_is_logged_and_nothing_else() {
    check(Kind::Echo);
}
