//! What names of the cluster take while upstreams fail, and others flood with names that those
//! upstreams would know.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, Seen, wait_until};
use crate::cluster::{Cluster, NAMESPACES};
use crate::names::{self, Draw};
use crate::options::Options;
use crate::process::free_port;
use crate::wire::{self, A};
use crate::{Outcome, responder, rutter};

/// How an upstream fails. It gets a socket and the address of the server that asks.
type Failing = fn(UdpSocket, SocketAddr);

const FAILINGS: [(&str, Failing); 5] = [
    ("dead", |socket, _| drop(socket)),
    ("silent", silent),
    ("slow (2 s)", slow),
    ("lying", lying),
    ("looping back", looping),
];

pub fn measure(options: &Options) -> Outcome<Option<String>> {
    let cluster = Cluster::new(1_000);
    let mut problems = Vec::new();
    for (name, failing) in FAILINGS {
        let dir = tempfile::tempdir()?;
        let port = free_port()?;
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let (upstream, addr) = (socket.local_addr()?, SocketAddr::from(([127, 0, 0, 1], port)));
        thread::spawn(move || failing(socket, addr));
        let server = rutter::start_at(options, dir.path(), &cluster, upstream, port)?;
        let seen = ask_under_flood(server.addr, &cluster, options.seconds);
        println!("{name:12}: {seen}");
        let limit = options.most(LIMIT);
        if seen.answered < 1.0 || seen.p99 > limit {
            problems.push(format!("upstream {name}: {seen}, above {limit} ms or not all"));
        }
    }
    Ok((!problems.is_empty()).then(|| problems.join(", ")))
}

fn ask_under_flood(server: SocketAddr, cluster: &Cluster, seconds: u32) -> Seen {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| flood(server, &is_over));
        let client = Client { from: [127, 0, 9, 1].into(), server, is_tcp: false, rate: 200 };
        let asked = client.ask(Duration::from_secs(2 * u64::from(seconds)), |number| {
            let place = number % cluster.of_a_kind();
            format!("web{place}.ns{}.svc.cluster.local", place % NAMESPACES)
        });
        is_over.store(true, Ordering::Relaxed);
        Seen::of(&asked)
    })
}

/// Names of others, none like another, from four clients.
fn flood(server: SocketAddr, is_over: &AtomicBool) {
    let sockets: Vec<UdpSocket> =
        (1..=4).flat_map(|client| UdpSocket::bind((Ipv4Addr::new(127, 0, 7, client), 0))).collect();
    let mut draw = Draw(4);
    let mut next = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        for socket in &sockets {
            let name = names::random_name(&mut draw, names::OTHERS);
            let _ = socket.send_to(&wire::query(draw.next() as u16, &name, A, false), server);
        }
        next += Duration::from_secs(1) * sockets.len() as u32 / FLOOD;
        wait_until(next);
    }
}

/// Takes queries and says nothing.
fn silent(socket: UdpSocket, _: SocketAddr) {
    let mut buffer = [0; 2048];
    while socket.recv(&mut buffer).is_ok() {}
}

/// Says everything two seconds late.
fn slow(socket: UdpSocket, _: SocketAddr) {
    let waiting = Mutex::new(VecDeque::new());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2048];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                let due = Instant::now() + Duration::from_secs(2);
                let answer = responder::answer(&buffer[..length]);
                if let Ok(mut waiting) = waiting.lock() {
                    waiting.push_back((due, client, answer));
                }
            }
        });
        loop {
            let first = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
            match first {
                Some((due, client, answer)) => {
                    wait_until(due);
                    let _ = socket.send_to(&answer.unwrap_or_default(), client);
                }
                None => thread::park_timeout(Duration::from_millis(1)),
            }
        }
    });
}

/// Answers with another id, about another name, without a question, and with junk, in turn.
fn lying(socket: UdpSocket, _: SocketAddr) {
    let mut buffer = [0; 2048];
    let mut turn = 0;
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        let Some(mut answer) = responder::answer(&buffer[..length]) else { continue };
        turn += 1;
        match turn % 4 {
            0 => answer[0] ^= 1,
            1 => answer[13] ^= 1,
            2 => answer.truncate(12),
            _ => answer[12..].fill(0xc0),
        }
        let _ = socket.send_to(&answer, client);
    }
}

/// Asks the server itself, and gives it its own answers.
fn looping(socket: UdpSocket, server: SocketAddr) {
    let Ok(asking) = UdpSocket::bind("127.0.0.1:0") else { return };
    // who asked, by the id of the query
    let clients = Mutex::new(vec![None; 1 << 16]);
    let id = |message: &[u8]| u16::from_be_bytes([message[0], message[1]]).into();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2048];
            while let Ok((length, client)) = socket.recv_from(&mut buffer) {
                if let Ok(mut clients) = clients.lock() {
                    let place: usize = id(&buffer);
                    clients[place] = Some(client);
                }
                let _ = asking.send_to(&buffer[..length], server);
            }
        });
        let mut buffer = [0; 2048];
        loop {
            // that nobody listens is an error here too
            let Ok(length) = asking.recv(&mut buffer) else { continue };
            let place: usize = id(&buffer);
            let client = clients.lock().ok().and_then(|mut clients| clients[place].take());
            if let Some(client) = client {
                let _ = socket.send_to(&buffer[..length], client);
            }
        }
    });
}

/// Queries a second.
const FLOOD: u32 = 5_000;
/// Milliseconds.
const LIMIT: f64 = 10.0;
