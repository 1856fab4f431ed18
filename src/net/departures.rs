//! Datagrams that say more than who they are for: which address they come from, and that they are
//! many in one.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg};
use nix::{Error, cmsg_space};

use super::datagrams::AT_ONCE;

/// What is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure<'a> {
    /// One datagram, or several for one receiver.
    pub bytes: &'a [u8],
    /// Who gets it.
    pub to: SocketAddr,
    /// Which address of this host it comes from; `None`: the socket's, or that of the route.
    pub from: Option<IpAddr>,
    /// The length of each datagram but the last one, where `bytes` are several.
    pub segment: Option<u16>,
}

/// Sends them by a non-blocking socket in their order. What it does not take is lost, as datagrams
/// may be.
pub fn send_departures(socket: &impl AsFd, departures: &[Departure<'_>]) {
    let fd = socket.as_fd().as_raw_fd();
    let details = |it: &Departure<'_>| (it.from, it.segment);
    for alike in departures.chunk_by(|one, other| details(one) == details(other)) {
        send_alike(fd, alike);
    }
}

/// Sends those that differ in who gets them only.
fn send_alike(fd: RawFd, mut left: &[Departure<'_>]) {
    let mut is_second_time = false;
    while let Some((first, rest)) = left.split_first() {
        match send_some(fd, *first, left) {
            Ok(0) | Err(Error::EAGAIN) => return,
            Ok(sent) => left = left.get(sent..).unwrap_or_default(),
            // it may be about an earlier one, and is told once
            Err(_) if !is_second_time => {
                is_second_time = true;
                continue;
            }
            Err(_) => {
                // a device may not take many in one, or the path not datagrams of that length
                if first.segment.is_some() {
                    send_alike(fd, &apart(*first));
                }
                left = rest;
            }
        }
        is_second_time = false;
    }
}

/// Each datagram by itself.
fn apart(bundle: Departure<'_>) -> Vec<Departure<'_>> {
    let length = usize::from(bundle.segment.unwrap_or(u16::MAX)).max(1);
    let each = bundle.bytes.chunks(length);
    each.map(|bytes| Departure { bytes, segment: None, ..bundle }).collect()
}

fn send_some(fd: RawFd, first: Departure<'_>, alike: &[Departure<'_>]) -> nix::Result<usize> {
    let alike = alike.get(..AT_ONCE).unwrap_or(alike);
    let slices: Vec<[IoSlice<'_>; 1]> = alike.iter().map(|it| [IoSlice::new(it.bytes)]).collect();
    let to: Vec<Option<SockaddrStorage>> = alike.iter().map(|it| Some(it.to.into())).collect();
    let segment = first.segment.unwrap_or_default();
    let (v4, v6);
    let mut details = Vec::with_capacity(2);
    let mut room = Vec::new();
    match first.from {
        Some(IpAddr::V4(ip)) => {
            let zero = in_addr { s_addr: 0 };
            let from = in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
            v4 = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: zero };
            details.push(ControlMessage::Ipv4PacketInfo(&v4));
            room = cmsg_space!(in_pktinfo);
        }
        Some(IpAddr::V6(ip)) => {
            let from = in6_addr { s6_addr: ip.octets() };
            v6 = in6_pktinfo { ipi6_addr: from, ipi6_ifindex: 0 };
            details.push(ControlMessage::Ipv6PacketInfo(&v6));
            room = cmsg_space!(in6_pktinfo);
        }
        None => {}
    }
    if first.segment.is_some() {
        details.push(ControlMessage::UdpGsoSegments(&segment));
        // all of the room is sent as details, so there is no byte more than they need
        room = vec![0; room.len() + cmsg_space!(u16).len()];
    }
    let room = Some(room).filter(|it| !it.is_empty());
    let mut headers = MultiHeaders::preallocate(alike.len(), room);
    let sent = sendmmsg(fd, &mut headers, &slices, to, &details, MsgFlags::MSG_DONTWAIT)?;
    Ok(sent.count())
}
