//! Where traffic goes: a Service port and its endpoints.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::Serialize;

use super::Transport;
use crate::manifest::{ObjectKey, Origin};

/// Identity of a backend: the Service, the name of its port (or the number, if it has no name)
/// and the transport. Metrics are labelled with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BackendId {
    /// The Service.
    pub service: ObjectKey,
    /// Port name, or number where it has none.
    pub port: Arc<str>,
    /// TCP or UDP.
    pub transport: Transport,
}

impl fmt::Display for BackendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.service, self.port, self.transport)
    }
}

/// Identity of an endpoint: its address. What is counted about it outlives snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct EndpointId(pub SocketAddr);

impl EndpointId {
    /// Where to connect.
    pub fn addr(self) -> SocketAddr {
        self.0
    }

    /// The address without the port.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

/// A Service port and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Identity.
    pub id: BackendId,
    /// The number of the Service port.
    pub port: u16,
    /// What the endpoints speak.
    pub app_protocol: AppProtocol,
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
