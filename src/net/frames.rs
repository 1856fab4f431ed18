//! Whole frames of one interface: packet(7). Needs CAP_NET_RAW.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;

use nix::sys::socket::bind;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::UdpSocket;

use super::Interface;
use super::ethernet::{ARP, IPV6};
use super::ndp::{ICMPV6, SOLICITATION};

/// A socket of one interface that receives one kind of frames, and sends any. To whom the runtime
/// tells that there is something, it is a socket of datagrams like any other.
#[derive(Debug)]
pub struct FrameSocket(UdpSocket);

impl FrameSocket {
    /// Whether this process may have such sockets at all.
    pub fn check_permission() -> io::Result<()> {
        socket(ARP).map(drop)
    }

    /// Receives ARP. Must be called on a runtime, as all that follows.
    pub fn arp(interface: &Interface) -> io::Result<Self> {
        Self::bound(socket(ARP)?, interface)
    }

    /// Receives neighbour solicitations, and nothing else of IPv6.
    pub fn solicitations(interface: &Interface) -> io::Result<Self> {
        let socket = socket(IPV6)?;
        socket.attach_filter(&[
            load_byte(NEXT_HEADER),
            unless(ICMPV6, 3),
            load_byte(MESSAGE),
            unless(SOLICITATION, 1),
            give(u32::from(u16::MAX)),
            give(0),
        ])?;
        Self::bound(socket, interface)
    }

    fn bound(mut socket: Socket, interface: &Interface) -> io::Result<Self> {
        // the protocol stays that of the socket
        bind(socket.as_raw_fd(), &interface.link)?;
        // until now it heard every interface
        while socket.read(&mut [0; 1]).is_ok() {}
        Ok(Self(UdpSocket::from_std(socket.into())?))
    }

    /// Takes in one frame, cut off where there is no more room. Cancel-safe.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.recv(buffer).await
    }

    /// Sends one frame, at once or not at all.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        SockRef::from(&self.0).send(frame).map(drop)
    }
}

fn socket(ether_type: u16) -> io::Result<Socket> {
    // in the order of bytes of the network
    let protocol = i32::from(ether_type.to_be());
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(protocol)))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Where the next header of IPv6 stands in a frame, and where the type of ICMPv6 without further
/// headers does.
const NEXT_HEADER: u32 = 20;
const MESSAGE: u32 = 54;

/// Instructions of bpf(4): BPF_LD|BPF_B|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K.
fn load_byte(place: u32) -> SockFilter {
    SockFilter::new(0x30, 0, 0, place)
}

fn unless(byte: u8, skip: u8) -> SockFilter {
    SockFilter::new(0x15, 0, skip, u32::from(byte))
}

fn give(bytes: u32) -> SockFilter {
    SockFilter::new(0x06, 0, 0, bytes)
}

/// The groups that one interface listens to because of us.
#[derive(Debug)]
pub struct Memberships {
    socket: Socket,
    interface: u32,
    joined: BTreeSet<Ipv6Addr>,
}

impl Memberships {
    /// None yet.
    pub fn new(interface: &Interface) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        Ok(Self { socket, interface: interface.index, joined: BTreeSet::new() })
    }

    /// Joins and leaves groups until it is these; what fails is tried again the next time.
    pub fn set(&mut self, groups: &BTreeSet<Ipv6Addr>) -> io::Result<()> {
        let mut outcome = Ok(());
        for group in self.joined.difference(groups) {
            // with an interface that is gone its memberships are
            let _ = self.socket.leave_multicast_v6(group, self.interface);
        }
        self.joined.retain(|group| groups.contains(group));
        for group in groups {
            if self.joined.contains(group) {
                continue;
            }
            match self.socket.join_multicast_v6(group, self.interface) {
                Ok(()) => drop(self.joined.insert(*group)),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}
