//! Forward, reject or drop: decided here, once, for whatever carries the traffic.
//!
//! In: an address of a Service ([`Frontend`]), where the client is ([`Place`]), who is behind
//! ([`Backend`]). Out: a [`Verdict`], by the rules of kube-proxy (`pkg/proxy/nftables`). Asked by
//! `plane/l4` for every connection and flow, by `explain`, and by what renders rules for a kernel:
//! [`Frontend::verdict_from`] knows no single client, so that a rule can be made of it.
//!
//! What a plane makes of a verdict is its own matter. From userspace:
//! - the endpoint sees an address of this node, since it is rutter that connects to it: whatever
//!   `masquerade` says, but with `--keep-client-address` ([`Frontend::keeps_client`]).
//! - a rejected client is refused by the kernel, for [there is no socket](Snapshot::has_socket).
//! - a dropped TCP client is reset: the kernel has accepted the connection by then.

use std::net::IpAddr;
use std::sync::Arc;

use super::{
    Backend, Endpoint, Exposure, Frontend, ListenerSpec, Place, Reason, Serve, Snapshot, SocketKey,
};

/// What becomes of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It gets an endpoint.
    Forward {
        /// Which ones there are for it.
        set: EndpointSet,
        /// Whether the endpoint sees an address of this node in place of the client's. A pod that
        /// reaches itself by way of its Service is masqueraded all the same.
        masquerade: bool,
    },
    /// It is told that nobody is there: RST, or ICMP port unreachable.
    Reject(Reason),
    /// It is told nothing.
    Drop(Reason),
}

/// Which endpoints of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointSet {
    /// Those of every node, as topology has it.
    Cluster,
    /// Those of this node.
    Local,
}

impl Frontend {
    /// What becomes of a client that came to the address `at`.
    pub fn verdict(&self, client: IpAddr, at: IpAddr, backend: &Backend) -> Verdict {
        if !self.policy.admits(client) {
            return Verdict::Drop(Reason::SourceNotAllowed);
        }
        self.verdict_from(self.policy.network.place(client, at), backend)
    }

    /// The same for every client of a place, whatever the source ranges say.
    pub fn verdict_from(&self, place: Place, backend: &Backend) -> Verdict {
        let set = self.set(place);
        match backend.set(set).first() {
            Some(endpoint) => {
                Verdict::Forward { set, masquerade: self.masquerades(place, endpoint.id.ip()) }
            }
            None if backend.usable.is_empty() => Verdict::Reject(Reason::NoReadyEndpoint),
            None => Verdict::Drop(Reason::NoLocalEndpoint),
        }
    }

    /// Which endpoints there are for the clients of a place.
    ///
    /// Pods and the node itself take a short cut: what `externalTrafficPolicy: Local` is for, the
    /// source address and one hop less, it cannot give them.
    pub fn set(&self, place: Place) -> EndpointSet {
        let is_local = self.policy.is_local
            && match self.exposure {
                Exposure::ClusterIp => true,
                Exposure::NodePort | Exposure::LoadBalancer | Exposure::ExternalIp => {
                    place == Place::Outside
                }
                Exposure::Gateway => false,
            };
        if is_local { EndpointSet::Local } else { EndpointSet::Cluster }
    }

    /// Whether endpoints see the address of a client for whom this is the verdict.
    pub fn keeps_client(&self, verdict: Verdict) -> bool {
        let is_kept = matches!(verdict, Verdict::Forward { masquerade: false, .. });
        is_kept && self.policy.network.keep_client_address
    }

    /// Without a detector of pods, every client of a virtual address counts as one.
    fn masquerades(&self, place: Place, family_of: IpAddr) -> bool {
        let network = &self.policy.network;
        match self.exposure {
            Exposure::ClusterIp => {
                let is_pod = place == Place::Pod || !network.detects_pods(family_of);
                network.masquerade_all || !is_pod
            }
            Exposure::NodePort | Exposure::LoadBalancer | Exposure::ExternalIp => {
                !self.policy.is_local || place == Place::Node
            }
            Exposure::Gateway => true,
        }
    }

    /// Whether somebody is behind it.
    pub fn has_endpoint(&self) -> bool {
        let mut weighty = self.shares.iter().filter(|share| share.weight > 0);
        weighty.any(|share| share.backend().is_some_and(|backend| !backend.usable.is_empty()))
    }
}

impl Serve {
    /// Whether somebody is behind it.
    pub fn answers(&self) -> bool {
        match self {
            Self::Frontend(frontend) => frontend.has_endpoint(),
            Self::Http(_) | Self::Tls(_) | Self::Health(_) => true,
        }
    }
}

impl Backend {
    /// The endpoints of a set.
    pub fn set(&self, set: EndpointSet) -> &[Arc<Endpoint>] {
        match set {
            EndpointSet::Cluster => &self.usable,
            EndpointSet::Local => &self.local,
        }
    }
}

impl Snapshot {
    /// Whether a listener has a socket. Where nobody is behind an address it has none: then the
    /// kernel refuses whoever comes, as fast and as clearly as the rules of kube-proxy. Unless a
    /// socket on every address has that port: it would take what is meant for another.
    pub fn has_socket(&self, spec: &ListenerSpec) -> bool {
        let wildcard = || self.wildcard(spec.key).filter(|it| it.key != spec.key);
        spec.serve.answers() || wildcard().is_some_and(|it| it.serve.answers())
    }

    /// The listeners that have one.
    pub fn sockets(&self) -> impl Iterator<Item = &Arc<ListenerSpec>> {
        self.listeners.values().filter(|spec| self.has_socket(spec))
    }

    /// The listener that has the port of an address on every address.
    pub fn wildcard(&self, key: SocketKey) -> Option<&Arc<ListenerSpec>> {
        let any = if key.addr.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0_u16; 8]) };
        self.listeners.get(&SocketKey { addr: (any, key.addr.port()).into(), ..key })
    }

    /// Whether connections begin with a header of the PROXY protocol: those of Ingress and Gateways by
    /// the ports that the option names. Services pass on what comes as it comes.
    pub fn has_proxy_header(&self, spec: &ListenerSpec) -> bool {
        let is_in_front = match &spec.serve {
            Serve::Http(_) | Serve::Tls(_) => !self.network.is_virtual(spec.key.addr.ip()),
            Serve::Frontend(frontend) => frontend.exposure == Exposure::Gateway,
            Serve::Health(_) => false,
        };
        is_in_front && self.network.proxy_protocol_ports.contains(&spec.key.addr.port())
    }

    /// Whether what came to the address `at` by a socket on every address is not meant for it: to
    /// a virtual address, where only Services answer, each at its own ports.
    pub fn is_astray(&self, socket: SocketKey, at: IpAddr) -> bool {
        socket.addr.ip().is_unspecified() && self.network.is_virtual(at)
    }
}
