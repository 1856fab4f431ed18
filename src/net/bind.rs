//! Listening sockets.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Whether several sockets share the address, each with a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusePort {
    /// One socket a worker (SO_REUSEPORT).
    Yes,
    /// The first of those: refused while somebody else has the address, shared from then on. (To try
    /// with another socket, which is closed again, was rejected: meanwhile that one takes clients.)
    First,
    /// The only socket; a second process is refused.
    No,
}

/// Opens a listening TCP socket, non-blocking, ready for `tokio::net::TcpListener::from_std`.
///
/// IPv6 sockets take IPv6 only, so that `0.0.0.0` and `[::]` can be bound side by side.
pub fn listen_tcp(addr: SocketAddr, reuse_port: ReusePort) -> io::Result<TcpListener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP, reuse_port)?;
    bind(&socket, addr, reuse_port)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens a UDP socket, non-blocking, ready for `tokio::net::UdpSocket::from_std`.
pub fn bind_udp(addr: SocketAddr, reuse_port: ReusePort) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP, reuse_port)?;
    bind(&socket, addr, reuse_port)?;
    Ok(socket.into())
}

/// Opens a UDP socket that speaks from an address of somebody else (IP_TRANSPARENT, as
/// [`check_transparent`](super::check_transparent) has it): by the same port, unless another socket
/// has it. Answers reach it where they are routed to this node.
pub fn bind_udp_as(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP, ReusePort::No)?;
    match addr {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    let any_port = SocketAddr::new(addr.ip(), 0);
    socket.bind(&addr.into()).or_else(|_| socket.bind(&any_port.into()))?;
    Ok(socket.into())
}

/// As many sockets as there are workers, and whether somebody else of the same user has the address
/// too: all of them, or none.
pub fn bind_each<S>(
    count: usize,
    bind: impl Fn(ReusePort) -> io::Result<S>,
) -> io::Result<(Vec<S>, bool)> {
    let first = match bind(ReusePort::First) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
        first => Some(first?),
    };
    let is_shared = first.is_none();
    let mut sockets = Vec::from_iter(first);
    for _ in sockets.len()..count {
        sockets.push(bind(ReusePort::Yes)?);
    }
    Ok((sockets, is_shared))
}

fn bind(socket: &Socket, addr: SocketAddr, reuse_port: ReusePort) -> io::Result<()> {
    bind_to(socket, addr)?;
    if reuse_port == ReusePort::First { socket.set_reuse_port(true) } else { Ok(()) }
}

/// A `local` route makes the addresses of a network bindable, with IPv6 only for those who say that
/// they mean it; so it is asked whether there is such a route, as an address of nobody must fail.
fn bind_to(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    let refused = match socket.bind(&addr.into()) {
        Err(error) if addr.is_ipv6() && error.kind() == io::ErrorKind::AddrNotAvailable => error,
        outcome => return outcome,
    };
    if !has_local_route(addr.ip()).unwrap_or_default() {
        return Err(refused);
    }
    socket.set_freebind_v6(true)?;
    socket.bind(&addr.into())
}

/// Whether what is sent to an address comes back, without leaving the machine.
fn has_local_route(ip: IpAddr) -> io::Result<bool> {
    let probe = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    probe.set_nonblocking(true)?;
    probe.set_freebind_v6(true)?;
    // to itself alone: others who send to it are no answer
    probe.bind(&SocketAddr::new(ip, 0).into())?;
    probe.connect(&probe.local_addr()?)?;
    probe.send(&[0])?;
    Ok(probe.recv(&mut [MaybeUninit::uninit()]).is_ok())
}

fn socket(
    addr: SocketAddr,
    kind: Type,
    protocol: Protocol,
    reuse_port: ReusePort,
) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if kind == Type::STREAM {
        // a restart must not wait for connections in TIME_WAIT
        socket.set_reuse_address(true)?;
    }
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if reuse_port == ReusePort::Yes {
        socket.set_reuse_port(true)?;
    }
    Ok(socket)
}

/// The kernel caps it at `net.core.somaxconn` (4096 by default).
const BACKLOG: i32 = 4096;
