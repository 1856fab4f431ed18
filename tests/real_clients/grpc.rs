//! gRPC: the interoperability tests of Go's own implementation, and a client in Python.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use tokio::time::Instant;

use crate::common::PATIENCE;
use crate::front::{Front, run, tool};

/// The server of Go's interoperability tests.
struct Server {
    process: Child,
    addr: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let mut process = Command::new(tool("grpc-interop-server"))
            .args(["-port", "0"])
            .stderr(Stdio::null())
            .spawn()
            .expect("it must start");
        let begun = Instant::now();
        // it says neither that it listens nor where
        let port = loop {
            if let Some(port) = listening(process.id()) {
                break port;
            }
            let ended = process.try_wait().expect("its state");
            assert!(ended.is_none(), "the server ended: {ended:?}");
            assert!(begun.elapsed() < PATIENCE, "the server does not listen");
            std::thread::yield_now();
        };
        Self { process, addr: (Ipv4Addr::LOCALHOST, port).into() }
    }
}

/// The port where a process listens on every address, as `/proc` tells it (proc_pid_net(5)).
fn listening(process: u32) -> Option<u16> {
    const LISTEN: &str = "0A";
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let links = links.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let sockets: Vec<_> = links.map(|link| link.display().to_string()).collect();
    // one of the two may be missing, where a kernel has only one family
    let tables =
        ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("/proc/{process}/net/{name}")));
    let tables: String = tables.into_iter().flatten().collect();
    tables.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
        let (_, port) = local.rsplit_once(':')?;
        let owned = state == LISTEN && sockets.contains(&format!("socket:[{inode}]"));
        owned.then(|| u16::from_str_radix(port, 16).ok())?
    })
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
