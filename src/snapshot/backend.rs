//! Where traffic goes: a Service port and its endpoints.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;

use super::{Balancing, ContentCodings, Transport};
use crate::manifest::{ObjectKey, Origin};

/// Identity of a backend: the Service, the name of its port (or the number, if it has no name)
/// and the transport. Metrics are labelled with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BackendId {
    /// The Service.
    pub service: ObjectKey,
    /// Port name, or number where it has none; of a range, its first and last one.
    pub port: Arc<str>,
    /// TCP or UDP.
    pub transport: Transport,
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.service, self.port, self.transport)
    }
}

/// Identity of an endpoint: its address, of which the port may be [any](Self::ANY_PORT). What is counted about it outlives snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EndpointId(pub SocketAddr);

impl EndpointId {
    /// The port of an endpoint of a range of ports: that by which the client came.
    pub const ANY_PORT: u16 = 0;

    /// Where to connect.
    pub fn addr(self) -> SocketAddr {
        self.0
    }

    /// The endpoint of a client that came by this port.
    pub fn by(self, port: u16) -> Self {
        match self.0.port() {
            Self::ANY_PORT => Self(SocketAddr::new(self.ip(), port)),
            _ => self,
        }
    }

    /// The address without the port.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.0.port()) {
            (SocketAddr::V4(addr), Self::ANY_PORT) => write!(f, "{}:*", addr.ip()),
            (SocketAddr::V6(addr), Self::ANY_PORT) => write!(f, "[{}]:*", addr.ip()),
            (addr, _) => addr.fmt(f),
        }
    }
}

impl Backend {
    /// The endpoint that has this address, perhaps with every port.
    pub fn endpoint(&self, id: EndpointId) -> Option<&Arc<Endpoint>> {
        let any = EndpointId(SocketAddr::new(id.ip(), EndpointId::ANY_PORT));
        let find = |id: EndpointId| self.endpoints.binary_search_by_key(&id, |it| it.id).ok();
        self.endpoints.get(find(id).or_else(|| find(any))?)
    }
}

/// One address of a backend, with its conditions (KEP-1669).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// Address and port.
    pub id: EndpointId,
    /// May receive new work.
    pub ready: bool,
    /// Answers, whether terminating or not.
    pub serving: bool,
    /// Is being deleted.
    pub terminating: bool,
    /// Name of the pod, for logs and `explain`.
    pub pod: Option<Arc<str>>,
    /// Node it runs on.
    pub node: Option<Arc<str>>,
    /// Zone it runs in.
    pub zone: Option<Arc<str>>,
    /// Where it is written: its EndpointSlice, Endpoints or Pod.
    #[serde(skip)]
    pub origin: Origin,
}

/// What the backend speaks (KEP-3726).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AppProtocol {
    /// HTTP/1.1, also where nothing is said.
    #[default]
    Http,
    /// HTTP/2 without TLS: `kubernetes.io/h2c`, gRPC.
    H2c,
    /// `https`.
    Https,
}

/// The version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl fmt::Display for ProxyProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

/// A Service port and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Identity.
    pub id: BackendId,
    /// The number of the Service port; of a range, its first one.
    pub port: u16,
    /// What the endpoints speak.
    pub app_protocol: AppProtocol,
    /// How endpoints are told who the client of a TCP connection is, before its first byte (TCP and TLS
    /// that are carried as they are: connections of HTTP are shared by clients).
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How requests are shared out among the endpoints.
    pub balancing: Arc<Balancing>,
    /// In which codings responses may be sent (HTTP only).
    pub compress: ContentCodings,
    /// Every endpoint, by address, whatever its conditions: what `explain` shows.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Those that receive new work: the ready ones; if none is ready, those that serve while
    /// terminating (KEP-1669). A subset of `endpoints` in the same order.
    pub usable: Vec<Arc<Endpoint>>,
    /// The same among those of this node, whatever their hints; empty where no policy of the
    /// Service asks for it.
    pub local: Vec<Arc<Endpoint>>,
    /// What `usable` is limited to.
    pub topology: Topology,
    /// Where the Service is written.
    pub origin: Origin,
    /// The port's field in it: `spec.ports[0]`.
    pub field: Arc<str>,
}

/// How near the endpoints are that receive new work, as their hints have it (KEP-2433, KEP-3015).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Anywhere: not all ready endpoints have hints, or none is meant for here.
    #[default]
    Anywhere,
    /// Those meant for the zone of this node.
    SameZone,
    /// Those meant for this node.
    SameNode,
}
