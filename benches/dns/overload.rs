//! A modest client beside a flood.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::UdpGsoSegment;
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::client::{Client, Seen, wait_until};
use crate::cluster::{Cluster, NAMESPACES};
use crate::load::{self, Transport};
use crate::names::{self, Draw, Queries};
use crate::options::Options;
use crate::process::Server;
use crate::wire::{self, A};
use crate::{Outcome, rutter};

pub fn measure(options: &Options) -> Outcome<Option<String>> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::new(10_000);
    // takes queries and says nothing, so that what is asked of it waits
    let upstream = UdpSocket::bind("127.0.0.1:0")?;
    let server = rutter::start(options, dir.path(), &cluster, upstream.local_addr()?)?;
    let queries = Queries::random(dir.path())?;
    let capacity = capacity(&server, &queries)?;
    println!("it answers {capacity:.0} random names a second");
    let mut problems = Vec::new();
    for (name, domain) in [("of the cluster", names::CLUSTER), ("of others", names::OTHERS)] {
        let problem = under_flood(&server, &cluster, options, domain, capacity)?;
        problems.extend(problem.map(|problem| format!("random names {name}: {problem}")));
    }
    Ok((!problems.is_empty()).then(|| problems.join(", ")))
}

/// Names of the cluster that do not exist, a second.
fn capacity(server: &Server, queries: &Queries) -> Outcome<f64> {
    Ok(load::run(server.addr, Transport::Udp, queries, 2)?.rate)
}

fn under_flood(
    server: &Server,
    cluster: &Cluster,
    options: &Options,
    domain: &str,
    capacity: f64,
) -> Outcome<Option<String>> {
    let duration = duration(options);
    let (is_over, rate) = (AtomicBool::new(false), (FACTOR * capacity) as u64);
    let (before, dropped_before) = (server.process.rss_mib()?, dropped(server.addr)?);
    let flood = Command::new(std::env::current_exe()?)
        .args(["load", "flood", &server.addr.to_string(), domain])
        .args([rate.to_string(), duration.as_secs().to_string()])
        .stdout(Stdio::piped())
        .spawn()?;
    let ask = |last, is_tcp, rate| {
        let client = Client { from: [127, 0, 9, last].into(), server: server.addr, is_tcp, rate };
        let asked = client.ask(duration, |number| {
            let place = number % cluster.of_a_kind();
            format!("web{place}.ns{}.svc.cluster.local", place % NAMESPACES)
        });
        Seen::of(&asked)
    };
    let (seen, by_tcp, peak) = thread::scope(|scope| {
        scope.spawn(|| stay_connected(server.addr, &is_over));
        let peak = scope.spawn(|| peak_rss(server, &is_over));
        let by_tcp = scope.spawn(|| ask(2, true, 5));
        let seen = ask(1, false, 50);
        let by_tcp = by_tcp.join().map_err(|_| "the client over TCP")?;
        is_over.store(true, Ordering::Relaxed);
        Outcome::Ok((seen, by_tcp, peak.join().map_err(|_| "memory")?))
    })?;
    let printed = String::from_utf8(flood.wait_with_output()?.stdout)?;
    let sent = printed.trim().parse::<f64>()?;
    let lost = 100.0 * (dropped(server.addr)? - dropped_before) as f64 / sent;
    let sent = sent / duration.as_secs_f64();
    let grown = peak - before;
    println!(
        "{sent:.0} random names below {domain} a second ({:.1} × capacity) and {CONNECTIONS} idle \
         connections:\n  over UDP {seen}\n  over TCP {by_tcp}\n  {lost:.0} % of the flood was \
         dropped by the system, which is told to or has no room\n  {before:.0} MiB before, {grown:+.0} MiB",
        sent / capacity,
    );
    let is_good = seen.answered >= ANSWERED && grown <= GROWTH;
    Ok((!is_good).then(|| format!("{:.2} % answered, {grown:+.0} MiB", seen.answered * 100.0)))
}

fn duration(options: &Options) -> Duration {
    Duration::from_secs(10 * u64::from(options.seconds))
}

/// Datagrams that the system has dropped at a socket: its filter said so, or its buffer was full (proc(5)).
fn dropped(server: SocketAddr) -> Outcome<u64> {
    let port = format!(":{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/net/udp")?;
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)));
    Ok(line.and_then(|line| line.split_whitespace().last()).ok_or("no such socket")?.parse()?)
}

/// Holds many connections open on which nothing is said, and opens them again when they are closed.
fn stay_connected(server: SocketAddr, is_over: &AtomicBool) {
    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    connections.resize_with(CONNECTIONS, || None);
    while !is_over.load(Ordering::Relaxed) {
        for (place, slot) in connections.iter_mut().enumerate() {
            let is_open = slot.as_mut().is_some_and(|stream| {
                let error = stream.read(&mut [0]).map_err(|error| error.kind());
                // before it is established there is nothing to read either
                matches!(
                    error,
                    Err(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::NotConnected)
                )
            });
            if !is_open {
                *slot = connect(server, place % CLIENTS).ok();
            }
        }
        thread::park_timeout(Duration::from_secs(1));
    }
}

/// Starts to connect from an address of its own, and does not wait.
fn connect(server: SocketAddr, client: usize) -> Outcome<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = Ipv4Addr::new(127, 0, 8, 1 + client as u8);
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.set_nonblocking(true)?;
    // it says that it is under way
    let _ = socket.connect(&server.into());
    Ok(socket.into())
}

fn peak_rss(server: &Server, is_over: &AtomicBool) -> f64 {
    let mut peak: f64 = 0.0;
    while !is_over.load(Ordering::Relaxed) {
        peak = peak.max(server.process.rss_mib().unwrap_or_default());
        thread::park_timeout(Duration::from_millis(100));
    }
    peak
}

/// What a process of its own does for another.
pub fn be_load(words: &[String]) -> Outcome<()> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["flood", server, domain, rate, seconds] => {
            flood(server.parse()?, domain, rate.parse()?, seconds.parse()?)
        }
        _ => Err("no such load".into()),
    }
}

/// Sends random names below a domain, so many a second for so many seconds, from four clients,
/// reads no answer, and prints how many it could send. Many names are handed over as one datagram
/// that the system cuts (`UDP_SEGMENT`): one CPU can flood another that way.
fn flood(server: SocketAddr, domain: &str, rate: u64, seconds: u64) -> Outcome<()> {
    let mut draw = Draw(5);
    let mut queries: Vec<Vec<u8>> = (0..BATCH)
        .map(|id| wire::query(id, &names::random_name(&mut draw, domain), A, false))
        .collect();
    let sockets = (1..=4)
        .map(|client| {
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 7, client), 0))?;
            socket.connect(server)?;
            setsockopt(&socket, UdpGsoSegment, &i32::try_from(queries[0].len())?)?;
            Ok(socket)
        })
        .collect::<Outcome<Vec<_>>>()?;
    let (started, mut sent) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(seconds) {
        for socket in &sockets {
            queries.iter_mut().for_each(|query| names::rename(query, &mut draw));
            if socket.send(&queries.concat()).is_ok() {
                sent += u64::from(BATCH);
            }
        }
        wait_until(started + Duration::from_secs_f64(sent as f64 / rate as f64));
    }
    println!("{sent}");
    Ok(())
}

/// How many times the capacity is offered.
const FACTOR: f64 = 3.0;
/// Names that are handed over at once: as many as the system cuts.
const BATCH: u16 = 64;
/// Connections, and the addresses they come from.
const CONNECTIONS: usize = 5_000;
const CLIENTS: usize = 250;
/// Share of its queries that the modest client shall have answered.
const ANSWERED: f64 = 0.999;
/// MiB that a flood may take.
const GROWTH: f64 = 64.0;
