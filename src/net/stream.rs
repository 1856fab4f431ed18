//! Options of TCP connections.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{fmt, io};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

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

/// Connects within `timeout` and sets the options of a carried connection.
pub async fn connect(addr: SocketAddr, timeout: Duration) -> Result<TcpStream, ConnectError> {
    match tokio::time::timeout(timeout, TcpStream::connect(addr)).await {
        Err(_) => Err(ConnectError::Timeout),
        Ok(Err(error)) => Err(ConnectError::Io(error)),
        Ok(Ok(stream)) => {
            set_options(&stream);
            Ok(stream)
        }
    }
}

/// No delay, and probes that find a peer which vanished without a word.
///
/// A socket that refuses an option works without it, so errors are of no use to anybody.
pub fn set_options(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(USER_TIMEOUT));
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

const KEEPALIVE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
