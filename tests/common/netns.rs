//! Network namespaces: machines that are joined by cables, on this one.
//!
//! Nothing but a descriptor of this process holds a [`Namespace`]. So however a test ends, the
//! kernel takes its namespaces away, with their interfaces and routes; there is no name to leave
//! behind. Who is not root runs such tests in a user namespace ([`as_root`]).

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::PATIENCE;

/// Runs a test that makes namespaces: here for root, else once more under `unshare`, as the root of
/// a user namespace. `test` is the name of the test.
#[track_caller]
pub fn as_root(test: &str, body: impl FnOnce()) {
    if rustix::process::geteuid().is_root() {
        return body();
    }
    let this = std::env::current_exe().expect("a test must know itself");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(this).args(["--exact", test, "--nocapture"]);
    let status = command.status().expect("unshare (util-linux) must be there");
    assert!(status.success(), "{test} failed in a user namespace ({status}); {REMEDY}");
}

const REMEDY: &str = "it needs root, or user namespaces (sysctl \
                      kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces>0)";

/// A machine.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// With loopback, and nothing else.
    #[track_caller]
    pub fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let spawned = command.stderr(Stdio::piped()).spawn();
        let mut holder = spawned.expect("unshare (util-linux) must be there");
        // what cat sends back says that it runs, which it does in its namespace
        let mut stdin = holder.stdin.take().expect("a pipe");
        let told = stdin
            .write_all(b"\n")
            .and_then(|()| holder.stdout.as_mut().expect("a pipe").read_exact(&mut [0]));
        let opened = told.and_then(|()| File::open(format!("/proc/{}/ns/net", holder.id())));
        drop(stdin);
        let output = holder.wait_with_output().expect("it must end with its input");
        let why = String::from_utf8_lossy(&output.stderr);
        let handle = opened.unwrap_or_else(|error| {
            panic!("cannot make a network namespace ({error}; {}): {REMEDY}", why.trim())
        });
        let namespace = Self(handle);
        namespace.ip("link set lo up");
        // a kernel tells one peer once a second that nobody is there; tests ask many at once
        namespace.sysctl("ipv4/icmp_ratelimit", "0");
        namespace
    }

    /// Runs `work` on a thread there. Threads and processes that it starts are there too.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let enter = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.0.as_fd(), kind).expect("the namespace must let us in");
        };
        let done = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    enter();
                    work()
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// `ip` with these words.
    #[track_caller]
    pub fn ip(&self, words: &str) {
        let output = self.run(|| Command::new("ip").args(words.split(' ')).output());
        let output = output.expect("ip (iproute2) must be there");
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {words}: {}", why.trim());
    }

    /// Sets an option of its kernel: `ipv4/ip_forward`.
    #[track_caller]
    pub fn sysctl(&self, name: &str, value: &str) {
        let written = self.run(|| std::fs::write(format!("/proc/sys/net/{name}"), value));
        written.unwrap_or_else(|error| panic!("net/{name} = {value}: {error}"));
    }

    /// Joins two machines: an interface each, with an address (`10.0.0.1/24`).
    #[track_caller]
    pub fn join(&self, (name, address): (&str, &str), other: &Self, (peer, at): (&str, &str)) {
        let of_other = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        self.ip(&format!("link add {name} type veth peer name {peer} netns {of_other}"));
        for (namespace, name, address) in [(self, name, address), (other, peer, at)] {
            // no waiting for duplicates (IPv6): there are none
            let no_dad = if address.contains(':') { " nodad" } else { "" };
            namespace.ip(&format!("address add {address} dev {name}{no_dad}"));
            namespace.ip(&format!("link set {name} up"));
        }
    }
}

/// `rutter run` on a machine, as a process of its own.
#[derive(Debug)]
pub struct Rutter(Child);

impl Rutter {
    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn start(on: &Namespace, arguments: &[&str]) -> Self {
        let mut command = Command::new(super::rutter());
        command.arg("run").args(arguments).env("RUST_BACKTRACE", "0").stderr(Stdio::piped());
        let mut rutter = Self(on.run(|| command.spawn()).expect("rutter must run"));
        let stderr = BufReader::new(rutter.0.stderr.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        // reads on to the end, or rutter would wait for somebody who does
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut log = Vec::new();
        while !log.last().is_some_and(|line: &String| line.contains(" serving ")) {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => log.push(line),
                Err(error) => panic!("it does not serve ({error}): {log:#?}"),
            }
        }
        rutter
    }
}

impl Drop for Rutter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
