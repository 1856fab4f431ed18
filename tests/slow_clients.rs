//! Clients that are slow on purpose (slowhttptest's four modes), and that nobody else notices them.

mod common;

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, SystemTime};

use common::backend::Backend;
use common::http::Client;
use common::{Block, PATIENCE, Site};

const MANIFESTS: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: all}
spec: {defaultBackend: {service: {name: echo, port: {number: 80}}}}
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

/// How many slow connections a mode opens.
const CONNECTIONS: usize = 400;
/// How many of them there are at once at least, with those that were cut off and those to come.
const MANY: usize = 200;
/// What nearly every request of others takes less than, with all modes and their endpoints on one
/// machine.
const SOON: Duration = Duration::from_secs(2);

/// slowhttptest, until it ends by itself or is dropped.
struct Attack(Child);

impl Attack {
    fn start(addr: SocketAddr, path: &str, mode: &[&str]) -> Self {
        let child = Command::new("slowhttptest")
            .args(mode)
            .args(["-c", &CONNECTIONS.to_string(), "-r", "200", "-p", "5"])
            .args(["-u", &format!("http://{addr}{path}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("slowhttptest is needed: apt-get install slowhttptest");
        Self(child)
    }

    /// What it has printed, once it has ended.
    fn report(mut self) -> String {
        let mut text = Vec::new();
        if let Some(mut out) = self.0.stdout.take() {
            std::io::Read::read_to_end(&mut out, &mut text).expect("it must be readable");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many connections of clients rutter has at this address (proc_pid_net(5): established, or
/// closed by the client alone).
fn held(addr: SocketAddr) -> usize {
    let SocketAddr::V4(v4) = addr else { panic!("an IPv4 address") };
    let wanted = format!("{:08X}:{:04X}", u32::from_le_bytes(v4.ip().octets()), v4.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the table of sockets");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let is_held = |line: &Vec<&str>| {
        line.get(1) == Some(&&*wanted) && matches!(line.get(3), Some(&("01" | "08")))
    };
    lines.filter(is_held).count()
}

/// Asks every few milliseconds, on a connection that is kept and on fresh ones, until the attack
/// is over; how long each answer took, and the most connections that there were.
fn ask_until(over: &Receiver<()>, addr: SocketAddr) -> (Vec<Duration>, usize) {
    let mut kept = Client::connect(addr);
    let (mut times, mut most) = (Vec::new(), 0);
    while let Err(RecvTimeoutError::Timeout) = over.recv_timeout(Duration::from_millis(20)) {
        let started = SystemTime::now();
        let response = match times.len() % 5 {
            0 => Client::connect(addr).get("a.test", "/"),
            _ => kept.get("a.test", "/"),
        };
        times.push(started.elapsed().unwrap_or_default());
        assert_eq!(response.status, 200, "{}", response.text());
        if times.len() % 10 == 0 {
            most = most.max(held(addr));
        }
    }
    (times, most)
}

/// Runs a mode to its end, for which slowhttptest gives this reason; of its connections there are so
/// many at once at least.
fn check(path: &str, mode: &[&str], end: &str, least: usize) {
    let block = Block::claim();
    let _backend = Backend::http(block.addr(130, 8080), "echo");
    let site = Site::start_in(block, MANIFESTS, |_| {});
    let addr = site.http();
    let (ended, over) = channel();
    let attack = Attack::start(addr, path, mode);
    let reader = std::thread::spawn(move || {
        let report = attack.report();
        drop(ended);
        report
    });
    let (mut times, most) = ask_until(&over, addr);
    let report = reader.join().expect("the report");
    assert!(report.contains(end), "{mode:?} did not end with {end:?}:\n{report}");
    assert!(!report.contains("mNO"), "{mode:?} found it unavailable:\n{report}");
    assert!(most >= least, "{mode:?} had only {most} connections at once");
    times.sort();
    let (count, worst) = (times.len(), times.last().copied().unwrap_or_default());
    let usual = times.get(count * 99 / 100).copied().unwrap_or(Duration::MAX);
    println!("{mode:?}: {count} requests of others, 99 % in {usual:?}, all in {worst:?}");
    assert!(count >= 20, "{mode:?}: only {count} requests of others");
    assert!(usual < SOON, "{mode:?}: 99 % in {usual:?}");
    wait_until_nothing_is_held(addr);
}

fn wait_until_nothing_is_held(addr: SocketAddr) {
    let (_never, pause) = channel::<()>();
    let since = SystemTime::now();
    while held(addr) > 0 {
        assert!(since.elapsed().unwrap_or_default() < PATIENCE, "{} are held", held(addr));
        let _ = pause.recv_timeout(Duration::from_millis(20));
    }
}

#[test]
fn heads_that_never_end_are_cut_off_and_disturb_nobody() {
    // a line every two seconds; a head has ten
    check("/", &["-H", "-i", "2", "-l", "40"], "No open connections left", MANY);
}

#[test]
fn bodies_that_trickle_disturb_nobody() {
    check(
        "/",
        &["-B", "-i", "3", "-s", "8192", "-x", "10", "-l", "20"],
        "Hit test time limit",
        MANY,
    );
}

#[test]
fn requests_for_thousands_of_ranges_disturb_nobody() {
    // each is answered at once
    check("/?size=100000", &["-R", "-a", "1", "-b", "3000", "-l", "10"], "Exit status", 0);
}

#[test]
fn responses_that_are_read_by_the_byte_disturb_nobody() {
    let reads = ["-X", "-k", "1", "-w", "512", "-y", "1024", "-n", "2", "-z", "32", "-l", "20"];
    check("/?size=4000000", &reads, "Hit test time limit", MANY);
}
