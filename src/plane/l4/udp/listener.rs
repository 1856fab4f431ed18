//! Sockets that clients send to.

use std::cell::Cell;
use std::io;
use std::net::IpAddr;

use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::net::{Arrival, Inbox, tell_details};
use crate::plane::l4::flows::FlowKey;
use crate::snapshot::SocketKey;

/// One socket of clients.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: UdpSocket,
    pub(super) key: SocketKey,
    /// How many flows came by it.
    pub(super) flows: Cell<usize>,
}

impl Listener {
    /// Has the socket tell what is needed of datagrams.
    pub(super) fn new(socket: std::net::UdpSocket, key: SocketKey) -> io::Result<Self> {
        tell_details(&socket, key.addr.is_ipv4())?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, key, flows: Cell::new(0) })
    }

    /// Takes in what is there, up to a batch.
    pub(super) fn receive(&self, inbox: &mut Inbox) {
        // what it gives is for tokio, which clears readiness where all is taken in
        let _ = self.socket.try_io(Interest::READABLE, || match inbox.receive(&self.socket) {
            Ok(true) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        });
    }

    fn is_wildcard(&self) -> bool {
        self.key.addr.ip().is_unspecified()
    }

    pub(super) fn flow_key(&self, arrival: &Arrival<'_>) -> FlowKey {
        let at = arrival.at.filter(|_| self.is_wildcard()).unwrap_or_else(|| self.key.addr.ip());
        FlowKey::new(arrival.from, (at, self.key.addr.port()).into())
    }

    /// What answers say that they come from; a socket with an address says it by itself.
    pub(super) fn answers_from(&self, at: IpAddr) -> Option<IpAddr> {
        Some(at).filter(|at| self.is_wildcard() && !at.is_unspecified() && !at.is_multicast())
    }
}
