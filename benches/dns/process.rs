//! Processes that end with their owner, and what they use.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::Instant;

use crate::Outcome;
use crate::wire::{self, Answer};

/// Where servers run.
pub const SERVER_CPU: u32 = 0;
/// Where everything else runs.
const LOAD_CPU: u32 = 1;

/// A process that ends with its owner.
pub struct Running {
    child: Child,
    /// What it printed.
    log: File,
}

impl Running {
    /// Starts a program on one CPU.
    pub fn start(cpu: u32, program: &str, args: &[&str], env: &[(&str, &str)]) -> Outcome<Self> {
        let log = tempfile::tempfile()?;
        let child = Command::new("taskset")
            .args(["-c", &cpu.to_string(), program])
            .args(args)
            .envs(env.iter().copied())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()?;
        Ok(Self { child, log })
    }

    /// What it has printed so far.
    fn printed(&self) -> Outcome<String> {
        let mut text = Vec::new();
        let mut log = &self.log;
        log.seek(SeekFrom::Start(0))?;
        log.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// User and system time of all its threads, in seconds (proc(5), fields 14 and 15).
    pub fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(ticks as f64 / TICKS_A_SECOND)
    }

    /// Resident memory, in MiB.
    pub fn rss_mib(&self) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("it has ended")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A DNS server that runs.
pub struct Server {
    pub name: &'static str,
    pub addr: SocketAddr,
    pub process: Running,
}

impl Server {
    /// Waits until it answers for `name`, by asking until it does.
    pub fn wait_for(self, name: &str) -> Outcome<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let started = Instant::now();
        let mut buffer = [0; 2048];
        while started.elapsed() < Duration::from_secs(60) {
            socket.send_to(&wire::query(1, name, wire::A, false), self.addr)?;
            if let Ok(length) = socket.recv(&mut buffer) {
                let answer = Answer::read(&buffer[..length]);
                if answer.is_some_and(|it| it.rcode == wire::NO_ERROR && it.answers > 0) {
                    return Ok(self);
                }
            }
            std::thread::park_timeout(Duration::from_millis(25));
        }
        Err(format!("{} does not answer for {name}:\n{}", self.name, self.process.printed()?)
            .into())
    }
}

/// Allows this process as many descriptors as the system does.
pub fn raise_descriptors() -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

/// Keeps this process, whose threads are all to come, from the server's CPU.
pub fn pin_to_load_cpu() -> Outcome<()> {
    let (cpu, pid) = (LOAD_CPU.to_string(), std::process::id().to_string());
    let status =
        Command::new("taskset").args(["-pc", &cpu, &pid]).stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err("two CPUs are needed".into()) }
}

pub fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The value below which `share` of the values are; they get sorted.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values[at.min(values.len() - 1)]
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    quantile(&mut values.collect::<Vec<_>>(), 0.5)
}

const TICKS_A_SECOND: f64 = 100.0;
