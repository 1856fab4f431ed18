//! A server that is asked about the names of others.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// A server that is asked about the names of others, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// Where it is.
    pub addr: SocketAddr,
    /// How it is asked.
    pub transport: UpstreamTransport,
}

/// How an upstream is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UpstreamTransport {
    /// Over UDP; over TCP what does not fit.
    #[default]
    Udp,
    /// Over TCP only, on kept connections (RFC 7766).
    Tcp,
    /// Over TLS, on kept connections (RFC 7858).
    Tls {
        /// What the certificate must be for: a host name, or an address. A host name is sent too.
        server_name: Arc<str>,
    },
}

/// Over UDP.
impl From<SocketAddr> for Upstream {
    fn from(addr: SocketAddr) -> Self {
        Self { addr, transport: UpstreamTransport::Udp }
    }
}

/// As it is written in options: `10.0.0.1:53`, `tcp://10.0.0.1:53`,
/// `tls://10.0.0.1:853#dns.example`. Nothing else is a metric label.
impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addr = self.addr;
        match &self.transport {
            UpstreamTransport::Udp => write!(f, "{addr}"),
            UpstreamTransport::Tcp => write!(f, "tcp://{addr}"),
            UpstreamTransport::Tls { server_name } if **server_name == *addr.ip().to_string() => {
                write!(f, "tls://{addr}")
            }
            UpstreamTransport::Tls { server_name } => write!(f, "tls://{addr}#{server_name}"),
        }
    }
}
