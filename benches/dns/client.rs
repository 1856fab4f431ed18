//! A modest client: it asks at a steady pace, each time from a socket of its own, once.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use crate::Outcome;
use crate::wire::{self, A, Answer};

pub struct Client {
    /// Its own address.
    pub from: IpAddr,
    pub server: SocketAddr,
    pub is_tcp: bool,
    /// Queries a second.
    pub rate: u32,
}

impl Client {
    /// Asks for addresses of `name(0)`, `name(1)`… for some time, and gives the milliseconds until
    /// the answer came, with at least one address; `None`: it did not within a second.
    pub fn ask(
        &self,
        duration: Duration,
        name: impl Fn(usize) -> String + Sync,
    ) -> Vec<Option<f64>> {
        let queries = (duration.as_secs_f64() * f64::from(self.rate)) as usize;
        let pace = Duration::from_secs(1) / self.rate;
        let started = Instant::now();
        thread::scope(|scope| {
            let asking: Vec<_> = (0..queries)
                .map(|number| {
                    wait_until(started + pace * number as u32);
                    let name = &name;
                    scope.spawn(move || self.ask_once(number as u16, &name(number)).ok().flatten())
                })
                .collect();
            asking.into_iter().map(|asking| asking.join().ok().flatten()).collect()
        })
    }

    fn ask_once(&self, id: u16, name: &str) -> Outcome<Option<f64>> {
        let query = wire::query(id, name, A, false);
        let started = Instant::now();
        let mut buffer = [0; 4096];
        let length = if self.is_tcp {
            self.exchange_by_stream(&query, &mut buffer)?
        } else {
            self.exchange_by_datagram(&query, &mut buffer)?
        };
        let took = started.elapsed().as_secs_f64() * 1000.0;
        let answer = Answer::read(&buffer[..length]);
        let is_good = |answer: &Answer<'_>| {
            answer.id == id && answer.rcode == wire::NO_ERROR && answer.answers > 0
        };
        Ok(answer.filter(is_good).map(|_| took))
    }

    fn exchange_by_datagram(&self, query: &[u8], buffer: &mut [u8]) -> Outcome<usize> {
        let socket = UdpSocket::bind((self.from, 0))?;
        socket.connect(self.server)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(query)?;
        Ok(socket.recv(buffer)?)
    }

    fn exchange_by_stream(&self, query: &[u8], buffer: &mut [u8]) -> Outcome<usize> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((self.from, 0)).into())?;
        socket.connect_timeout(&self.server.into(), PATIENCE)?;
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[&(query.len() as u16).to_be_bytes(), query].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        stream.read_exact(&mut buffer[..length])?;
        Ok(length)
    }
}

/// What a client saw.
pub struct Seen {
    /// Share of its queries that were answered.
    pub answered: f64,
    /// Of those, in milliseconds.
    pub median: f64,
    pub p99: f64,
}

impl Seen {
    pub fn of(asked: &[Option<f64>]) -> Self {
        let mut took: Vec<f64> = asked.iter().flatten().copied().collect();
        let answered = took.len() as f64 / asked.len() as f64;
        if took.is_empty() {
            took.push(f64::INFINITY);
        }
        let [median, p99] = [0.5, 0.99].map(|share| crate::process::quantile(&mut took, share));
        Self { answered, median, p99 }
    }
}

impl std::fmt::Display for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, median, p99 } = self;
        write!(out, "{:.2} % answered, {median:.2} ms median, {p99:.2} ms p99", answered * 100.0)
    }
}

pub fn wait_until(moment: Instant) {
    while let Some(left) = moment.checked_duration_since(Instant::now()).filter(|it| !it.is_zero())
    {
        thread::park_timeout(left);
    }
}

const PATIENCE: Duration = Duration::from_secs(1);
