//! DNS over UDP: many datagrams a system call.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::limits::UDP_QUERY;
use super::server::{BACK_OFF, Next, Server, Waiting};
use super::shed::Shed;
use crate::life::spawn_local;
use crate::net::{Inbox, Outbox, enlarge_receive_buffer};

/// Answers what arrives at a socket, for ever. What the socket does not take at once is dropped:
/// clients of DNS over UDP ask again.
pub(super) async fn serve(server: &Rc<Server>, socket: &Rc<UdpSocket>) {
    enlarge_receive_buffer(socket, RECEIVE_BUFFER);
    let mut datagrams = Datagrams {
        inbox: Inbox::new(WAITING, UDP_QUERY),
        outbox: Outbox::new(),
        shed: Shed::default(),
    };
    loop {
        if let Err(error) = socket.readable().await {
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
}

impl Datagrams {
    /// Takes in what waits and answers it, or as much of it as [`Shed`] chooses.
    fn turn(&mut self, server: &Rc<Server>, socket: &Rc<UdpSocket>) {
        let is_all = self.receive(socket);
        let clients = self.inbox.senders().map(|sender| sender.ip());
        let waited = clients.len();
        let chosen = self.shed.choose(clients, !is_all, Instant::now());
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
const RECEIVE_BUFFER: usize = 32 << 20;
