//! The sockets of one worker, and what clients may use of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant;

use super::answer::{Answered, Said, answer};
use super::connection;
use super::datagrams;
use super::forward::{Forwarder, Identity};
use super::limits::Limits;
use super::pending::{Finished, Pending};
use crate::life::spawn_local;
use crate::observe::DnsRecord;
use crate::plane::Local;
use crate::snapshot::Transport;

/// Serves the names of the snapshot on one worker.
#[derive(Debug)]
pub struct Server {
    pub(super) local: Rc<Local>,
    pub(super) limits: Limits,
    /// Open connections by client; never one with 0.
    connections: RefCell<HashMap<IpAddr, usize>>,
    forwarder: Rc<Forwarder>,
}

impl Server {
    /// Makes a server without sockets. All servers of a process have one identity.
    pub fn new(local: Rc<Local>, limits: Limits, identity: Identity) -> Rc<Self> {
        let forwarder = Forwarder::new(limits.clone(), identity, local.observer.clone());
        Rc::new(Self { local, limits, connections: RefCell::default(), forwarder })
    }

    /// Serves both sockets, which must be non-blocking, until the drain starts. Connections then
    /// finish the query they are at.
    pub async fn run(self: Rc<Self>, udp: std::net::UdpSocket, tcp: std::net::TcpListener) {
        let sockets =
            UdpSocket::from_std(udp).and_then(|udp| Ok((udp, TcpListener::from_std(tcp)?)));
        let (udp, tcp) = match sockets {
            Ok((udp, tcp)) => (Rc::new(udp), tcp),
            Err(error) => return tracing::error!(%error, "cannot serve DNS"),
        };
        tokio::select! {
            biased;
            () = self.local.drain.started() => {}
            () = datagrams::serve(&self, &udp) => {}
            () = self.accept(&tcp) => {}
        }
    }

    /// Answers one query into `out`, as far as that needs no waiting.
    pub(super) fn answer(
        &self,
        request: &[u8],
        client: IpAddr,
        transport: Transport,
        out: &mut Vec<u8>,
    ) -> Next {
        let started = Instant::now();
        let rotate = self.local.rng.borrow_mut().next_u64();
        let snapshot = self.local.snapshot.load();
        let answered = match answer(request, &snapshot, client, transport, rotate, out) {
            Some(Said::Answered(answered)) => Some(answered),
            Some(Said::Pending(pending)) => match self.answer_at_once(pending, out) {
                Ok(answered) => answered,
                Err(pending) => return Next::Wait(Waiting { pending, transport, started }),
            },
            None => None,
        };
        let Some(answered) = answered else { return Next::Nothing };
        self.record(answered, transport, started);
        Next::Send
    }

    /// What has been asked of upstreams before, or has come back from one.
    fn answer_at_once(
        &self,
        mut pending: Box<Pending>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Answered>, Box<Pending>> {
        let identity = self.forwarder.identity();
        loop {
            if identity.is_in(&pending.name) {
                return Ok(pending.tell(identity.text(), out));
            }
            let forward = pending.forward.clone();
            let cached = self.forwarder.cached(&forward, &pending.name, &pending.asked);
            let Some(answer) = cached else { return Err(pending) };
            match pending.finish(&Ok(answer), out) {
                Finished::Answered(answered) => return Ok(answered),
                Finished::Ask(next) => pending = next,
            }
        }
    }

    /// Asks upstreams and answers into `out`; `false`: there is nothing to send.
    pub(super) async fn forward(
        &self,
        waiting: Waiting,
        client: IpAddr,
        out: &mut Vec<u8>,
    ) -> bool {
        let Waiting { mut pending, transport, started } = waiting;
        let answered = loop {
            let Pending { forward, name, asked, .. } = &*pending;
            let outcome = self.forwarder.resolve(forward, name, client, asked).await;
            match pending.finish(&outcome, out) {
                Finished::Answered(answered) => break answered,
                Finished::Ask(next) => pending = next,
            }
        };
        let Some(answered) = answered else { return false };
        self.record(answered, transport, started);
        true
    }

    fn record(&self, answered: Answered, transport: Transport, started: Instant) {
        drop(DnsRecord {
            observer: self.local.observer.clone(),
            started,
            transport,
            query_type: answered.query_type,
            rcode: answered.rcode,
            searched: answered.searched,
        });
    }

    /// Counts queries that were dropped unread, for there were too many.
    pub(super) fn count_dropped(&self, queries: usize) {
        if queries > 0 {
            self.local.observer.drop_queries(queries as u64);
        }
    }

    async fn accept(self: &Rc<Self>, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    // over the limit: closed at once, which costs no more than a refusal
                    let Some(slot) = Slot::take(self, client) else { continue };
                    let server = self.clone();
                    spawn_local("dns connection", async move {
                        connection::serve(server, stream, client.ip()).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept DNS connections");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }
}

/// What becomes of a query.
pub(super) enum Next {
    /// It is no query.
    Nothing,
    /// The answer is written.
    Send,
    /// Upstreams have to be asked: [`Server::forward`].
    Wait(Waiting),
}

/// A query that waits for upstreams.
pub(super) struct Waiting {
    pending: Box<Pending>,
    transport: Transport,
    started: Instant,
}

/// The place of one connection among those allowed; given back when it is dropped.
struct Slot {
    server: Rc<Server>,
    client: IpAddr,
}

impl Slot {
    fn take(server: &Rc<Server>, client: SocketAddr) -> Option<Self> {
        let client = client.ip();
        let mut connections = server.connections.borrow_mut();
        let of_client = connections.get(&client).copied().unwrap_or_default();
        let all: usize = connections.values().sum();
        if all >= server.limits.connections || of_client >= server.limits.connections_per_client {
            return None;
        }
        connections.insert(client, of_client + 1);
        Some(Self { server: server.clone(), client })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut connections = self.server.connections.borrow_mut();
        match connections.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(connections.remove(&self.client)),
        }
    }
}

/// How long to wait after an error that only time and others can mend.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);
