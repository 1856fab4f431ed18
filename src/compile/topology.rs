//! Which endpoints are near enough: conditions, hints and nodes, as kube-proxy takes them
//! (`pkg/proxy/topology.go`).
//!
//! kube-proxy reads `hints` of EndpointSlices and nothing else; `trafficDistribution` is what makes
//! the controller write them. Where Pods are the source, there is no controller, so that the hints
//! that it would write are made here.

use std::sync::Arc;

use crate::manifest::endpoints::EndpointHints;
use crate::snapshot::{Endpoint, Topology};

use super::this_node::ThisNode;

/// For whom an endpoint is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    zones: Vec<Arc<str>>,
    nodes: Vec<Arc<str>>,
}

impl Hints {
    /// As a slice has them.
    pub(super) fn read(written: &EndpointHints) -> Self {
        Self {
            zones: written.for_zones.iter().map(|hint| hint.name.clone()).collect(),
            nodes: written.for_nodes.iter().map(|hint| hint.name.clone()).collect(),
        }
    }

    /// As the controller writes them for a ready endpoint (KEP-3015): its own zone, and its own
    /// node too where the Service prefers that.
    pub(super) fn of_distribution(
        distribution: Option<&str>,
        zone: Option<&Arc<str>>,
        node: &Arc<str>,
    ) -> Option<Self> {
        let nodes = match distribution? {
            "PreferClose" | "PreferSameZone" => Vec::new(),
            "PreferSameNode" => vec![node.clone()],
            _ => return None,
        };
        Some(Self { zones: zone.into_iter().cloned().collect(), nodes })
    }
}

/// An endpoint of a Service port, with what decides whether it is used.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) hints: Option<&'a Hints>,
    /// Whether it runs on this node.
    pub(super) is_here: bool,
}

/// Which of the candidates are used.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) topology: Topology,
    pub(super) cluster: Vec<Arc<Endpoint>>,
    pub(super) local: Vec<Arc<Endpoint>>,
}

/// The ready ones that are near; where none is ready, those that serve while terminating
/// (KEP-1669). Decided for the whole cluster, and for this node if some address `asks` for it,
/// where hints mean nothing.
pub(super) fn used(candidates: &[Candidate<'_>], asks: bool, node: &ThisNode) -> Used {
    let topology = topology(candidates, node);
    let is_near = |it: &Candidate<'_>| match topology {
        Topology::Anywhere => true,
        Topology::SameZone => names_zone(it, node),
        Topology::SameNode => names_node(it, node),
    };
    Used {
        topology,
        cluster: ready_or_leaving(candidates, is_near, |_| true),
        local: if asks {
            ready_or_leaving(candidates, |it| it.is_here, |it| it.is_here)
        } else {
            Vec::new()
        },
    }
}

fn ready_or_leaving(
    candidates: &[Candidate<'_>],
    may_be_ready: impl Fn(&Candidate<'_>) -> bool,
    may_leave: impl Fn(&Candidate<'_>) -> bool,
) -> Vec<Arc<Endpoint>> {
    let ready = candidates.iter().filter(|it| it.endpoint.ready && may_be_ready(it));
    let ready: Vec<_> = ready.map(|it| it.endpoint.clone()).collect();
    if !ready.is_empty() {
        return ready;
    }
    let leaves = |it: &&Candidate<'_>| it.endpoint.serving && it.endpoint.terminating;
    let leaving = candidates.iter().filter(|it| !it.endpoint.ready && may_leave(it));
    leaving.filter(leaves).map(|it| it.endpoint.clone()).collect()
}

/// Hints count only if every ready endpoint has one and one of them is meant for here: else some
/// of the traffic would have nowhere to go.
fn topology(candidates: &[Candidate<'_>], node: &ThisNode) -> Topology {
    let ready = || candidates.iter().filter(|it| it.endpoint.ready);
    let all_have = |list: fn(&Hints) -> &[Arc<str>]| {
        ready().all(|it| it.hints.is_some_and(|hints| !list(hints).is_empty()))
    };
    if ready().any(|it| names_node(it, node)) && all_have(|hints| &hints.nodes) {
        return Topology::SameNode;
    }
    if ready().any(|it| names_zone(it, node)) && all_have(|hints| &hints.zones) {
        return Topology::SameZone;
    }
    Topology::Anywhere
}

fn names_node(candidate: &Candidate<'_>, node: &ThisNode) -> bool {
    candidate.hints.is_some_and(|hints| hints.nodes.contains(&node.name))
}

fn names_zone(candidate: &Candidate<'_>, node: &ThisNode) -> bool {
    let zone = node.zone.as_ref();
    zone.is_some_and(|zone| candidate.hints.is_some_and(|hints| hints.zones.contains(zone)))
}
