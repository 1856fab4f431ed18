//! Origins, and what they say that they saw.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::backend::Backend;

/// Which origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Node,
    Go,
    Waitress,
    Gunicorn,
    Aiohttp,
    Echo,
}

/// A running origin; it ends when it is dropped.
pub struct Origin {
    pub addr: SocketAddr,
    process: Option<Child>,
    _echo: Option<Backend>,
    _dir: TempDir,
}

impl Origin {
    /// Starts one. A program gets its listening socket as its standard input: whoever connects
    /// before it accepts waits in the kernel.
    pub fn start(kind: Kind, addr: SocketAddr) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut process, mut echo) = (None, None);
        match command(kind, addr, &dir) {
            None => echo = Some(Backend::http(addr, "echo")),
            Some(mut command) => {
                let listener = TcpListener::bind(addr).expect("the origin's address must be free");
                listener.set_nonblocking(true).expect("nginx takes it as it is");
                command.stdin(Stdio::from(OwnedFd::from(listener)));
                command.stdout(Stdio::null()).stderr(Stdio::null());
                // with what it forks, to end them together
                command.process_group(0);
                process = Some(command.spawn().unwrap_or_else(|error| {
                    panic!("{kind:?} must be installed, tests/run.sh does it: {error}")
                }));
            }
        }
        Self { addr, process, _echo: echo, _dir: dir }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let group = format!("-{}", process.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = process.wait();
        }
    }
}

/// How to start it; `None` for what runs in process.
fn command(kind: Kind, addr: SocketAddr, dir: &TempDir) -> Option<Command> {
    let python = |name: &str| {
        let mut command = Command::new("/usr/bin/python3");
        command
            .env("PYTHONPATH", here("target/tools/origins"))
            .arg(here("tests/origins/origin.py"));
        command.arg(name);
        command
    };
    Some(match kind {
        Kind::Nginx => nginx(addr, dir),
        Kind::Node => {
            let mut command = Command::new("node");
            command.arg(here("tests/origins/origin.js"));
            command
        }
        Kind::Go => Command::new(here("target/tools/bin/go-origin")),
        Kind::Waitress => python("waitress"),
        Kind::Gunicorn => python("gunicorn"),
        Kind::Aiohttp => python("aiohttp"),
        Kind::Echo => return None,
    })
}

fn nginx(addr: SocketAddr, dir: &TempDir) -> Command {
    let path = dir.path().display().to_string();
    let config = std::fs::read_to_string(here("tests/origins/nginx.conf")).expect("a file");
    let config = config.replace("ADDRESS", &addr.to_string()).replace("DIRECTORY", &path);
    std::fs::write(dir.path().join("nginx.conf"), config).expect("a file");
    // not in the path of every user
    let program = PathBuf::from("/usr/sbin/nginx");
    let mut command = Command::new(if program.exists() { program } else { "nginx".into() });
    command.args(["-p", &path, "-c", "nginx.conf", "-e", "stderr"]);
    // the name of the variable in which it looks for sockets of its predecessor
    command.env("NGINX", "0;");
    command
}

fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A request as an origin saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub method: String,
    pub length: u64,
    pub host: String,
    pub target: String,
}

/// What was seen, by all that an origin has answered, whether anybody read it or not.
pub fn seen(kind: Kind, answers: &[Vec<u8>]) -> Vec<Seen> {
    let of = if kind == Kind::Echo { of_json } else { of_fields };
    answers.iter().flat_map(|answers| of(answers)).collect()
}

/// `X-Seen` of each answer: id, method, length of the body, host, target.
fn of_fields(answers: &[u8]) -> Vec<Seen> {
    let text = String::from_utf8_lossy(answers);
    let fields = text.lines().filter_map(|line| line.split_once(": "));
    let told = fields.filter(|(name, _)| name.eq_ignore_ascii_case("x-seen"));
    let seen = told.map(|(_, told)| {
        let mut parts = told.splitn(5, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap_or_default();
        let (id, method, length) = (next(), next(), next());
        // nginx says nothing about no body
        let length = if length.is_empty() { 0 } else { length.parse().unwrap_or(u64::MAX) };
        Seen { id, method, length, host: next(), target: next() }
    });
    seen.collect()
}

/// The JSON of each answer.
fn of_json(answers: &[u8]) -> Vec<Seen> {
    let text = String::from_utf8_lossy(answers);
    let starts = text.match_indices("{\"path\":").filter_map(|(at, _)| text.get(at..));
    let told = starts
        .filter_map(|it| serde_json::Deserializer::from_str(it).into_iter::<Value>().next()?.ok());
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let seen = told.map(|told| Seen {
        id: word(&told["headers"]["X-Request-Id"][0]),
        method: word(&told["method"]),
        length: told["bodyBytes"].as_u64().unwrap_or(u64::MAX),
        host: word(&told["host"]),
        target: word(&told["path"]),
    });
    seen.collect()
}
