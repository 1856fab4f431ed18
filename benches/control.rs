//! The control plane end to end: `cargo bench --bench control`.
//!
//! Prints how long it takes until 8,000 Services really listen, how long a saved change takes to
//! be served by every worker with 1,000 and with 20,000 objects (median and p99 of 100 edits),
//! and the memory of each. A saved change counts as served when every worker has applied the
//! generation that holds it. `--quick` makes a tenth of everything, for the tests.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rutter::app::{App, Handle, Objects};
use rutter::config::{Args, Config};
use rutter::snapshot::Generation;
use tokio::time::Instant;

fn main() {
    let scale = if std::env::args().any(|arg| arg == "--quick") { 10 } else { 1 };
    listeners(8_000 / scale);
    for objects in [1_000, 20_000] {
        edits(objects / scale, 100 / scale);
    }
}

/// Time from the start until `services` virtual addresses accept connections.
fn listeners(services: usize) {
    let dir = tempfile::tempdir().expect("a directory");
    for (place, names) in (0..services).collect::<Vec<_>>().chunks(100).enumerate() {
        let text: String = names.iter().map(|name| service(*name, 80)).collect();
        write(dir.path(), place, &text);
    }
    let running = Running::start(dir.path());
    let took = running.started.elapsed();
    let open = running.handle.snapshot().load().listeners.len();
    println!("{open} listeners open after {:.2} s, {} MiB", took.as_secs_f64(), rss_mib());
    running.stop();
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
            let before = running.handle.snapshot().load().generation;
            let saved = Instant::now();
            write(dir.path(), place, &text);
            running.applied(Generation(before.0 + 1));
            saved.elapsed()
        })
        .collect();
    latencies.sort();
    let at = |share: usize| latencies[(latencies.len() * share / 100).min(latencies.len() - 1)];
    println!(
        "{objects} objects: saved → served {} ms median, {} ms p99, {} MiB",
        at(50).as_millis(),
        at(99).as_millis(),
        rss_mib(),
    );
    running.stop();
}

struct Running {
    handle: Handle,
    started: Instant,
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
        let running = Self { handle, started, thread, runtime };
        running.applied(Generation(1));
        running
    }

    fn applied(&self, generation: Generation) {
        let mut applied = self.handle.applied();
        self.runtime
            .block_on(applied.wait_for(|applied| *applied >= generation))
            .expect("it must still run");
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

/// Resident memory of this process, in MiB.
fn rss_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kib: u64 = line.split_whitespace().next().and_then(|text| text.parse().ok()).expect("KiB");
    kib / 1024
}
