//! File descriptors and memory that run out: who is connected is served on as far as that goes, who
//! comes waits or is refused, and nothing spins.
//!
//! In processes of their own, whose limits are low.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::Block;
use tokio::time::Instant;

/// Open files of the process, of which it needs some itself.
const LIMIT: usize = 100;

struct Rutter {
    child: Child,
    _manifests: tempfile::TempDir,
}

impl Rutter {
    /// One worker, with these limits.
    fn start(block: &Block, limits: &str) -> Self {
        let net = block.prefix();
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("ingress.yaml"), INGRESS).expect("a file");
        let manifests = dir.path().to_str().expect("UTF-8");
        let script = format!(
            "ulimit -n {LIMIT} && exec {} run -m {manifests} --workers 1 --service-cidr {net}.0/26 \
             --ingress-address {net}.2 --node-ip {net}.2 --admin {net}.2:9901 \
             --dns-listen {net}.3:53 \
             --http-port 8080 --https-port off --limit {limits}",
            common::rutter().display(),
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("bash must run");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let is_serving = lines.by_ref().map_while(Result::ok).any(|line| line.contains("serving"));
        assert!(is_serving, "it must serve");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, _manifests: dir }
    }

    /// CPU seconds so far (proc(5)).
    fn cpu(&self) -> f64 {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it must run");
        let fields: Vec<&str> =
            stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        let ticks = |place: usize| fields[place].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / rustix::param::clock_ticks_per_second() as f64
    }
}

impl Drop for Rutter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks for what nobody serves; `false`: there is no answer within `patience`.
fn is_answered(client: &mut TcpStream, patience: Duration) -> bool {
    client.set_read_timeout(Some(patience)).expect("a time-out");
    if client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").is_err() {
        return false;
    }
    let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"no_route\n") {
        match client.read(&mut piece) {
            Ok(length @ 1..) => answer.extend_from_slice(&piece[..length]),
            Ok(_) | Err(_) => return false,
        }
    }
    true
}

/// For another host than the one that is asked for: rutter itself answers.
const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: other}
spec:
  ingressClassName: rutter
  rules:
    - host: other.test
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: web, port: {number: 80}}}
";

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn without_descriptors_the_connected_are_served_and_those_who_come_wait_their_turn() {
    let block = Block::claim();
    // the cap of connections would come first
    let rutter = Rutter::start(&block, "connections=off");
    let addr: SocketAddr = block.addr(2, 8080);
    let connect = || TcpStream::connect(addr).expect("the kernel must accept");
    let mut served = Vec::new();
    let mut waiting = loop {
        assert!(served.len() < LIMIT, "there are more connections than descriptors");
        let mut client = connect();
        match is_answered(&mut client, Duration::from_secs(2)) {
            true => served.push(client),
            false => break client,
        }
    };
    assert!(served.len() > LIMIT / 4, "{} connections", served.len());
    let (before, since) = (rutter.cpu(), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        for client in &mut served {
            assert!(is_answered(client, PATIENCE), "who is connected is served on");
        }
        let patience = Some(Duration::from_millis(500));
        waiting.set_read_timeout(patience).expect("a time-out");
        assert!(waiting.read(&mut [0; 64]).is_err(), "there is no descriptor for it");
    }
    let used = rutter.cpu() - before;
    assert!(used < 0.5, "{used} s of CPU within {:?}", since.elapsed());
    served.truncate(served.len() / 2);
    let mut answer = [0; 12];
    waiting.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    waiting.read_exact(&mut answer).expect("it must have its turn");
    assert_eq!(&answer, b"HTTP/1.1 404");
    assert!(is_answered(&mut connect(), PATIENCE), "and so must others");
}

/// The admin API's metrics.
fn metrics(block: &Block) -> String {
    let mut client = TcpStream::connect(block.addr(2, 9901)).expect("the admin API must answer");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let host = block.ip(2);
    let asked = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    client.write_all(asked.as_bytes()).expect("it must be taken");
    let mut text = String::new();
    client.read_to_string(&mut text).expect("metrics");
    text
}

/// Whether a name of the cluster is answered.
fn is_resolved(block: &Block) -> bool {
    let socket = UdpSocket::bind((block.ip(4), 0)).expect("an address");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in ["web", "default", "svc", "cluster", "local"] {
        query.push(u8::try_from(label.len()).expect("a label"));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(b"\x00\x00\x01\x00\x01");
    socket.send_to(&query, block.addr(3, 53)).expect("it must be sent");
    let mut answer = [0; 512];
    socket.recv(&mut answer).is_ok_and(|length| length > 12 && answer.starts_with(b"\x12\x34"))
}

#[test]
fn without_memory_connections_are_reset_and_dns_and_the_admin_api_go_on() {
    for (limits, is_served, level) in [("memory=1MiB", false, 3), ("memory=off", true, 0)] {
        let block = Block::claim();
        let _rutter = Rutter::start(&block, limits);
        let seen = format!("rutter_overload_level{{}} {level}.0\n");
        let begun = Instant::now();
        while !metrics(&block).contains(&seen) {
            assert!(begun.elapsed() < PATIENCE, "no {seen} in {}", metrics(&block));
        }
        // workers are told of it at the next look at the latest
        let answered = || {
            let client = TcpStream::connect(block.addr(2, 8080));
            client.is_ok_and(|mut client| is_answered(&mut client, PATIENCE))
        };
        while answered() != is_served {
            assert!(begun.elapsed() < PATIENCE, "{limits}");
        }
        assert!(is_resolved(&block), "{limits}");
        let shed = metrics(&block);
        let is_shed = !shed.contains("rutter_shed_total{what=\"connection\"} 0\n");
        assert_eq!(is_shed, !is_served, "{shed}");
    }
}
