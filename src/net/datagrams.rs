//! Many datagrams a system call: `recvmmsg` and `sendmmsg`.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::libc::{c_int, in6_pktinfo};
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmmsg,
    setsockopt,
};

/// Datagrams that a socket has received, in the order in which they came.
pub struct Inbox {
    /// Slots of equal size, one a datagram.
    buffer: Box<[u8]>,
    slot: usize,
    received: Vec<Received>,
    headers: MultiHeaders<SockaddrStorage>,
    /// Whether a socket tells more of a datagram than who sent it.
    has_details: bool,
}

/// What the system tells of a datagram.
#[derive(Clone, Copy, Debug)]
struct Received {
    length: usize,
    from: SocketAddr,
    at: Option<IpAddr>,
    segment: Option<u16>,
}

/// What came in by a socket that [tells details](super::tell_details).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival<'a> {
    /// One datagram, or several of one sender.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub from: SocketAddr,
    /// The address that it was sent to.
    pub at: Option<IpAddr>,
    /// The length of each datagram but the last one, where `bytes` are several.
    pub segment: Option<u16>,
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
            has_details: false,
        }
    }

    /// Makes room for whole datagrams with all that is told of them.
    pub fn with_details() -> Self {
        Self { has_details: true, ..Self::new(AT_ONCE, LARGEST) }
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
        if self.has_details {
            // the system writes into a header how much of its room was used, and the next call takes
            // that for all the room there is
            let room = cmsg_space!(in6_pktinfo, c_int);
            self.headers = MultiHeaders::preallocate(AT_ONCE, Some(room));
        }
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
        self.received.extend(results.map(|it| Received::read(&it)));
        Ok(self.received.len() - before)
    }

    /// Who sent them, in their order.
    pub fn senders(&self) -> impl DoubleEndedIterator<Item = SocketAddr> + ExactSizeIterator {
        self.received.iter().map(|it| it.from)
    }

    /// One of them, with who sent it.
    pub fn get(&self, place: usize) -> Option<(&[u8], SocketAddr)> {
        let arrival = self.arrival(place)?;
        Some((arrival.bytes, arrival.from))
    }

    /// All of them, with what is told of them.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        (0..self.received.len()).filter_map(|place| self.arrival(place))
    }

    fn arrival(&self, place: usize) -> Option<Arrival<'_>> {
        let Received { length, from, at, segment } = *self.received.get(place)?;
        let start = place * self.slot;
        let bytes = self.buffer.get(start..start + length.min(self.slot))?;
        Some(Arrival { bytes, from, at, segment })
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.received.clear();
    }
}

impl Received {
    fn read(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Self {
        // one without an address is no datagram of the internet: nobody could be answered
        let from = message.address.and_then(|it| internet(&it)).unwrap_or(NOBODY);
        let mut received = Self { length: message.bytes, from, at: None, segment: None };
        for detail in message.cmsgs().into_iter().flatten() {
            #[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens")]
            match detail {
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    received.at = Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    received.at = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                }
                ControlMessageOwned::UdpGroSegments(length) => {
                    let length = u16::try_from(length).ok();
                    received.segment = length.filter(|it| usize::from(*it) < message.bytes);
                }
                _ => {}
            }
        }
        received
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

pub(super) fn internet(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|it| SocketAddrV4::from(*it).into());
    v4.or_else(|| address.as_sockaddr_in6().map(|it| SocketAddrV6::from(*it).into()))
}

/// Stands for a sender without an address; port 0 cannot be sent to.
const NOBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0));

/// Datagrams a system call. More save little (the call itself is a twentieth by then).
pub(super) const AT_ONCE: usize = 32;

/// The largest datagram there is, and the largest bundle of them.
const LARGEST: usize = 65_535;
