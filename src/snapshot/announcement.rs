//! Which node answers for an address of a load balancer in its network.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::manifest::ObjectKey;

/// Who announces one address, and why. Every node that sees the same objects decides the same, so
/// that nobody has to be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Announcement {
    /// The Services that have the address, by namespace and name.
    pub services: Vec<ObjectKey>,
    /// The owner, then who takes over when it goes; the first eight of them.
    pub nodes: Vec<Arc<str>>,
    /// Whether this node is the owner.
    pub is_here: bool,
    /// Why it is this one, or none.
    pub why: Arc<str>,
    /// Nodes that may announce no address; shared by all announcements.
    pub excluded: Arc<[ExcludedNode]>,
}

/// A node that may not announce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExcludedNode {
    /// Its name.
    pub name: Arc<str>,
    /// Why not: `not ready`, `about to be deleted`, …
    pub why: &'static str,
}

impl Announcement {
    /// The node that announces; `None`: nobody.
    pub fn owner(&self) -> Option<&Arc<str>> {
        self.nodes.first()
    }
}

impl super::Snapshot {
    /// What this node is to announce.
    pub fn announced(&self) -> impl Iterator<Item = IpAddr> {
        self.announcements.iter().filter(|(_, it)| it.is_here).map(|(ip, _)| *ip)
    }
}
