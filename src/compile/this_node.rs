//! What is here: policies and topology tell this node from the others.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::manifest::ObjectKey;
use crate::store::Objects;

use super::settings::Settings;

/// This node, as policies and topology see it.
#[derive(Debug)]
pub(super) struct ThisNode {
    pub(super) name: Arc<str>,
    pub(super) zone: Option<Arc<str>>,
    pub(super) ips: Vec<IpAddr>,
    /// Where pods and the node itself are. Whoever else connects comes from outside.
    pub(super) inside: Arc<[IpNet]>,
}

impl ThisNode {
    /// The zone is that of the options, else that of the Node object, as kube-proxy takes it.
    pub(super) fn new(objects: &Objects, settings: &Settings) -> Self {
        let name = settings.node_name.clone();
        let node = objects.nodes.get(&ObjectKey::cluster(name.clone()));
        let label = node.and_then(|it| it.object.metadata.labels.get(ZONE)).cloned();
        let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])];
        let own = settings.node_ips.iter().copied().chain(loopback).map(IpNet::from);
        Self {
            name,
            zone: settings.zone.clone().or(label).filter(|zone| !zone.is_empty()),
            ips: settings.node_ips.clone(),
            inside: settings.pod_cidrs.iter().copied().chain(own).collect(),
        }
    }
}

const ZONE: &str = "topology.kubernetes.io/zone";
