//! DNS over UDP: many datagrams a system call.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::heavy::{Change, HeavyHitters};
use super::limits::UDP_QUERY;
use super::server::{BACK_OFF, Next, Server, Waiting};
use super::shed::Shed;
use crate::life::spawn_local;
use crate::net::{Inbox, Outbox, SourceFilter, enlarge_receive_buffer};

/// Answers what arrives at a socket, for ever. What the socket does not take at once is dropped:
/// clients of DNS over UDP ask again.
pub(super) async fn serve(server: &Rc<Server>, socket: &Rc<UdpSocket>) {
    enlarge_receive_buffer(socket, RECEIVE_BUFFER);
    let mut datagrams = Datagrams {
        inbox: Inbox::new(WAITING, UDP_QUERY),
        outbox: Outbox::new(),
        shed: Shed::default(),
        heavy: HeavyHitters::default(),
    };
    loop {
        if let Err(error) = datagrams.wait(socket).await {
            tracing::warn!(%error, "cannot read DNS queries");
            tokio::time::sleep(BACK_OFF).await;
        }
        datagrams.turn(server, socket);
        // others of the worker have their turn
        tokio::task::yield_now().await;
    }
}

struct Datagrams {
    inbox: Inbox,
    outbox: Outbox,
    shed: Shed,
    heavy: HeavyHitters,
}

impl Datagrams {
    /// Waits until something arrives, or a filter has to be looked at: the client that it is for may
    /// be the only one that asks.
    async fn wait(&self, socket: &UdpSocket) -> io::Result<()> {
        match self.heavy.due(Instant::now()) {
            None => socket.readable().await,
            Some(due) => timeout_at(due, socket.readable()).await.unwrap_or(Ok(())),
        }
    }

    /// Takes in what waits and answers it, or as much of it as [`Shed`] chooses.
    fn turn(&mut self, server: &Rc<Server>, socket: &Rc<UdpSocket>) {
        let is_all = self.receive(socket);
        let now = Instant::now();
        server.count_dropped(self.filter(socket, !is_all, now));
        let clients = self.inbox.senders().map(|sender| sender.ip());
        let waited = clients.len();
        let chosen = self.shed.choose(clients, !is_all, now);
        let mut answered = 0;
        for (query, client) in chosen.filter_map(|place| self.inbox.get(place)) {
            answered += 1;
            if self.outbox.is_full() {
                self.outbox.send(socket);
            }
            let Some(out) = self.outbox.room() else { continue };
            match server.answer_datagram(query, client.ip(), out) {
                Next::Nothing => {}
                Next::Send => self.outbox.push(client),
                Next::Wait(waiting) => forward(server, socket, waiting, client),
            }
        }
        self.outbox.send(socket);
        self.inbox.clear();
        server.count_dropped(waited - answered);
    }

    /// Has the kernel drop what heavy hitters ask too much, and gives how many queries that were.
    fn filter(&mut self, socket: &UdpSocket, is_full: bool, now: Instant) -> usize {
        let clients = self.inbox.senders().map(|sender| sender.ip());
        let is_overloaded = self.shed.was_overloaded(now);
        let (change, dropped) = self.heavy.look(clients, is_full, is_overloaded, now);
        let outcome = match &change {
            None => Ok(()),
            Some(Change::Attach(filter)) => filter.attach(socket),
            Some(Change::Detach) => SourceFilter::detach(socket),
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, ?change, "cannot filter the queries of heavy hitters");
            self.heavy.forget();
        }
        dropped
    }

    /// Says whether all that waited is in the inbox. That readiness is cleared then spares the call
    /// that would find nothing: what arrives afterwards sets it again.
    fn receive(&mut self, socket: &UdpSocket) -> bool {
        let received = socket.try_io(Interest::READABLE, || {
            match self.inbox.receive(socket) {
                Ok(true) => Err(io::ErrorKind::WouldBlock.into()),
                Ok(false) => Ok(()),
                // of an earlier answer that did not arrive, or nothing
                Err(error) => Err(error),
            }
        });
        received.is_err()
    }
}

fn forward(server: &Rc<Server>, socket: &Rc<UdpSocket>, waiting: Waiting, client: SocketAddr) {
    let (server, socket) = (server.clone(), socket.clone());
    let guard = server.local.drain.guard();
    spawn_local("dns forward", async move {
        let mut out = Vec::new();
        if server.forward(waiting, client.ip(), &mut out).await {
            let _ = socket.try_send_to(&out, client);
        }
        drop(guard);
    });
}

/// Queries taken in at a time.
const WAITING: usize = 256;

/// For what waits while the worker is at something else. In bytes, of which the system takes about
/// 800 for one query.
pub(super) const RECEIVE_BUFFER: usize = 32 << 20;
