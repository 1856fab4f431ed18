//! Which node announces which address of a load balancer: the stateless order of MetalLB
//! (`speaker/layer2_controller.go`). Among the nodes that may, the one is the owner whose name, joined
//! by `#` with the address, has the lowest SHA-256. So a node that goes gives away its own addresses
//! and no others, and one that comes takes no others than it keeps; no lease, no election.
//!
//! Only addresses that rutter gave from a pool are announced: whatever others decided on is theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{Digest, SHA256, digest};

use crate::manifest::ObjectKey;
use crate::manifest::core::Node;
use crate::snapshot::{
    Announcement, Endpoint, ExcludedNode, Exposure, Frontend, ListenerSpec, LoadBalancer, Serve,
    SocketKey, SortedMap,
};
use crate::store::Objects;

use super::settings::Settings;
use super::this_node::LEAVING;

/// The nodes of the cluster, as far as announcing is concerned. A cluster of which no Node is known
/// has this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nodes {
    /// This one.
    pub(super) here: Arc<str>,
    /// Those that may announce.
    pub(super) eligible: Vec<Arc<str>>,
    /// The others.
    pub(super) excluded: Arc<[ExcludedNode]>,
}

impl Nodes {
    pub(super) fn new(objects: &Objects, settings: &Settings) -> Self {
        let here = settings.node_name.clone();
        if objects.nodes.is_empty() {
            return Self { eligible: vec![here.clone()], here, excluded: Arc::default() };
        }
        let (mut eligible, mut excluded) = (Vec::new(), Vec::new());
        for (key, stored) in &objects.nodes {
            match obstacle(&stored.object) {
                Some(why) => excluded.push(ExcludedNode { name: key.name.clone(), why }),
                None => eligible.push(key.name.clone()),
            }
        }
        Self { here, eligible, excluded: excluded.into() }
    }
}

/// Why load balancers may not be on a node. A Node that says nothing of its health, as one that was
/// written by hand, is taken to be well.
fn obstacle(node: &Node) -> Option<&'static str> {
    let is_ready = node.status.conditions.iter().find(|it| &*it.kind == "Ready");
    if node.metadata.labels.contains_key(EXCLUDED) {
        return Some("it has the label node.kubernetes.io/exclude-from-external-load-balancers");
    }
    if node.spec.taints.iter().any(|taint| &*taint.key == LEAVING) {
        return Some("it has the taint ToBeDeletedByClusterAutoscaler");
    }
    is_ready.filter(|it| &*it.status != "True").map(|_| "it is not ready")
}

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Decides on every address that a LoadBalancer has from a pool and that is listened on.
pub(super) fn decide(
    objects: &Objects,
    settings: &Settings,
    listeners: &SortedMap<SocketKey, Arc<ListenerSpec>>,
    load_balancers: &BTreeMap<ObjectKey, LoadBalancer>,
) -> BTreeMap<IpAddr, Announcement> {
    if !settings.announce {
        return BTreeMap::new();
    }
    let nodes = Nodes::new(objects, settings);
    let mut frontends = BTreeMap::<IpAddr, Vec<&Frontend>>::new();
    for (key, spec) in listeners.iter() {
        let Serve::Frontend(frontend) = &spec.serve else { continue };
        let ip = key.addr.ip();
        let given =
            load_balancers.get(&frontend.owner.key).into_iter().flat_map(|it| &it.addresses);
        let is_pooled = given.into_iter().any(|it| it.ip == ip && it.is_pooled);
        // for an address of the node itself its kernel answers
        let is_own = ip.is_loopback() || settings.node_ips.contains(&ip);
        if frontend.exposure == Exposure::LoadBalancer && is_pooled && !is_own {
            frontends.entry(ip).or_default().push(frontend);
        }
    }
    frontends
        .into_iter()
        .map(|(ip, frontends)| (ip, announcement(ip, &frontends, &nodes)))
        .collect()
}

fn announcement(ip: IpAddr, frontends: &[&Frontend], nodes: &Nodes) -> Announcement {
    let candidates = candidates(frontends, nodes);
    let is_local = frontends.iter().any(|it| it.policy.is_local);
    let has_endpoint = frontends.iter().any(|it| it.has_endpoint());
    let with = if is_local { " with an endpoint (externalTrafficPolicy: Local)" } else { "" };
    let why = match candidates.len() {
        0 if !has_endpoint => "no endpoint is ready".to_owned(),
        0 if nodes.eligible.is_empty() => "no node may".to_owned(),
        0 => format!("there is no node{with} that may"),
        1 => format!("the only node{with} that may"),
        count => format!("the first of {count} nodes{with}, by SHA-256 of node#address"),
    };
    let mut order = in_order(ip, candidates);
    order.truncate(LISTED);
    let services: BTreeSet<_> = frontends.iter().map(|it| it.owner.key.clone()).collect();
    Announcement {
        services: services.into_iter().collect(),
        is_here: order.first() == Some(&nodes.here),
        nodes: order,
        why: why.into(),
        excluded: nodes.excluded.clone(),
    }
}

/// How many nodes an announcement names.
const LISTED: usize = 8;

/// The nodes by which clients reach endpoints of one of the frontends: any node, or those that have
/// some themselves.
fn candidates(frontends: &[&Frontend], nodes: &Nodes) -> Vec<Arc<str>> {
    let mut hosts = BTreeSet::new();
    for frontend in frontends.iter().filter(|it| it.has_endpoint()) {
        if !frontend.policy.is_local {
            return nodes.eligible.clone();
        }
        hosts.extend(hosts_of(frontend, nodes));
    }
    nodes.eligible.iter().filter(|name| hosts.contains(*name)).cloned().collect()
}

/// The nodes of the ready endpoints, or where none is ready, of those that serve while terminating.
fn hosts_of<'a>(frontend: &'a Frontend, nodes: &'a Nodes) -> BTreeSet<&'a Arc<str>> {
    let backends = || frontend.shares.iter().filter_map(|share| share.backend());
    let hosts = |may: fn(&Endpoint) -> bool| {
        let named = backends().flat_map(|it| &it.endpoints).filter(|it| may(it));
        let here = backends().flat_map(|it| &it.local).filter(|it| may(it)).map(|_| &nodes.here);
        named.filter_map(|it| it.node.as_ref()).chain(here).collect::<BTreeSet<_>>()
    };
    let ready = hosts(|it| it.ready);
    if ready.is_empty() { hosts(|it| it.serving && it.terminating) } else { ready }
}

/// The owner first.
fn in_order(ip: IpAddr, mut nodes: Vec<Arc<str>>) -> Vec<Arc<str>> {
    nodes.sort_by_cached_key(|node| hash(node, ip).as_ref().to_vec());
    nodes
}

fn hash(node: &str, ip: IpAddr) -> Digest {
    digest(&SHA256, format!("{node}#{ip}").as_bytes())
}
