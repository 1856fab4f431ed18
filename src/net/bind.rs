//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Whether several sockets share the address, each with a queue of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReusePort {
    /// One socket a worker (SO_REUSEPORT).
    Yes,
    /// The only socket; a second process is refused.
    No,
}

/// Opens a listening TCP socket, non-blocking, ready for `tokio::net::TcpListener::from_std`.
///
/// IPv6 sockets take IPv6 only, so that `0.0.0.0` and `[::]` can be bound side by side.
pub fn listen_tcp(addr: SocketAddr, reuse_port: ReusePort) -> io::Result<TcpListener> {
    let socket = socket(addr, Type::STREAM, Protocol::TCP, reuse_port)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Opens a UDP socket, non-blocking, ready for `tokio::net::UdpSocket::from_std`.
pub fn bind_udp(addr: SocketAddr, reuse_port: ReusePort) -> io::Result<UdpSocket> {
    let socket = socket(addr, Type::DGRAM, Protocol::UDP, reuse_port)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
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
