//! What a Service says about the traffic to one of its addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::Network;

/// Who goes where behind an address of a Service. The default says nothing: everybody may go
/// anywhere, each time anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// A client stays with its endpoint until it has made no connection for so long
    /// (`sessionAffinity: ClientIP`).
    pub affinity: Option<Duration>,
    /// Whether the address leads to endpoints of this node only: `internalTrafficPolicy: Local`
    /// for the virtual address, `externalTrafficPolicy: Local` for the others, where clients from
    /// outside are meant.
    pub is_local: bool,
    /// Who may connect at all (`loadBalancerSourceRanges`); `None`: everybody.
    pub sources: Option<Vec<IpNet>>,
    /// Tells where clients are.
    pub network: Arc<Network>,
}

impl Policy {
    /// Whether a client may connect.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        self.sources.as_ref().is_none_or(|nets| nets.iter().any(|net| net.contains(&client)))
    }

    /// Whether the Service says anything at all.
    pub fn is_silent(&self) -> bool {
        self.affinity.is_none() && !self.is_local && self.sources.is_none()
    }
}
