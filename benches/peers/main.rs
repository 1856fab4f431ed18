//! CPU per request against HAProxy and nginx, in the same run: `cargo bench --bench peers`.
//!
//! Every proxy has one thread on CPU 0; load (`wrk`) and the backend (`rutter echo`) are on
//! CPU 1. All of them route by host and path, count for Prometheus where they can, and write an access
//! log to a file. A round runs the proxies one after the other; what counts is the median over rounds
//! of the ratio *within* a round, because the speed of a shared machine drifts by more than the
//! differences.
//!
//! Needs `haproxy`, `nginx`, `wrk`, `h2load`, `openssl` and `taskset` (Debian packages haproxy,
//! nginx-light, wrk, nghttp2-client, openssl, util-linux) and two CPUs. Arguments: `--front F` (http1;
//! tls: HTTP/1 in TLS; h2: HTTP/2 in the clear), `--routes N` (1: hosts, each with a path), `--rounds
//! N` (5), `--seconds N` (4), `--connections N` (64), `--max-ratio R` (exit 1 if the ratio to HAProxy is
//! above).

mod proxies;

use std::error::Error;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proxies::Site;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let options = Options::from_args();
    let dir = std::env::temp_dir().join(format!("rutter-peers-{}", std::process::id()));
    fs::create_dir_all(dir.join("manifests"))?;
    let backend = Backend::start()?;
    let site = Site::new(&dir, backend.port, &options)?;
    let proxies = [site.rutter()?, site.haproxy()?, site.nginx()?];
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

/// What clients speak.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    Http1,
    Tls,
    Http2,
}

struct Options {
    front: Front,
    routes: usize,
    rounds: usize,
    seconds: u32,
    connections: u32,
    max_ratio: Option<f64>,
}

impl Options {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let text = |name: &str| {
            let place = args.iter().position(|arg| arg == name)?;
            args.get(place + 1)
        };
        let value = |name: &str| text(name)?.parse::<f64>().ok();
        let front = match text("--front").map(String::as_str) {
            None | Some("http1") => Front::Http1,
            Some("tls") => Front::Tls,
            Some("h2") => Front::Http2,
            Some(other) => panic!("--front {other}: neither http1, tls nor h2"),
        };
        Self {
            front,
            routes: value("--routes").map_or(1, |number| number as usize),
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

/// Microseconds of the proxy's CPU per request under load.
fn measure(proxy: &Proxy, options: &Options) -> Outcome<f64> {
    load(proxy.port, options, 1)?;
    let before = cpu_ticks(proxy.process.0.id())?;
    let requests = load(proxy.port, options, options.seconds)?;
    let ticks = cpu_ticks(proxy.process.0.id())? - before;
    Ok(ticks as f64 * MICROSECONDS_A_TICK / requests as f64)
}

/// Sends requests to one of the hosts and gives the number of those answered; any failed one is an
/// error.
fn load(port: u16, options: &Options, seconds: u32) -> Outcome<u64> {
    let host = proxies::host(options.routes / 2);
    let connections = format!("-c{}", options.connections);
    let printed = match options.front {
        Front::Http1 | Front::Tls => {
            let scheme = if options.front == Front::Tls { "https" } else { "http" };
            run(&[
                "wrk",
                "-t1",
                &connections,
                &format!("-d{seconds}s"),
                "-H",
                &format!("Host: {host}"),
                &format!("{scheme}://127.0.0.1:{port}/"),
            ])?
        }
        Front::Http2 => run(&[
            "h2load",
            "-t1",
            "-c8",
            &format!("-m{}", options.connections.div_ceil(8)),
            &format!("-D{seconds}"),
            "--warm-up-time=0",
            &format!("-H:authority: {host}"),
            &format!("http://127.0.0.1:{port}/"),
        ])?,
    };
    let has_failed = ["Non-2xx", "Socket errors"].iter().any(|it| printed.contains(it));
    let failed = format!("requests failed:\n{printed}");
    let count = match options.front {
        Front::Http1 | Front::Tls => {
            printed.lines().find_map(|line| line.split_once(" requests in "))
        }
        // "status codes: 12345 2xx, 0 3xx, 0 4xx, 0 5xx"
        Front::Http2 => printed.lines().find_map(|line| {
            let (_, codes) = line.split_once("status codes: ")?;
            codes.split_once(" 2xx, 0 3xx, 0 4xx, 0 5xx")
        }),
    };
    match count {
        Some((count, _)) if !has_failed => Ok(count.trim().parse()?),
        _ => Err(failed.into()),
    }
}

fn run(command: &[&str]) -> Outcome<String> {
    let output = Command::new("taskset").args(["-c", "1"]).args(command).output()?;
    Ok(String::from_utf8(output.stdout)?)
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

/// Waits until something listens, by asking until it does: these are foreign programs.
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
