//! Wanted sockets, and what each one serves.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{HealthCheck, HttpListener, Policy, Target, TlsListener, TlsTable, WeightedBackend};
use crate::manifest::{ObjectRef, Origin};

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
    /// Who goes first where there are not descriptors for all: Ingress and Gateways (0), then
    /// Services by age.
    pub rank: usize,
}

/// What a listener serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Serve {
    /// L4: everything goes the same way.
    Frontend(Arc<Frontend>),
    /// L7: HTTP by host and path, in the clear or all of it within TLS.
    Http(Arc<HttpListener>),
    /// TLS that is told apart by server name before it is known where it ends.
    Tls(Arc<TlsListener>),
    /// Whether this node has pods of a Service, for the load balancer in front of the nodes.
    Health(Arc<HealthCheck>),
}

impl Serve {
    /// What requests meet that come by this socket.
    pub fn http(&self) -> Option<&Arc<HttpListener>> {
        match self {
            Self::Frontend(_) | Self::Health(_) => None,
            Self::Http(http) => Some(http),
            Self::Tls(tls) => tls.http.as_ref(),
        }
    }

    /// Every table of certificates.
    pub fn tls_tables(&self) -> impl Iterator<Item = &Arc<TlsTable>> {
        let of_hosts = match self {
            Self::Tls(tls) => Some(tls.tables()),
            Self::Frontend(_) | Self::Http(_) | Self::Health(_) => None,
        };
        let of_http = self.http().and_then(|http| http.tls.as_ref());
        of_http.into_iter().chain(of_hosts.into_iter().flatten())
    }

    /// Every way that bytes go without being looked into.
    pub fn frontends(&self) -> impl Iterator<Item = &Arc<Frontend>> {
        let (one, of_tls) = match self {
            Self::Frontend(frontend) => (Some(frontend), None),
            Self::Http(_) | Self::Health(_) => (None, None),
            Self::Tls(tls) => (None, Some(tls.frontends())),
        };
        one.into_iter().chain(of_tls.into_iter().flatten())
    }
}

impl ListenerSpec {
    /// Every way that endpoints are spoken to because of it.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        let rules = self.serve.http().into_iter().flat_map(|http| http.rules());
        let shares = self.serve.frontends().flat_map(|frontend| &frontend.shares);
        let of_shares = shares.filter_map(|share| share.target.as_ref().ok());
        rules.flat_map(|rule| rule.targets()).chain(of_shares)
    }
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
    /// A listener of a Gateway.
    Gateway,
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "cluster-ip",
            Self::NodePort => "node-port",
            Self::LoadBalancer => "load-balancer",
            Self::ExternalIp => "external-ip",
            Self::Gateway => "gateway",
        })
    }
}

/// Where connections or datagrams of one kind go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    /// The Service, or the route; the Gateway or ListenerSet while no route is attached.
    pub owner: ObjectRef,
    /// Which of the Service's addresses this is.
    pub exposure: Exposure,
    /// Where the owner is written.
    pub origin: Origin,
    /// Where traffic goes, by weight. None, or a total weight of zero: it is refused.
    pub shares: Vec<WeightedBackend>,
    /// What the Service says about its traffic; shared by its ports.
    pub policy: Arc<Policy>,
}

impl Frontend {
    /// How long clients stay with their endpoint.
    pub fn affinity(&self) -> Option<Duration> {
        self.policy.affinity
    }
}
