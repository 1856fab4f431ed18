//! What is here: policies and topology tell this node from the others, and pods from strangers.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::ObjectKey;
use crate::manifest::core::Node;
use crate::snapshot::{Network, Policy};
use crate::store::Objects;

use super::address::parse_ip;
use super::allocate::Allocations;
use super::settings::Settings;

/// This node, as topology sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ThisNode {
    pub(super) name: Arc<str>,
    pub(super) zone: Option<Arc<str>>,
}

impl ThisNode {
    /// The zone is that of the options, else that of the Node object, as kube-proxy takes it.
    pub(super) fn new(objects: &Objects, settings: &Settings) -> Self {
        let label = node(objects, settings).and_then(|it| it.metadata.labels.get(ZONE)).cloned();
        Self {
            name: settings.node_name.clone(),
            zone: settings.zone.clone().or(label).filter(|zone| !zone.is_empty()),
        }
    }
}

/// Who is where around this node. Its addresses are those of the options, those of its interfaces
/// and those of its Node object; what Services have of them is virtual, unless the options say
/// that it is the node's.
pub(super) fn network(
    objects: &Objects,
    settings: &Settings,
    allocations: &Allocations,
) -> Arc<Network> {
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1])];
    let is_allocatable = |ip: &IpAddr| settings.service_cidrs.iter().any(|it| it.contains(ip));
    let cluster_ips = allocations.cluster_ips.values().flatten().copied();
    let other_cluster_ips: BTreeSet<_> = cluster_ips.filter(|ip| !is_allocatable(ip)).collect();
    let written = node(objects, settings).into_iter().flat_map(|it| &it.status.addresses);
    let written = written.filter_map(|it| parse_ip(&it.address));
    let found = settings.host_ips.iter().copied().chain(written);
    let found = found.filter(|ip| !is_allocatable(ip) && !other_cluster_ips.contains(ip));
    Arc::new(Network {
        pods: settings.pod_cidrs.clone(),
        node: settings.node_ips.iter().copied().chain(loopback).chain(found).collect(),
        service_cidrs: settings.service_cidrs.clone(),
        other_cluster_ips,
        masquerade_all: settings.masquerade_all,
        is_leaving: node(objects, settings).is_some_and(is_leaving),
        keep_client_address: settings.keep_client_address,
        proxy_protocol_ports: settings.proxy_protocol_ports.clone(),
        trusted_proxies: settings.trusted_proxies.clone(),
    })
}

/// The policy of Services that say nothing, which all of them share.
pub(super) fn silent(network: &Arc<Network>) -> Arc<Policy> {
    Arc::new(Policy { network: network.clone(), ..Policy::default() })
}

/// As kube-proxy has it (KEP-3836).
fn is_leaving(node: &Node) -> bool {
    let is_tainted = node.spec.taints.iter().any(|taint| &*taint.key == LEAVING);
    is_tainted || node.metadata.deletion_timestamp.is_some()
}

/// The taint of a node that the autoscaler is about to delete.
pub(super) const LEAVING: &str = "ToBeDeletedByClusterAutoscaler";

fn node<'a>(objects: &'a Objects, settings: &Settings) -> Option<&'a Node> {
    let stored = objects.nodes.get(&ObjectKey::cluster(settings.node_name.clone()))?;
    Some(&stored.object)
}

const ZONE: &str = "topology.kubernetes.io/zone";
