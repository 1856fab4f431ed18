//! gRPC: the interoperability tests of Go's own implementation, and a client in Python.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use tokio::time::Instant;

use crate::common::PATIENCE;
use crate::front::{Front, closed, run, tool};

/// The server of Go's interoperability tests.
struct Server {
    process: Child,
    addr: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let addr = closed();
        let process = Command::new(tool("grpc-interop-server"))
            .args(["-port", &addr.port().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("it must start");
        let begun = Instant::now();
        // it says nothing about when it listens
        while TcpStream::connect(addr).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the server does not listen");
            std::thread::yield_now();
        }
        Self { process, addr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Those of the cases that need no credentials.
const CASES: [&str; 14] = [
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

#[test]
fn go_passes_its_interoperability_tests_with_and_without_tls() {
    let server = Server::start();
    let front = Front::with_grpc(server.addr);
    let (ip, ca) = (front.site.http().ip().to_string(), front.ca());
    let client = tool("grpc-interop-client");
    let host = ["-server_host", &ip, "-server_host_override", "grpc.test"];
    let tls = ["-server_port", "443", "-use_tls", "-use_test_ca", "-ca_file", &ca];
    for case in CASES {
        run(&client, &[&host[..], &tls, &["-test_case", case]].concat());
    }
    // without TLS it has no way to name another host than the one that it connects to
    front.site.save("plain.yaml", &plain());
    for case in CASES {
        let plain = ["-server_host", &ip, "-server_port", "80", "-test_case", case];
        run(&client, &plain);
    }
}

/// Every other host is gRPC as well.
fn plain() -> String {
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: plain}\nspec:\n  \
     ingressClassName: rutter\n  defaultBackend: {service: {name: grpc, port: {number: 80}}}\n"
        .to_owned()
}

#[test]
fn python_calls_in_every_way_and_learns_what_failed() {
    let server = Server::start();
    let front = Front::with_grpc(server.addr);
    let ip = front.site.http().ip().to_string();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/grpc_client.py");
    run("/usr/bin/python3", &[script, &ip, &front.ca()]);
}
