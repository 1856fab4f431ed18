//! CPU per request against HAProxy and nginx, in the same run: `cargo bench --bench peers`.
//!
//! Every proxy has one thread on CPU 0; load (`wrk`) and the backend (`rutter echo`) are on
//! CPU 1. All of them route by host and path and write an access log to a file. A round runs the
//! proxies one after the other; what counts is the median over rounds of the ratio *within* a
//! round, because the speed of a shared machine drifts by more than the differences.
//!
//! Needs `haproxy`, `nginx`, `wrk` and `taskset` (Debian packages haproxy, nginx-light, wrk,
//! util-linux) and two CPUs. Arguments: `--rounds N` (5), `--seconds N` (4), `--connections N`
//! (64), `--max-ratio R` (exit 1 if the ratio to HAProxy is above).

use std::error::Error;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let options = Options::from_args();
    let dir = std::env::temp_dir().join(format!("rutter-peers-{}", std::process::id()));
    fs::create_dir_all(dir.join("manifests"))?;
    let backend = Backend::start()?;
    let proxies =
        [rutter(&dir, backend.port)?, haproxy(&dir, backend.port)?, nginx(&dir, backend.port)?];
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let mut costs = Vec::new();
        for proxy in &proxies {
            let cost = measure(proxy, &options)?;
            println!("round {round}: {:8} {cost:7.2} µs of CPU a request", proxy.name);
            costs.push(cost);
        }
        rounds.push(costs);
    }
    let ratio = report(&proxies, &rounds);
    drop(proxies);
    fs::remove_dir_all(&dir)?;
    match options.max_ratio {
        Some(limit) if ratio > limit => Err(format!("{ratio:.2} × HAProxy, above {limit}").into()),
        _ => Ok(()),
    }
}

struct Options {
    rounds: usize,
    seconds: u32,
    connections: u32,
    max_ratio: Option<f64>,
}

impl Options {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let place = args.iter().position(|arg| arg == name)?;
            args.get(place + 1)?.parse::<f64>().ok()
        };
        Self {
            rounds: value("--rounds").map_or(5, |number| number as usize),
            seconds: value("--seconds").map_or(4, |number| number as u32),
            connections: value("--connections").map_or(64, |number| number as u32),
            max_ratio: value("--max-ratio"),
        }
    }
}

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Backend {
    port: u16,
    _process: Running,
}

impl Backend {
    fn start() -> Outcome<Self> {
        let port = free_port()?;
        let process =
            spawn(1, RUTTER, &["echo", "--threads", "1", "--http", &format!("127.0.0.1:{port}")])?;
        wait_for(port)?;
        Ok(Self { port, _process: process })
    }
}

struct Proxy {
    name: &'static str,
    port: u16,
    process: Running,
}

fn rutter(dir: &Path, backend: u16) -> Outcome<Proxy> {
    let port = free_port()?;
    let manifests = dir.join("manifests/bench.yaml");
    fs::write(&manifests, MANIFESTS.replace("BACKEND", &backend.to_string()))?;
    let process = spawn(
        0,
        RUTTER,
        &[
            "run",
            "--manifests",
            text(&manifests)?,
            "--http-port",
            &port.to_string(),
            "--https-port=off",
            "--ingress-address=127.0.0.1",
            "--dns-listen=off",
            "--admin=off",
            "--workers=1",
            "--log=warn",
            "--access-log",
            text(&dir.join("rutter.log"))?,
        ],
    )?;
    wait_for(port)?;
    Ok(Proxy { name: "rutter", port, process })
}

fn haproxy(dir: &Path, backend: u16) -> Outcome<Proxy> {
    let (port, stats) = (free_port()?, free_port()?);
    let config = dir.join("haproxy.cfg");
    let text_of = HAPROXY
        .replace("PORT", &port.to_string())
        .replace("STATS", &stats.to_string())
        .replace("BACKEND", &backend.to_string());
    fs::write(&config, text_of)?;
    let log = fs::File::create(dir.join("haproxy.log"))?;
    let process = Command::new("taskset")
        .args(["-c", "0", "haproxy", "-db", "-f", text(&config)?])
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()?;
    wait_for(port)?;
    Ok(Proxy { name: "haproxy", port, process: Running(process) })
}

fn nginx(dir: &Path, backend: u16) -> Outcome<Proxy> {
    let port = free_port()?;
    let config = dir.join("nginx.conf");
    let text_of = NGINX
        .replace("DIR", text(dir)?)
        .replace("PORT", &port.to_string())
        .replace("BACKEND", &backend.to_string());
    fs::write(&config, text_of)?;
    let process = spawn(0, "nginx", &["-p", text(dir)?, "-c", text(&config)?])?;
    wait_for(port)?;
    Ok(Proxy { name: "nginx", port, process })
}

/// Microseconds of the proxy's CPU per request under load.
fn measure(proxy: &Proxy, options: &Options) -> Outcome<f64> {
    load(proxy.port, options.connections, 1)?;
    let before = cpu_ticks(proxy.process.0.id())?;
    let requests = load(proxy.port, options.connections, options.seconds)?;
    let ticks = cpu_ticks(proxy.process.0.id())? - before;
    Ok(ticks as f64 * MICROSECONDS_A_TICK / requests as f64)
}

/// Runs `wrk` and gives the number of answered requests; any failed one is an error.
fn load(port: u16, connections: u32, seconds: u32) -> Outcome<u64> {
    let output = Command::new("taskset")
        .args(["-c", "1", "wrk", "-t1", &format!("-c{connections}"), &format!("-d{seconds}s")])
        .args(["-H", "Host: bench.test", &format!("http://127.0.0.1:{port}/")])
        .output()?;
    let printed = String::from_utf8(output.stdout)?;
    if printed.contains("Non-2xx") || printed.contains("Socket errors") {
        return Err(format!("requests failed:\n{printed}").into());
    }
    let line = printed.lines().find(|line| line.contains(" requests in "));
    let count = line.and_then(|line| line.split_whitespace().next());
    Ok(count.ok_or("wrk printed no count")?.parse()?)
}

/// User and system time of a process, in ticks (proc(5), fields 14 and 15).
fn cpu_ticks(pid: u32) -> Outcome<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// Prints the medians and gives the ratio of rutter to HAProxy.
fn report(proxies: &[Proxy], rounds: &[Vec<f64>]) -> f64 {
    println!("\nmedian of {} rounds, one thread each:", rounds.len());
    let mut ratios = Vec::new();
    for (place, proxy) in proxies.iter().enumerate() {
        let cost = median(rounds.iter().map(|costs| costs[place]));
        let ratio = median(rounds.iter().map(|costs| costs[place] / costs[HAPROXY_PLACE]));
        println!("{:8} {cost:7.2} µs a request  {ratio:5.2} × HAProxy", proxy.name);
        ratios.push(ratio);
    }
    ratios[0]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spawn(cpu: u32, program: &str, args: &[&str]) -> Outcome<Running> {
    let child = Command::new("taskset")
        .args(["-c", &cpu.to_string(), program])
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Running(child))
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until something answers, by asking until it does: these are foreign programs.
fn wait_for(port: u16) -> Outcome<()> {
    for _ in 0..200 {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(Duration::from_millis(1)))?;
            let _ = stream.read(&mut [0]);
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(25));
    }
    Err(format!("nothing listens on port {port}").into())
}

fn text(path: &Path) -> Outcome<&str> {
    path.to_str().ok_or_else(|| "the path is not UTF-8".into())
}

const RUTTER: &str = env!("CARGO_BIN_EXE_rutter");
const HAPROXY_PLACE: usize = 1;
const MICROSECONDS_A_TICK: f64 = 10_000.0;

const MANIFESTS: &str = r#"
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: bench}
spec:
  rules:
  - host: bench.test
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: bench, port: {number: 80}}}}
---
apiVersion: v1
kind: Service
metadata: {name: bench}
spec:
  clusterIP: None
  ports: [{port: 80}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: bench, labels: {kubernetes.io/service-name: bench}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{port: BACKEND}]
"#;

const HAPROXY: &str = "
global
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    option httplog
    option forwardfor
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    http-reuse always
frontend front
    bind 127.0.0.1:PORT
    use_backend bench if { hdr(host) -i bench.test } { path_beg / }
backend bench
    server one 127.0.0.1:BACKEND
frontend stats
    bind 127.0.0.1:STATS
    http-request use-service prometheus-exporter if { path /metrics }
";

const NGINX: &str = "
daemon off;
master_process off;
pid DIR/nginx.pid;
error_log DIR/nginx-error.log;
events { worker_connections 4096; }
http {
    access_log DIR/nginx.log;
    keepalive_requests 100000000;
    upstream bench { server 127.0.0.1:BACKEND; keepalive 256; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:PORT;
        server_name bench.test;
        location / {
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
}
";
