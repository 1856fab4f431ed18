//! Options of TCP connections.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{fmt, io};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Why a connection could not be made.
#[derive(Debug)]
pub enum ConnectError {
    /// The time-out passed.
    Timeout,
    /// The system says no.
    Io(io::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("connect timed out"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {}

/// Connects within `timeout` and sets the options of a carried connection. It comes from `source`, which
/// may be an address of somebody else ([`check_transparent`]), or from this node.
pub async fn connect(
    addr: SocketAddr,
    timeout: Duration,
    source: Option<IpAddr>,
    options: &TcpOptions,
) -> Result<TcpStream, ConnectError> {
    match tokio::time::timeout(timeout, connect_from(source, addr)).await {
        Err(_) => Err(ConnectError::Timeout),
        Ok(Err(error)) => Err(ConnectError::Io(error)),
        Ok(Ok(stream)) => {
            options.set(&stream);
            Ok(stream)
        }
    }
}

async fn connect_from(source: Option<IpAddr>, addr: SocketAddr) -> io::Result<TcpStream> {
    let Some(source) = source else { return TcpStream::connect(addr).await };
    let socket = transparent(source)?;
    // the kernel draws the port when it knows the peer, so that a client has all ports at each of them
    let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
    socket.bind(SocketAddr::new(source, 0))?;
    socket.connect(addr).await
}

/// Whether this process may use the addresses of others (CAP_NET_ADMIN or CAP_NET_RAW).
pub fn check_transparent() -> io::Result<()> {
    transparent(IpAddr::from([127, 0, 0, 1])).map(drop)
}

/// A socket that may have an address which is not of this machine.
fn transparent(source: IpAddr) -> io::Result<TcpSocket> {
    if source.is_ipv4() {
        let socket = TcpSocket::new_v4()?;
        SockRef::from(&socket).set_ip_transparent_v4(true)?;
        Ok(socket)
    } else {
        let socket = TcpSocket::new_v6()?;
        SockRef::from(&socket).set_ip_transparent_v6(true)?;
        Ok(socket)
    }
}

/// How a peer that vanished without a word is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Silence after which the peer is probed, every ten seconds then; `None`: never.
    pub keepalive: Option<Duration>,
    /// How long probes and sent bytes may stay unanswered before the connection is given up
    /// (TCP_USER_TIMEOUT); `None`: as long as the kernel has it. It also ends a peer that is alive and
    /// takes nothing for so long: its window is shut, and the kernel tells no difference.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            keepalive: Some(Duration::from_secs(60)),
            user_timeout: Some(Duration::from_secs(300)),
        }
    }
}

impl TcpOptions {
    /// Sets them, and no delay.
    ///
    /// A socket that refuses an option works without it, so errors are of no use to anybody.
    pub fn set(&self, stream: &TcpStream) {
        let socket = SockRef::from(stream);
        let _ = socket.set_tcp_nodelay(true);
        if let Some(time) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(time).with_interval(KEEPALIVE_INTERVAL);
            let _ = socket.set_tcp_keepalive(&keepalive);
        }
        if let Some(timeout) = self.user_timeout {
            let _ = socket.set_tcp_user_timeout(Some(timeout));
        }
    }
}

/// Has connections that are accepted here take no more than so many bytes that the peer's window has no
/// room for (TCP_NOTSENT_LOWAT): a client that does not read would keep megabytes of the system's memory
/// otherwise. What the window has room for is sent as before. A system without it works as well.
pub fn bound_unsent(listener: &TcpListener, bytes: u32) {
    let _ = SockRef::from(listener).set_tcp_notsent_lowat(bytes);
}

/// The address that the client of a connection came to: that of the listener, or where it listens
/// on every address, the one of the connection.
pub fn reached(stream: &TcpStream, listener: SocketAddr) -> IpAddr {
    if !listener.ip().is_unspecified() {
        return listener.ip();
    }
    stream.local_addr().map_or_else(|_| listener.ip(), |addr| addr.ip())
}

/// Makes the connection end by RST when it is dropped: an error, not an end.
pub fn reset_on_drop(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
