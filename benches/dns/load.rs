//! Load by dnsperf over UDP, and by connections of our own over TCP: dnsperf does not bear that a
//! server closes them.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::Outcome;
use crate::names::Queries;
use crate::wire::Answer;

/// How dnsperf asks.
#[derive(Clone, Copy)]
pub enum Transport {
    Udp,
    Tcp,
}

/// What came back.
pub struct Told {
    pub completed: u64,
    pub lost: u64,
    /// Queries completed a second.
    pub rate: f64,
    /// Response codes and their share in per cent.
    pub codes: Vec<(String, f64)>,
    /// Bytes of an answer, on average.
    pub size: u64,
}

/// Asks as fast as answers come, for some seconds.
pub fn run(
    server: SocketAddr,
    transport: Transport,
    queries: &Queries,
    seconds: u32,
) -> Outcome<Told> {
    match transport {
        Transport::Udp => by_datagrams(server, queries, seconds),
        Transport::Tcp => by_connections(server, queries, seconds),
    }
}

fn by_datagrams(server: SocketAddr, queries: &Queries, seconds: u32) -> Outcome<Told> {
    let file = queries.file.to_str().ok_or("the path is not UTF-8")?;
    let output = Command::new("taskset")
        .args(["-c", "1", "dnsperf", "-B", "-d", file, "-m", "udp", "-T", "1"])
        .args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()])
        .args(["-c", "8", "-q", "100", "-t", "1", "-l", &seconds.to_string()])
        .output()
        .map_err(|error| format!("dnsperf (Debian package dnsperf): {error}"))?;
    let printed = String::from_utf8(output.stdout)?;
    let told = read(&printed);
    told.ok_or_else(|| {
        format!("dnsperf:\n{printed}{}", String::from_utf8_lossy(&output.stderr)).into()
    })
}

fn read(printed: &str) -> Option<Told> {
    let line = |name: &str| {
        let line = printed.lines().find_map(|line| line.trim().strip_prefix(name))?;
        Some(line.trim_start_matches(':').trim())
    };
    let number = |name: &str| line(name)?.split_whitespace().next()?.parse::<f64>().ok();
    // NOERROR 85 (85.00%), NXDOMAIN 15 (15.00%)
    let code = |text: &str| {
        let mut words = text.split([' ', '(', ')', '%']).filter(|word| !word.is_empty());
        let (name, _count) = (words.next()?, words.next()?);
        Some((name.to_owned(), words.next()?.parse().ok()?))
    };
    Some(Told {
        completed: number("Queries completed")? as u64,
        lost: number("Queries lost")? as u64,
        rate: number("Queries per second")?,
        codes: line("Response codes")?.split(", ").filter_map(code).collect(),
        size: line("Average packet size")?.split_whitespace().last()?.parse().ok()?,
    })
}

/// Each connection asks for what a connection may, so many at a time; then comes the next.
fn by_connections(server: SocketAddr, queries: &Queries, seconds: u32) -> Outcome<Told> {
    let bytes = std::fs::read(&queries.file)?;
    let messages = framed(&bytes);
    let (started, duration) = (Instant::now(), Duration::from_secs(seconds.into()));
    let parts = messages.chunks(messages.len().div_ceil(CONNECTIONS));
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let connections: Vec<_> = parts
            .map(|part| {
                scope.spawn(move || {
                    let mut tally = Tally::default();
                    for share in part.chunks(SHARE).cycle() {
                        if started.elapsed() >= duration {
                            break;
                        }
                        tally.sent += share.len() as u64;
                        // what is not answered is counted as lost
                        let _ = ask_on_one(server, share, &mut tally);
                    }
                    tally
                })
            })
            .collect();
        connections.into_iter().flat_map(|connection| connection.join()).collect()
    });
    Tally::all(&tallies).told(started.elapsed()).ok_or_else(|| "nothing is answered".into())
}

fn ask_on_one(server: SocketAddr, share: &[&[u8]], tally: &mut Tally) -> Outcome<()> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::with_capacity(1 << 14, stream.try_clone()?);
    let mut buffer = vec![0; 1 << 16];
    for together in share.chunks(IN_FLIGHT) {
        stream.write_all(&together.concat())?;
        for _ in together {
            let mut length = [0; 2];
            answers.read_exact(&mut length)?;
            let answer = &mut buffer[..usize::from(u16::from_be_bytes(length))];
            answers.read_exact(answer)?;
            tally.count(answer);
        }
    }
    Ok(())
}

/// Messages with their lengths in front, as they stand one behind the other.
fn framed(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some(length) = bytes.first_chunk() {
        let (message, rest) = bytes.split_at(2 + usize::from(u16::from_be_bytes(*length)));
        messages.push(message);
        bytes = rest;
    }
    messages
}

#[derive(Default)]
struct Tally {
    sent: u64,
    bytes: u64,
    /// Answers by response code.
    codes: BTreeMap<u8, u64>,
}

impl Tally {
    fn count(&mut self, answer: &[u8]) {
        if let Some(read) = Answer::read(answer) {
            self.bytes += answer.len() as u64;
            *self.codes.entry(read.rcode).or_default() += 1;
        }
    }

    fn all(tallies: &[Self]) -> Self {
        let mut all = Self::default();
        for Self { sent, bytes, codes } in tallies {
            all.sent += sent;
            all.bytes += bytes;
            codes.iter().for_each(|(code, count)| *all.codes.entry(*code).or_default() += count);
        }
        all
    }

    fn told(&self, took: Duration) -> Option<Told> {
        let completed: u64 = self.codes.values().sum();
        let share = |count: &u64| 100.0 * *count as f64 / completed as f64;
        let name = |code: &u8| match code {
            0 => "NOERROR".to_owned(),
            3 => "NXDOMAIN".to_owned(),
            other => format!("code {other}"),
        };
        Some(Told {
            completed,
            lost: self.sent - completed,
            rate: completed as f64 / took.as_secs_f64(),
            size: self.bytes.checked_div(completed)?,
            codes: self.codes.iter().map(|(code, count)| (name(code), share(count))).collect(),
        })
    }
}

/// Connections at a time over TCP.
const CONNECTIONS: usize = 8;
/// Queries on one of them, as many as rutter takes.
const SHARE: usize = 128;
/// Of those, how many are sent together.
const IN_FLIGHT: usize = 16;
const PATIENCE: Duration = Duration::from_secs(1);
