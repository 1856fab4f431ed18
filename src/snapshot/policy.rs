//! What a Service says about the traffic to one of its addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

/// Who goes where behind an address of a Service. The default says nothing: everybody may go
/// anywhere, each time anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A client stays with its endpoint until it has made no connection for so long
    /// (`sessionAffinity: ClientIP`).
    pub affinity: Option<Duration>,
    /// Which endpoints clients get.
    pub reach: Reach,
    /// Who may connect at all (`loadBalancerSourceRanges`); `None`: everybody.
    pub sources: Option<Vec<IpNet>>,
}

/// Which endpoints the clients of an address get.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those of every node, as topology has it.
    #[default]
    Cluster,
    /// Those of this node only (`internalTrafficPolicy: Local`).
    Node,
    /// Those of this node, for clients from outside (`externalTrafficPolicy: Local`). Pods and the
    /// node itself, whose addresses are `inside`, get those of every node.
    NodeFromOutside {
        /// Where pods and this node are.
        inside: Arc<[IpNet]>,
    },
}

impl Policy {
    /// Whether a client may connect.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.sources.as_ref().is_none_or(|sources| is_within(sources, client))
    }

    /// Whether a client gets the endpoints of this node only.
    pub fn is_local_for(&self, client: IpAddr) -> bool {
        match &self.reach {
            Reach::Cluster => false,
            Reach::Node => true,
            Reach::NodeFromOutside { inside } => !is_within(inside, client.to_canonical()),
        }
    }
}

fn is_within(nets: &[IpNet], ip: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}
