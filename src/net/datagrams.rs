//! Many datagrams a system call: `recvmmsg` and `sendmmsg`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg, setsockopt};

/// Datagrams that a socket has received, in the order in which they came.
pub struct Inbox {
    /// Slots of equal size, one a datagram.
    buffer: Box<[u8]>,
    slot: usize,
    received: Vec<(usize, SocketAddr)>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Inbox {
    /// Makes room for so many datagrams, a multiple of 32, of so many bytes each; what is
    /// longer is cut off. Memory is taken as it is used.
    pub fn new(datagrams: usize, bytes: usize) -> Self {
        Self {
            buffer: vec![0; datagrams * bytes].into_boxed_slice(),
            slot: bytes,
            received: Vec::with_capacity(datagrams),
            headers: MultiHeaders::preallocate(AT_ONCE, None),
        }
    }

    /// Takes in what a non-blocking socket has, as far as there is room, and says whether that was
    /// all. Fails only if there was nothing.
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<bool> {
        let room = self.buffer.len() / self.slot;
        while self.received.len() < room {
            match self.receive_some(socket) {
                Ok(count) if count < AT_ONCE => return Ok(true),
                Ok(_) => {}
                Err(_) if !self.received.is_empty() => return Ok(true),
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn receive_some(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        let unused = self.buffer.get_mut(self.received.len() * self.slot..).unwrap_or_default();
        let mut slots: Vec<[IoSliceMut<'_>; 1]> = unused
            .chunks_exact_mut(self.slot)
            .take(AT_ONCE)
            .map(|it| [IoSliceMut::new(it)])
            .collect();
        let fd = socket.as_fd().as_raw_fd();
        let results =
            recvmmsg(fd, &mut self.headers, slots.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
        let before = self.received.len();
        // one without an address is no datagram of the internet: nobody could be answered
        let from = |address: Option<SockaddrStorage>| address.and_then(|it| internet(&it));
        let received = results.map(|it| (it.bytes, from(it.address).unwrap_or(NOBODY)));
        self.received.extend(received);
        Ok(self.received.len() - before)
    }

    /// Who sent them, in their order.
    pub fn senders(&self) -> impl DoubleEndedIterator<Item = SocketAddr> + ExactSizeIterator {
        self.received.iter().map(|(_, sender)| *sender)
    }

    /// One of them, with who sent it.
    pub fn get(&self, place: usize) -> Option<(&[u8], SocketAddr)> {
        let (length, from) = *self.received.get(place)?;
        let start = place * self.slot;
        Some((self.buffer.get(start..start + length.min(self.slot))?, from))
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.received.clear();
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("received", &self.received.len()).finish_non_exhaustive()
    }
}

/// Datagrams that are to be sent.
pub struct Outbox {
    /// Kept and written over.
    messages: Vec<Vec<u8>>,
    to: Vec<Option<SockaddrStorage>>,
    headers: MultiHeaders<SockaddrStorage>,
}

impl Outbox {
    /// Makes an empty one, for 32 datagrams.
    pub fn new() -> Self {
        Self {
            messages: vec![Vec::new(); AT_ONCE],
            to: Vec::with_capacity(AT_ONCE),
            headers: MultiHeaders::preallocate(AT_ONCE, None),
        }
    }

    /// Whether no other has room.
    pub fn is_full(&self) -> bool {
        self.to.len() == AT_ONCE
    }

    /// Where the next one is to be written; what is there is of an earlier one. It is sent only if
    /// [`Outbox::push`] follows.
    pub fn room(&mut self) -> Option<&mut Vec<u8>> {
        self.messages.get_mut(self.to.len())
    }

    /// Addresses what was written.
    pub fn push(&mut self, to: SocketAddr) {
        self.to.push(Some(SockaddrStorage::from(to)));
    }

    /// Sends them by a non-blocking socket and gives how many it did not take: they are lost, as
    /// datagrams may be.
    pub fn send(&mut self, socket: &impl AsFd) -> usize {
        let (fd, mut done, mut lost) = (socket.as_fd().as_raw_fd(), 0, 0);
        while let Some(to) = self.to.get(done..).filter(|it| !it.is_empty()) {
            let left = self.messages.iter().skip(done).take(to.len());
            let slices: Vec<[IoSlice<'_>; 1]> = left.map(|it| [IoSlice::new(it)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            match sendmmsg(fd, &mut self.headers, &slices, to, [], flags).map(Iterator::count) {
                Ok(0) | Err(nix::Error::EAGAIN) => {
                    lost += to.len();
                    break;
                }
                Ok(sent) => done += sent,
                // the first one cannot be sent, which says nothing of the others
                Err(_) => (done, lost) = (done + 1, lost + 1),
            }
        }
        self.to.clear();
        lost
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("waiting", &self.to.len()).finish_non_exhaustive()
    }
}

/// Lets so many bytes wait at a socket: with privileges (CAP_NET_ADMIN) all of them, otherwise as
/// many as `net.core.rmem_max` has it.
pub fn enlarge_receive_buffer(socket: &impl AsFd, bytes: usize) {
    let forced = setsockopt(socket, RcvBufForce, &bytes);
    if let Err(error) = forced.or_else(|_| setsockopt(socket, RcvBuf, &bytes)) {
        tracing::debug!(%error, "the receive buffer of a socket stays as it is");
    }
}

fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|it| SocketAddrV4::from(*it).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|it| SocketAddrV6::from(*it).into()))
}

/// Stands for a sender without an address; port 0 cannot be sent to.
const NOBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0));

/// Datagrams a system call. More save little (the call itself is a twentieth by then).
const AT_ONCE: usize = 32;
