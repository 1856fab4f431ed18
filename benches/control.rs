//! The control plane end to end: `cargo bench --bench control`.
//!
//! Prints how long it takes until 10,000 Services of two ports really listen (at most 2 s; fewer
//! where there are not descriptors for all), what a saved change of one endpoint among theirs costs
//! the whole process, how long a saved change takes to
//! be served by every worker with 1,000 and with 20,000 objects (median and p99 of 100 edits),
//! and the memory of each. A saved change counts as served when every worker has applied the
//! generation that holds it. The same for what must be effective at once: a grant that is revoked, a
//! certificate and an authority that are replaced; half of these must be served within 200 ms. The
//! idle demo must take at most 20 MiB.
//! `--quick` makes a tenth of everything, for the tests, and takes 24 MiB for the demo's.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};
use rutter::app::{App, Handle, Objects};
use rutter::config::{Args, Config};
use rutter::snapshot::Generation;
use tokio::time::Instant;

fn main() {
    let scale = if std::env::args().any(|arg| arg == "--quick") { 10 } else { 1 };
    services(10_000 / scale, 100 / scale, scale == 1);
    for objects in [1_000, 20_000] {
        edits(objects / scale, 100 / scale);
    }
    for (what, first, second) in [grants(), certificates(), authorities()] {
        takes_effect(what, &first, &second, 1_000 / scale, 100 / scale);
    }
    // a binary that was built fast is larger
    idle_demo(if scale == 1 { 20 } else { 24 });
}

/// Sockets of Services with two ports and two endpoints each, and what it costs that one endpoint
/// comes or goes.
fn services(wanted: usize, changes: usize, is_bound: bool) {
    let services = wanted.min(sockets_allowed() / 2);
    let dir = tempfile::tempdir().expect("a directory");
    for (place, names) in (0..services).collect::<Vec<_>>().chunks(100).enumerate() {
        let text: String = names.iter().map(|name| two_ports(*name) + &slice(*name, 2)).collect();
        write(dir.path(), place, &text);
    }
    let before = descriptors();
    let running = Running::start(dir.path());
    let (opened, took) = (descriptors() - before, running.opened_in);
    println!(
        "{services} Services of two ports: {opened} descriptors, sockets open {:.2} s after the \
         snapshot, {:.2} s after the start, {} MiB",
        took.as_secs_f64(),
        running.started.elapsed().as_secs_f64(),
        rss_mib("self"),
    );
    assert!(opened >= 2 * services, "every port must have a socket");
    assert!(!is_bound || took <= Duration::from_secs(2), "sockets must be open within 2 s");
    // in a file of its own: what is read is the file that was saved
    running.saves(dir.path(), services, &(two_ports(services) + &slice(services, 1)));
    let (used, started) = (cpu(), Instant::now());
    for change in 0..changes {
        let text = two_ports(services) + &slice(services, 2 - change % 2);
        running.saves(dir.path(), services, &text);
    }
    let each = (cpu() - used).as_secs_f64() * 1000.0 / changes as f64;
    let took = started.elapsed().as_secs_f64() * 1000.0 / changes as f64;
    println!("one endpoint more or less: {each:.1} ms of CPU (goal: 5), served after {took:.0} ms");
    assert!(!is_bound || each <= 5.0, "one endpoint must cost the whole process at most 5 ms");
    running.stop();
}

fn two_ports(place: usize) -> String {
    let ports = "[{name: http, port: 80}, {name: metrics, port: 9090}]";
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{place}}}\nspec: {{ports: {ports}}}\n"
    )
}

fn slice(place: usize, endpoints: usize) -> String {
    let (high, low) = (place / 250 % 250, place % 250);
    let endpoint = |number: usize| format!("{{addresses: [127.{}.{high}.{low}]}}", 100 + number);
    let endpoints: Vec<_> = (0..endpoints).map(endpoint).collect();
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s{place}, \
         labels: {{kubernetes.io/service-name: s{place}}}}}\naddressType: IPv4\nendpoints: [{}]\n\
         ports: [{{name: http, port: 8080}}, {{name: metrics, port: 9090}}]\n",
        endpoints.join(", ")
    )
}

/// How many sockets Services can have, with a reserve for everything else.
fn sockets_allowed() -> usize {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    usize::try_from(most - most / 4 - most / 20).unwrap_or(usize::MAX)
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("procfs").count()
}

/// What this process has used of all CPUs.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Latency of one edit among `objects` objects: a tenth Services, the rest their pods.
fn edits(objects: usize, count: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    let services = objects / 10;
    for place in 0..services {
        let pods: String = (0..9).map(|pod| self::pod(place, pod)).collect();
        write(dir.path(), place, &(service(place, 80) + &pods));
    }
    let running = Running::start(dir.path());
    let mut latencies: Vec<Duration> = (0..count)
        .map(|edit| {
            let place = edit % services;
            let pods: String = (0..9).map(|pod| self::pod(place, pod)).collect();
            let text = service(place, 1000 + edit) + &pods;
            running.saves(dir.path(), place, &text)
        })
        .collect();
    let (median, p99) = quantiles(&mut latencies);
    println!(
        "{objects} objects: saved → served {median} ms median, {p99} ms p99, {} MiB",
        rss_mib("self")
    );
    running.stop();
}

/// Latency from a saved file until what it takes back is taken back: goes back and forth between
/// two texts of a file, among `objects` others.
fn takes_effect(what: &str, first: &str, second: &str, objects: usize, count: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    for place in 0..objects {
        write(dir.path(), place, &service(place, 80));
    }
    write(dir.path(), objects, GATEWAY);
    write(dir.path(), objects + 1, first);
    let running = Running::start(dir.path());
    let mut latencies = Vec::with_capacity(count);
    for _ in 0..count {
        latencies.push(running.saves(dir.path(), objects + 1, second));
        running.saves(dir.path(), objects + 1, first);
    }
    let (median, p99) = quantiles(&mut latencies);
    println!("{what}: saved → effective {median} ms median, {p99} ms p99");
    assert!(median <= 200, "{what} must be effective within 200 ms");
    running.stop();
}

/// Median and 99th percentile, in milliseconds.
fn quantiles(latencies: &mut [Duration]) -> (u128, u128) {
    latencies.sort();
    let at = |share: usize| latencies[(latencies.len() * share / 100).min(latencies.len() - 1)];
    (at(50).as_millis(), at(99).as_millis())
}

/// A Gateway with a certificate of another namespace, a route to a backend of another namespace,
/// and a backend over TLS.
const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: rutter}
spec: {controllerName: rutter.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: front}
spec:
  gatewayClassName: rutter
  addresses: [{value: 127.99.0.1}]
  listeners:
  - {name: http, port: 18080, protocol: HTTP}
  - {name: https, port: 18443, protocol: HTTPS, tls: {certificateRefs: [{name: front}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: front}
spec:
  parentRefs: [{name: front}]
  rules:
  - {matches: [{path: {value: /granted}}], backendRefs: [{name: far, namespace: far, port: 80}]}
  - {matches: [{path: {value: /tls}}], backendRefs: [{name: s0, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: far}
spec: {selector: {app: far}, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: s0}
spec:
  targetRefs: [{group: '', kind: Service, name: s0}]
  validation: {hostname: s0.test, caCertificateRefs: [{group: '', kind: ConfigMap, name: ca}]}
";

/// What is measured, the text before and the text after.
type Change = (&'static str, String, String);

fn grants() -> Change {
    let grant = "
apiVersion: gateway.networking.k8s.io/v1
kind: ReferenceGrant
metadata: {name: far, namespace: far}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service}]
";
    ("a revoked grant", grant.to_owned(), "# revoked\n".to_owned())
}

fn certificates() -> Change {
    let [first, second] = [(); 2].map(|()| {
        let made = rcgen::generate_simple_self_signed(["front.test".to_owned()]).expect("a key");
        let indent = |pem: String| pem.replace('\n', "\n    ");
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: front}}\ntype: \
             kubernetes.io/tls\nstringData:\n  tls.crt: |\n    {}\n  tls.key: |\n    {}\n",
            indent(made.cert.pem()),
            indent(made.signing_key.serialize_pem()),
        )
    });
    ("a replaced certificate", first, second)
}

fn authorities() -> Change {
    let [first, second] = [(); 2].map(|()| {
        let made = rcgen::generate_simple_self_signed(["ca.test".to_owned()]).expect("a key");
        let pem = made.cert.pem().replace('\n', "\n    ");
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: ca}}\ndata:\n  ca.crt: |\n    {pem}\n")
    });
    ("a replaced authority", first, second)
}

struct Running {
    handle: Handle,
    started: Instant,
    /// From the first snapshot until every worker has applied it.
    opened_in: Duration,
    thread: std::thread::JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(dir: &Path) -> Self {
        let args = Args {
            manifests: vec![dir.display().to_string()],
            dns_listen: Some("off".into()),
            admin: Some("off".into()),
            http_port: Some("off".into()),
            https_port: Some("off".into()),
            log: Some("warn".into()),
            ..Args::default()
        };
        let config = Config::new(&args).expect("the options must be good");
        let started = Instant::now();
        let objects = Objects::Directory(config.manifests.clone());
        let app = App::build(config, objects).expect("it must start");
        let handle = app.handle();
        let thread = std::thread::spawn(move || app.run().expect("it must run"));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut running = Self { handle, started, opened_in: Duration::ZERO, thread, runtime };
        while running.handle.snapshot().load().generation < Generation(1) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let published = Instant::now();
        running.applied(Generation(1));
        running.opened_in = published.elapsed();
        running
    }

    fn applied(&self, generation: Generation) {
        let mut applied = self.handle.applied();
        self.runtime
            .block_on(applied.wait_for(|applied| *applied >= generation))
            .expect("it must still run");
    }

    /// Saves a text of a file that changes what is served: how long until it is.
    fn saves(&self, dir: &Path, place: usize, text: &str) -> Duration {
        // the status comes a moment after the workers have it
        let before = self.handle.snapshot().load().generation;
        let saved = Instant::now();
        write(dir, place, text);
        self.applied(Generation(before.0 + 1));
        saved.elapsed()
    }

    fn stop(self) {
        self.handle.terminate();
        self.thread.join().expect("it must end");
    }
}

fn service(place: usize, port: usize) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: s{place}}}\nspec: {{selector: {{app: \
         a{place}}}, ports: [{{port: {port}, targetPort: 8080}}]}}\n"
    )
}

fn pod(place: usize, pod: usize) -> String {
    let (high, low) = (place / 250 % 250, place % 250);
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p{place}-{pod}, labels: {{app: \
         a{place}}}}}\nstatus: {{podIP: 127.{}.{high}.{low}, phase: Running, conditions: [{{type: \
         Ready, status: \"True\"}}]}}\n",
        100 + pod
    )
}

/// Writes as an editor does: a new file, renamed into place.
fn write(dir: &Path, place: usize, text: &str) {
    let draft = dir.join(format!(".{place}.draft"));
    fs::write(&draft, text).expect("a file");
    fs::rename(draft, dir.join(format!("{place}.yaml"))).expect("a file in place");
}

/// Memory of the demo, once it serves: so many MiB at most.
fn idle_demo(most: u64) {
    let dir = tempfile::tempdir().expect("a directory");
    let [http, https, dns, admin] = free_ports().map(|port| port.to_string());
    let mut demo = Command::new(env!("CARGO_BIN_EXE_rutter"))
        .args(["demo", "--dir"])
        .arg(dir.path())
        .args(["--http-port", &http, "--https-port", &https, "--dns-port", &dns])
        .args(["--admin-port", &admin])
        .stdout(Stdio::null())
        .spawn()
        .expect("the demo");
    let is_ready = (0..400).any(|_| {
        std::thread::park_timeout(Duration::from_millis(25));
        ready(&admin).is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
    });
    let memory = rss_mib(&demo.id().to_string());
    demo.kill().and_then(|()| demo.wait()).expect("the demo must end");
    assert!(is_ready, "the demo does not serve");
    println!("the idle demo takes {memory} MiB");
    assert!(memory <= most, "{memory} MiB");
}

/// What the admin API says of readiness.
fn ready(admin: &str) -> Option<String> {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{admin}")).ok()?;
    let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Different ports, as free as they can be before somebody binds them.
fn free_ports() -> [u16; 4] {
    let sockets: [_; 4] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    sockets.map(|socket| socket.local_addr().expect("an address").port())
}

/// Resident memory of a process, in MiB, rounded up.
fn rss_mib(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("KiB");
    kib.div_ceil(1024)
}
