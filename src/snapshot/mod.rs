//! What the planes read: one immutable value a generation.
//!
//! In: built by `compile` only. Out: read by `plane`, `explain` and `admin`, which load it once
//! per TCP session, UDP flow, HTTP exchange or DNS query from [`cell`], so that no unit of work
//! ever sees two configurations.
//!
//! Invariant: no runtime state in here. Pools, health, tickets and parsed keys are keyed by
//! identity ([`EndpointId`], [`BackendId`], [`CertificateId`]) and outlive generations.
//! Invariant: every collection has a defined order (creation time, then namespace/name); hash
//! maps are indexes into ordered ones and never show.
//! Deliberately absent: interior mutability, clocks, sockets, names of Kubernetes fields.

mod announcement;
mod backend;
mod balancing;
pub mod cell;
mod coding;
mod filter;
mod health;
mod http;
mod listener;
mod load_balancer;
pub mod matching;
mod network;
mod policy;
mod reason;
mod sorted;
mod target;
mod tls;
mod verdict;
pub mod zone;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::ObjectKey;

pub use announcement::{Announcement, ExcludedNode};
pub use backend::{AppProtocol, Backend, BackendId, Endpoint, EndpointId, ProxyProtocol, Topology};
pub use balancing::{Algorithm, Balancing, CheckQuestion, EndpointCheck, HashKey, RequestLimits};
pub use coding::{ContentCoding, ContentCodings};
pub use filter::{
    Cors, ExternalAuth, ExternalAuthProtocol, Filter, HeaderModifier, Mirror, PathRewrite,
    Redirect, Rewrite,
};
pub use health::HealthCheck;
pub use http::{
    Action, Failure, HostMatch, HttpListener, MatchPath, Retry, Rule, Timeouts, VirtualHost,
};
pub use listener::{Exposure, Frontend, ListenerSpec, Serve, SocketKey, Transport};
pub use load_balancer::{GivenAddress, LoadBalancer};
pub use matching::RouteTable;
pub use network::{Network, Place};
pub use policy::Policy;
pub use reason::Reason;
pub use sorted::SortedMap;
pub use target::{
    Protocol, RetryBudget, SessionCarrier, SessionPersistence, Target, TrafficPolicy,
    WeightedBackend,
};
pub use tls::{
    Authorities, CaBundle, Certificate, CertificateId, ClientAuth, ClientAuthMode, SubjectName,
    TlsEntry, TlsHost, TlsListener, TlsRoutes, TlsServe, TlsTable, UpstreamTls,
};
pub use verdict::{EndpointSet, Verdict};
pub use zone::{
    CachePolicy, Forward, ForwardPolicy, Hosts, ReverseEntry, Upstream, UpstreamTransport, Zone,
    ZoneEndpoint, ZonePort, ZoneService,
};

/// Counts published snapshots, from 1; 0 is the empty one before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything that the planes know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Set by the driver when it publishes; equal content keeps its generation.
    pub generation: Generation,
    /// Of the zone: seconds since 1970 at which the content last changed. Set by the driver; later
    /// ones are greater, also after a restart.
    pub serial: u32,
    /// Whether every source has delivered its first full state. Before, DNS answers SERVFAIL.
    pub synced: bool,
    /// Every socket that should be open, with what it serves.
    pub listeners: SortedMap<SocketKey, Arc<ListenerSpec>>,
    /// Every backend that some listener or rule leads to.
    pub backends: SortedMap<BackendId, Arc<Backend>>,
    /// Who is where.
    pub network: Arc<Network>,
    /// Names for the DNS plane.
    pub zone: Arc<Zone>,
    /// The certificate of DNS over TLS and HTTPS; empty without one.
    pub dns_tls: Arc<TlsTable>,
    /// Why LoadBalancers have their addresses, by Service; for `explain`. Not those whose addresses
    /// others decided on.
    pub load_balancers: Arc<BTreeMap<ObjectKey, LoadBalancer>>,
    /// Who answers for their addresses in the network; empty without `--announce`.
    pub announcements: Arc<BTreeMap<IpAddr, Announcement>>,
}
