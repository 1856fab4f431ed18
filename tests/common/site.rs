//! A running rutter, and what it says of itself.

use std::fmt::Display;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::{Block, http, pause, rutter, until};

/// A running rutter: HTTP on `NET.2:80`, HTTPS on `NET.2:443`, DNS on `NET.3:53`, virtual
/// addresses from `NET.0/26`, load balancers from `NET.64/27`, NodePorts on `NET.2`.
pub struct Site {
    pub block: Block,
    /// Its manifests.
    pub dir: TempDir,
    outside: TempDir,
    child: Child,
}

impl Site {
    /// Starts with `manifests` (in which `NET` stands for the block) and waits until they serve.
    pub fn start(manifests: &str) -> Self {
        Self::start_with(manifests, |_| {})
    }

    /// The same, with other options.
    pub fn start_with(manifests: &str, change: impl FnOnce(&mut Options)) -> Self {
        Self::start_in(Block::claim(), manifests, change)
    }

    /// The same, in a block that was claimed before (because its pods run already).
    pub fn start_in(block: Block, manifests: &str, change: impl FnOnce(&mut Options)) -> Self {
        let directory = || tempfile::tempdir().expect("a directory");
        let (dir, outside) = (directory(), directory());
        fs::write(dir.path().join("main.yaml"), filled(manifests, &block)).expect("a file");
        let mut options = Options::of(&block, dir.path());
        change(&mut options);
        let log = fs::File::create(log_in(&outside)).expect("a file");
        let mut command = Command::new(rutter());
        command.arg("run").args(options.arguments()).env_remove("RUTTER_CONFIG");
        command.stdout(log.try_clone().expect("a file")).stderr(log).stdin(Stdio::null());
        let child = command.spawn().expect("rutter must run");
        let mut site = Self { block, dir, outside, child };
        site.wait_until_it_answers();
        site.wait("the first snapshot", |status| status.generation > 0);
        site.wait_bound();
        site
    }

    fn wait_until_it_answers(&mut self) {
        until("its admin API", || {
            let ended = self.child.try_wait().expect("its child");
            assert!(ended.is_none(), "it did not start: {}", self.log());
            TcpStream::connect(self.admin()).is_ok()
        });
    }

    /// Waits a moment until what could not be bound at first is; some tests mean it not to be.
    fn wait_bound(&self) {
        let start = Instant::now();
        while self.status().unbound > 0 && start.elapsed() < PATIENCE_TO_BIND {
            pause();
        }
    }

    /// Writes a file and waits until what it says is served everywhere.
    pub fn save(&self, name: &str, manifests: &str) {
        let compiles = self.status().compiles;
        self.write(name, manifests);
        self.wait("the change", |status| status.compiles > compiles && !status.is_waiting);
    }

    /// Writes a file as an editor does (a new file renamed into place), and waits for nothing.
    pub fn write(&self, name: &str, manifests: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let draft = self.dir.path().join(format!(".{name}.draft"));
        fs::write(&draft, filled(manifests, &self.block)).expect("a file");
        fs::rename(&draft, &path).expect("a file in place");
        path
    }

    /// Deletes a file and waits until it is gone for the planes too.
    pub fn remove(&self, name: &str) {
        let compiles = self.status().compiles;
        fs::remove_file(self.dir.path().join(name)).expect("the file");
        self.wait("the removal", |status| status.compiles > compiles && !status.is_waiting);
    }

    /// Waits until the status is as wanted and its generation is applied by every worker.
    pub fn wait(&self, what: &str, mut wanted: impl FnMut(&Status) -> bool) {
        until(what, || {
            let status = self.status();
            status.applied >= status.generation && wanted(&status)
        });
    }

    /// What the control plane did last.
    pub fn status(&self) -> Status {
        let metrics = self.ask("/metrics").text();
        let value = |series: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(series));
            let value = line.and_then(|line| line.trim().parse::<f64>().ok());
            value.unwrap_or_else(|| panic!("{series} is missing in:\n{metrics}")) as u64
        };
        Status {
            generation: value("rutter_config_generation{}"),
            applied: value("rutter_applied_generation{}"),
            compiles: value("rutter_config_compiles_total{}"),
            stale: value("rutter_config_stale_objects{}"),
            is_waiting: value("rutter_config_waiting{}") > 0,
            unbound: value("rutter_listeners{state=\"unbound\"}"),
        }
    }

    /// How many connections to HTTP and TLS ended for this reason, by whatever transport.
    pub fn refused(&self, reason: &str) -> u64 {
        let metrics = self.ask("/metrics").text();
        let labels = format!("exposure=\"gateway\",reason=\"{reason}\"}} ");
        let lines = metrics.lines().filter(|line| line.starts_with("rutter_connections_total{"));
        let counts = lines.filter_map(|line| line.split_once(&labels)?.1.parse::<u64>().ok());
        counts.sum()
    }

    /// What it says of its objects.
    pub fn report(&self) -> Value {
        self.ask("/report").json()
    }

    /// What is wrong with its manifests, one line each, as `rutter check` would say it.
    pub fn findings(&self) -> Vec<Finding> {
        let report = self.report();
        let findings = report["findings"].as_array().expect("findings");
        findings.iter().map(Finding::of).collect()
    }

    /// Where the listeners of a Service are.
    pub fn frontends(&self, namespace: &str, name: &str) -> Vec<SocketAddr> {
        let owner = format!("Service {namespace}/{name}");
        let snapshot = self.ask("/snapshot").json();
        let listeners = snapshot["listeners"].as_array().expect("listeners").iter();
        let of_it = listeners.filter(|it| it["serve"]["owner"] == owner);
        let addresses = of_it.filter_map(|it| it["listen"].as_str()?.split_once("://"));
        addresses.map(|(_, addr)| addr.parse().expect("an address")).collect()
    }

    /// Asks its admin API.
    #[track_caller]
    pub fn ask(&self, path: &str) -> http::Response {
        http::get(self.admin(), &self.admin().to_string(), path)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(log_in(&self.outside)).expect("a log")
    }

    /// Where HTTP listens.
    pub fn http(&self) -> SocketAddr {
        self.block.addr(2, 80)
    }

    /// Where HTTPS listens.
    pub fn https(&self) -> SocketAddr {
        self.block.addr(2, 443)
    }

    /// Where DNS listens.
    pub fn dns(&self) -> SocketAddr {
        self.block.addr(3, 53)
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.block.addr(2, 9901)
    }

    /// Sends it SIGTERM: it drains.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it must still run");
    }

    /// Terminates it, unless that was done, and waits for its end.
    pub fn stop(mut self) {
        if self.child.try_wait().expect("its child").is_none() {
            self.terminate();
        }
        let ended = self.child.wait().expect("its child");
        assert!(ended.success(), "{ended}: {}", self.log());
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log();
        if std::thread::panicking() {
            eprintln!("what rutter logged:\n{log}");
        } else {
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// What the control plane did last, as the metrics tell it.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub generation: u64,
    /// What every worker has applied.
    pub applied: u64,
    /// Compilations so far, also those that changed nothing.
    pub compiles: u64,
    pub stale: u64,
    /// Another look at a text follows soon.
    pub is_waiting: bool,
    pub unbound: u64,
}

/// Something that is wrong with the manifests.
#[derive(Clone, Debug)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// `file:line:column: RT101 Kind namespace/name: what is wrong`.
    pub line: String,
}

impl Finding {
    fn of(json: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut line = text(&json["origin"]["file"]);
        let numbers = [&json["span"]["line"], &json["span"]["column"]];
        for number in numbers.into_iter().filter_map(Value::as_u64) {
            line += &format!(":{number}");
        }
        line += &format!(": {} ", text(&json["code"]));
        let object = &json["object"];
        if let [kind, namespace, name] = ["kind", "namespace", "name"].map(|key| text(&object[key]))
            && object.is_object()
        {
            let namespace = if namespace.is_empty() { namespace } else { namespace + "/" };
            line += &format!("{kind} {namespace}{name}: ");
        }
        Self { severity: text(&json["severity"]), line: line + &text(&json["message"]) }
    }

    pub fn is_note(&self) -> bool {
        self.severity == "note"
    }
}

/// The options of a [`Site`], by their long names.
#[derive(Clone, Debug)]
pub struct Options(Vec<(String, String)>);

impl Options {
    /// Those that every site has.
    pub fn of(block: &Block, dir: &Path) -> Self {
        let net = block.prefix();
        let mut options = Self(Vec::new());
        options.set("manifests", dir.display());
        options.set("service-cidr", format!("{net}.0/26"));
        options.set("pod-cidr", format!("{net}.128/26"));
        options.set("lb-pool", format!("{net}.64/27"));
        options.set("ingress-address", format!("{net}.2"));
        options.set("nodeport-addresses", format!("{net}.2"));
        options.set("node-ip", format!("{net}.2"));
        options.set("node-name", "node-a");
        options.set("dns-listen", format!("{net}.3:53"));
        options.set("dns-upstream", "off");
        options.set("admin", format!("{net}.2:9901"));
        options.set("workers", 2);
        options.set("drain-timeout", "5s");
        options.set("poll", "500ms");
        options
    }

    /// Sets an option, also one that was set before.
    pub fn set(&mut self, name: &str, value: impl Display) {
        self.unset(name);
        self.0.push((name.to_owned(), value.to_string()));
    }

    pub fn unset(&mut self, name: &str) {
        self.0.retain(|(other, _)| other != name);
    }

    /// As they are typed.
    pub fn arguments(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(name, value)| format!("--{name}={value}"))
    }
}

/// `NET.` stands for the block. (Not `NET` alone, which a certificate may have in its base64.)
fn filled(manifests: &str, block: &Block) -> String {
    manifests.replace("NET.", &format!("{}.", block.prefix()))
}

fn log_in(outside: &TempDir) -> PathBuf {
    outside.path().join("log")
}

/// Somewhat longer than the time after which binding is tried again.
const PATIENCE_TO_BIND: Duration = Duration::from_secs(6);
