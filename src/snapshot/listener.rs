//! Wanted sockets, and what each one serves.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use super::{Backend, HttpListener};
use crate::manifest::ObjectKey;

/// The transports that userspace carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Streams.
    Tcp,
    /// Datagrams.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Identity of a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SocketKey {
    /// TCP or UDP.
    pub transport: Transport,
    /// Address and port; the wildcard address listens on all.
    pub addr: SocketAddr,
}

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.transport, self.addr)
    }
}

/// A socket that should be open. Listeners are diffed by [`SocketKey`]: what a socket serves can
/// change without the socket being opened anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSpec {
    /// Where to listen.
    pub key: SocketKey,
    /// What connections and datagrams meet.
    pub serve: Serve,
}

/// What a listener serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    /// L4: everything goes to one backend.
    Frontend(Arc<Frontend>),
    /// L7: HTTP by host and path.
    Http(Arc<HttpListener>),
}

/// Why a Service is reachable at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// Its virtual address.
    ClusterIp,
    /// A port of every node.
    NodePort,
    /// An address of the load balancer.
    LoadBalancer,
    /// `spec.externalIPs`.
    ExternalIp,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "cluster-ip",
            Self::NodePort => "node-port",
            Self::LoadBalancer => "load-balancer",
            Self::ExternalIp => "external-ip",
        })
    }
}

/// One address and port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// The Service.
    pub service: ObjectKey,
    /// Which of its addresses this is.
    pub exposure: Exposure,
    /// Where traffic goes.
    pub backend: Arc<Backend>,
}
