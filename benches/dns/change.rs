//! How long a saved manifest takes until the answer on the wire says so.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{self, Cluster};
use crate::options::Options;
use crate::process::quantile;
use crate::wire::{self, A, Answer};
use crate::{Outcome, client, responder, rutter};

/// Saves a Service with another address each time, and asks for it every millisecond.
pub fn measure(options: &Options) -> Outcome<Option<String>> {
    // in memory: a disk that writes its journal holds up whoever lists a directory for 100 ms and more
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
    let (services, changes) = if options.is_quick { (1_000, 10) } else { (10_000, 100) };
    let server = rutter::start(options, dir.path(), &Cluster::new(services), responder::start()?)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server.addr)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let manifests = rutter::manifests(dir.path());
    let mut latencies = Vec::new();
    for change in 0..changes {
        let address = [127, 96, 200, 1 + change as u8];
        let saved = Instant::now();
        save(&manifests, address)?;
        latencies.push(answered(&socket, address, saved)?.as_secs_f64() * 1000.0);
    }
    let [median, p99] = [0.5, 0.99].map(|share| quantile(&mut latencies, share));
    println!("{services} Services: saved → answered {median:.0} ms median, {p99:.0} ms p99");
    let limit = options.most(LIMIT);
    Ok((p99 > limit).then(|| format!("{p99:.0} ms, above {limit}")))
}

/// Writes as an editor does: a new file, renamed into place.
fn save(dir: &Path, address: [u8; 4]) -> Outcome<()> {
    let draft = dir.join(".changing.draft");
    let [a, b, c, d] = address;
    fs::write(&draft, cluster::service(CHANGING, &format!("{a}.{b}.{c}.{d}")))?;
    Ok(fs::rename(draft, dir.join("changing.yaml"))?)
}

/// Asks until the answer is that address: how long after it was saved.
fn answered(socket: &UdpSocket, address: [u8; 4], saved: Instant) -> Outcome<Duration> {
    let namespace = CHANGING % cluster::NAMESPACES;
    let name = format!("web{CHANGING}.ns{namespace}.svc.cluster.local");
    let mut buffer = [0; 2048];
    for asked in 1..10_000 {
        socket.send(&wire::query(asked, &name, A, false))?;
        let length = socket.recv(&mut buffer)?;
        let answer = Answer::read(&buffer[..length]).ok_or("no answer")?;
        if answer.address() == Some(address) {
            return Ok(saved.elapsed());
        }
        client::wait_until(saved + Duration::from_millis(asked.into()));
    }
    Err("the change is never answered".into())
}

/// The Service that changes: behind all others.
const CHANGING: usize = 1_000_000;
/// Milliseconds.
const LIMIT: f64 = 100.0;
