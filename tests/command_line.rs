//! The binary as a shell, a supervisor and a CI job meet it: exit codes, messages, signals.

mod common;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use common::http;
use common::{Block, PATIENCE};
use rustix::process::{Pid, Signal, kill_process};

const INGRESS: &str = r#"
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{host: b.test, http: {paths: [
  {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
"#;

const GOOD: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {clusterIP: None, ports: [{port: 80}]}
"#;

/// Somebody behind a Service, without whom it has no socket.
fn endpoint(service: &str, address: &str) -> String {
    format!(
        "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {service}, \
         labels: {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\nports: [{{port: \
         80}}]\nendpoints: [{{addresses: [{address}]}}]\n"
    )
}

fn rutter(arguments: &[&str]) -> Output {
    Command::new(common::rutter()).args(arguments).output().expect("rutter must run")
}

fn exit_code(output: &Output) -> i32 {
    output.status.code().expect("it must not be killed")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn manifests(content: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("main.yaml"), content).expect("a file");
    dir
}

fn path(dir: &Path) -> &str {
    dir.to_str().expect("a path of text")
}

/// A `rutter run` of its own, with the lines that it logs.
struct Running {
    child: Child,
    log: mpsc::Receiver<String>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(common::rutter());
        Self::spawn(command.arg("run").args(arguments))
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("rutter must run");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (sender, log) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|it| sender.send(it)));
        Self { child, log }
    }

    /// Reads its log until a line holds `wanted`; gives what it read.
    fn until(&self, wanted: &str) -> String {
        let mut read = String::new();
        while !read.contains(wanted) {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => read += &(line + "\n"),
                Err(error) => panic!("no {wanted:?} ({error}) in:\n{read}"),
            }
        }
        read
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(pid, signal).expect("it must run");
    }

    /// Its exit code, and the rest of its log.
    fn end(mut self) -> (i32, String) {
        let mut rest = String::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) => rest += &(line + "\n"),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end:\n{rest}"),
            }
        }
        (self.child.wait().expect("it must end").code().expect("it must not be killed"), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The options that keep a `rutter run` on addresses of the test.
fn own_addresses(block: &Block) -> Vec<String> {
    let net = block.prefix();
    ["--service-cidr", "--ingress-address", "--admin", "--dns-listen", "--node-ip"]
        .into_iter()
        .zip([".0/26", ".2", ".2:9901", ".3:53", ".2"])
        .flat_map(|(option, rest)| [option.to_owned(), format!("{net}{rest}")])
        .collect()
}

fn arguments<'a>(dir: &'a Path, addresses: &'a [String]) -> Vec<&'a str> {
    ["-m", path(dir)].into_iter().chain(addresses.iter().map(String::as_str)).collect()
}

#[test]
fn every_wrong_option_is_named_at_once_and_the_exit_code_is_64() {
    let dir = manifests(GOOD);
    let file = dir.path().join("options");
    std::fs::write(&file, "https-port: 99999\nbogus: 1\n").expect("a file");
    let output = rutter(&[
        "run",
        "-m",
        path(dir.path()),
        "--config",
        path(&file),
        "--http-port",
        "0x50",
        "--service-cidr",
        "10.0.0.0/99",
        "--workers",
        "0",
        "--dns-listen",
        "nowhere",
        "--lb-pool",
        "x",
        "--log",
        "a=b=c",
        "--drain-timeout",
        "soon",
    ]);
    assert_eq!(exit_code(&output), 64);
    let said = text(&output.stderr);
    for wrong in [
        "99999",
        "bogus",
        "0x50",
        "10.0.0.0/99",
        "--workers",
        "nowhere",
        "--lb-pool",
        "a=b=c",
        "soon",
    ] {
        assert!(said.contains(wrong), "{wrong} is missing in:\n{said}");
    }
    assert_eq!(exit_code(&rutter(&["run"])), 64);
    assert_eq!(exit_code(&rutter(&["frobnicate"])), 64);
    assert_eq!(exit_code(&rutter(&["explain", "ftp://x/", "-m", path(dir.path())])), 64);
}

#[test]
fn what_the_options_ask_for_and_the_machine_lacks_is_78() {
    let output = rutter(&["run", "-m", "/nonexistent/manifests"]);
    assert_eq!(exit_code(&output), 78);
    assert!(text(&output.stderr).contains("/nonexistent/manifests"));
    let (block, dir) = (Block::claim(), manifests(GOOD));
    let _taken = TcpListener::bind(block.addr(2, 9901)).expect("an address");
    let addresses = own_addresses(&block);
    let output = rutter(&[vec!["run"], arguments(dir.path(), &addresses)].concat());
    assert_eq!(exit_code(&output), 78, "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("--admin"), "{}", text(&output.stderr));
}

#[test]
fn check_exits_0_1_or_2_and_prints_text_json_or_annotations() {
    let good = manifests(GOOD);
    let warning = manifests(&GOOD.replace("clusterIP: None,", "selector: {app: web},"));
    let error = manifests(&GOOD.replace("port: 80", "port: 80000"));
    for (dir, strict, expected) in [
        (&good, false, 0),
        (&good, true, 0),
        (&warning, false, 1),
        (&warning, true, 2),
        (&error, false, 2),
    ] {
        let mut words = vec!["check", path(dir.path())];
        words.extend(strict.then_some("--strict"));
        let output = rutter(&words);
        assert_eq!(exit_code(&output), expected, "{}", text(&output.stdout));
    }
    let output = rutter(&["check", path(error.path())]);
    let printed = text(&output.stdout);
    assert!(printed.contains("main.yaml:5:40") && printed.contains("^^^^^"), "{printed}");
    let output = rutter(&["check", path(error.path()), "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["findings"][0]["span"]["line"], 5);
    let output = rutter(&["check", path(error.path()), "-o", "github"]);
    let printed = text(&output.stdout);
    assert!(printed.starts_with("::error file=") && printed.contains("line=5,"), "{printed}");
    assert_eq!(exit_code(&rutter(&["check", "/nonexistent"])), 64);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = manifests(GOOD);
    for words in [
        vec!["completions", "bash"],
        vec!["man"],
        vec!["check", path(dir.path())],
        vec!["explain", "dns", "web", "-m", path(dir.path())],
    ] {
        let mut child = Command::new(common::rutter())
            .args(&words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("rutter must run");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it must end");
        assert!(output.stderr.is_empty(), "{words:?}: {}", text(&output.stderr));
        assert_eq!(exit_code(&output), 0, "{words:?}");
    }
}

#[test]
fn sigterm_drains_sighup_reads_again_and_a_second_sigterm_ends_at_once() {
    let (block, dir) = (Block::claim(), manifests(&(GOOD.to_owned() + INGRESS)));
    let addresses = own_addresses(&block);
    let running = Running::start(&arguments(dir.path(), &addresses));
    running.until("serving");
    running.signal(Signal::HUP);
    std::fs::write(dir.path().join("more.yaml"), GOOD.replace("web", "more")).expect("a file");
    running.signal(Signal::HUP);
    running.until("objects=3");
    running.signal(Signal::TERM);
    let (code, log) = running.end();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("drained finished=true"), "{log}");

    let running = Running::start(&arguments(dir.path(), &addresses));
    running.until("serving");
    let mut client = http::Client::connect(block.addr(2, 80));
    client.send(b"GET / HTT");
    running.signal(Signal::TERM);
    running.until("draining");
    running.signal(Signal::TERM);
    let (code, log) = running.end();
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("ending at once"), "{log}");
}

#[test]
fn a_port_that_is_taken_is_one_line_with_a_remedy_and_harms_nothing_else() {
    let text = GOOD.replace("None", "NET.20") + &endpoint("web", "NET.130") + INGRESS;
    let (block, dir) = (Block::claim(), manifests(&text));
    let file = dir.path().join("main.yaml");
    let content = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, content.replace("NET", &block.prefix())).expect("the file");
    let taken = TcpListener::bind(block.addr(2, 80)).expect("an address");
    let addresses = own_addresses(&block);
    let running = Running::start(&arguments(dir.path(), &addresses));
    let log = running.until("serving listeners=1 unbound=1");
    let line = log.lines().filter(|line| line.contains("cannot listen")).collect::<Vec<_>>();
    assert_eq!(line.len(), 1, "{log}");
    assert!(line.iter().all(|line| line.contains("another process has it: find it with")), "{log}");
    let ready = http::get(block.addr(2, 9901), &block.ip(2).to_string(), "/readyz?verbose");
    assert!(ready.text().contains("[-] listening"), "{}", ready.text());
    std::net::TcpStream::connect(block.addr(20, 80)).expect("the Service must be served");
    // once the other process lets go, the port is taken without a restart
    drop(taken);
    running.until("at last");
    assert_eq!(http::get(block.addr(2, 80), "a.test", "/").status, 404);
}

#[test]
fn services_that_do_not_fit_the_limit_of_files_leave_room_for_connections() {
    let block = Block::claim();
    let port = |number: u32| format!("{{name: p{number}, port: {}}}", 1000 + number);
    let ports: Vec<_> = (0..300).map(port).collect();
    let net = block.prefix();
    let service = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: many}}\nspec: {{clusterIP: {net}.20, \
         selector: {{app: many}}, ports: [{}]}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: \
         many-0, labels: {{app: many}}}}\nstatus: {{podIP: {net}.130, conditions: [{{type: Ready, \
         status: \"True\"}}]}}\n",
        ports.join(", ")
    );
    let dir = manifests(&(service + "---" + GOOD + INGRESS));
    let addresses = own_addresses(&block);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 256 && exec \"$@\"", "sh"]);
    command.arg(common::rutter()).arg("run").args(arguments(dir.path(), &addresses));
    let running = Running::spawn(&mut command);
    let log = running.until("serving listeners=");
    // three quarters of 256 for Services; their 300 ports and Ingress are wanted
    assert!(log.contains("108 listeners do not fit"), "{log}");
    assert!(log.contains("serving listeners=193 unbound=108"), "{log}");
    let clients: Vec<_> = (0..20).map(|_| http::Client::connect(block.addr(2, 80))).collect();
    for mut client in clients {
        assert_eq!(client.get("a.test", "/").status, 404);
    }
}

#[test]
fn what_an_edit_breaks_is_logged_once_at_its_place() {
    let (block, dir) = (Block::claim(), manifests(&(GOOD.to_owned() + INGRESS)));
    let addresses = own_addresses(&block);
    let running = Running::start(&arguments(dir.path(), &addresses));
    running.until("serving");
    let file = dir.path().join("main.yaml");
    let broken = (GOOD.to_owned() + INGRESS).replace("name: web, port", "name: wbe, port");
    std::fs::write(&file, &broken).expect("a file");
    let log = running.until("did you mean web?");
    assert!(log.contains("main.yaml:12:57: RT101 Ingress default/web: Service"), "{log}");
    std::fs::write(&file, format!("# moved\n{broken}---\nx: [\n")).expect("a file");
    let log = running.until("RT002");
    assert!(!log.contains("RT101"), "{log}");
}

#[test]
fn a_proxy_whose_address_is_taken_does_not_start() {
    let block = Block::claim();
    let taken = TcpListener::bind(block.addr(2, 80)).expect("an address");
    let from = block.addr(2, 80).to_string();
    let output = rutter(&["proxy", "--from", &from, "--to", "http://127.0.0.1:9"]);
    assert_eq!(exit_code(&output), 78);
    let said = text(&output.stderr);
    assert!(said.contains("--from") && said.contains("another process has it"), "{said}");
    drop(taken);
}

#[test]
fn a_second_rutter_on_the_same_address_is_told_that_it_shares() {
    let (block, dir) = (Block::claim(), manifests(&(GOOD.to_owned() + INGRESS)));
    let addresses = own_addresses(&block);
    let first = Running::start(&arguments(dir.path(), &addresses));
    first.until("serving");
    let addresses = addresses.join(" ").replace(".2:9901", ".4:9901");
    let addresses: Vec<_> = addresses.split(' ').map(str::to_owned).collect();
    let second = Running::start(&arguments(dir.path(), &addresses));
    let log = second.until("serving");
    assert!(log.contains("another process of this user listens on tcp://"), "{log}");
    assert!(log.contains("another process of this user listens on udp://"), "{log}");
}

#[test]
fn without_privileges_low_ports_say_what_to_do() {
    let (block, dir) = (Block::claim(), manifests(&(GOOD.to_owned() + INGRESS)));
    let addresses = own_addresses(&block).join(" ");
    let addresses = addresses.replace(&format!("{}.3:53", block.prefix()), "auto");
    let addresses: Vec<_> = addresses.split(' ').map(str::to_owned).collect();
    // a namespace, because containers often open every port to everybody
    let program = "ip link set lo up && exec setpriv --bounding-set=-all --inh-caps=-all \
                   --ambient-caps=-all --no-new-privs \"$@\"";
    let mut command = Command::new("unshare");
    let as_root = rustix::process::geteuid().is_root();
    command.arg(if as_root { "--net" } else { "-rn" }).args(["sh", "-c", program, "sh"]);
    command.arg(common::rutter()).arg("run").args(arguments(dir.path(), &addresses));
    let running = Running::spawn(&mut command);
    let log = running.until("serving");
    assert!(log.contains("ip_unprivileged_port_start=80"), "{log}");
    assert!(log.contains("no DNS"), "{log}");
}
