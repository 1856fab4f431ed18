//! What a UDP socket is to tell of datagrams, beyond who sent them.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::libc::{
    EACCES, ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, c_int, sock_extended_err, sockaddr_in6,
};
use nix::sys::socket::sockopt::{
    Ipv4PacketInfo, Ipv4RecvErr, Ipv6RecvErr, Ipv6RecvPacketInfo, UdpGroSegment,
};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};

use super::datagrams::internet;

/// Has the system tell which address a datagram was sent to (IP_PKTINFO), and hand over many of one
/// sender as one (UDP_GRO), where it can.
pub fn tell_details(socket: &impl AsFd, is_ipv4: bool) -> io::Result<()> {
    // a kernel without it hands them over one by one
    let _ = setsockopt(socket, UdpGroSegment, &true);
    match is_ipv4 {
        true => setsockopt(socket, Ipv4PacketInfo, &true)?,
        false => setsockopt(socket, Ipv6RecvPacketInfo, &true)?,
    }
    Ok(())
}

/// Has the system keep what routers and hosts say of datagrams that did not arrive (IP_RECVERR).
pub fn tell_unreachable(socket: &impl AsFd, is_ipv4: bool) -> io::Result<()> {
    match is_ipv4 {
        true => setsockopt(socket, Ipv4RecvErr, &true)?,
        false => setsockopt(socket, Ipv6RecvErr, &true)?,
    }
    Ok(())
}

/// The next address of which the system was told that nobody is there (ICMP); `None`: of no other.
pub fn unreachable(socket: &impl AsFd) -> Option<SocketAddr> {
    loop {
        let mut start = [0; 1];
        let mut start = [IoSliceMut::new(&mut start)];
        let mut room = cmsg_space!(sock_extended_err, sockaddr_in6);
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let fd = socket.as_fd().as_raw_fd();
        let told = recvmsg::<SockaddrStorage>(fd, &mut start, Some(&mut room), flags).ok()?;
        let mut details = told.cmsgs().into_iter().flatten();
        let is_gone = |error: sock_extended_err| {
            c_int::try_from(error.ee_errno).is_ok_and(|number| GONE.contains(&number))
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens")]
        let is_unreachable = details.any(|it| match it {
            ControlMessageOwned::Ipv4RecvErr(error, _) => is_gone(error),
            ControlMessageOwned::Ipv6RecvErr(error, _) => is_gone(error),
            _ => false,
        });
        // others are about this datagram, such as that it was too large, not about who it was for
        if let Some(to) = told.address.and_then(|it| internet(&it)).filter(|_| is_unreachable) {
            return Some(to);
        }
    }
}

/// What is kept of the kinds of "destination unreachable" (RFC 1122 section 4.2.3.9 has the list).
const GONE: [c_int; 4] = [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EACCES];
