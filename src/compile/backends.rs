//! Service ports × members → backends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::snapshot::{Backend, Endpoint, EndpointId};

use super::address::Family;
use super::endpoints::{Member, Sources};
use super::report::Findings;
use super::services::{CheckedPort, CheckedService, Exposed, Services};
use super::this_node::ThisNode;
use super::topology::{self, Candidate, Used};

/// The backends of every Service, in the order of [`Services::iter`].
#[derive(Debug)]
pub(super) struct Backends(Vec<ServiceBackends>);

/// The backends of one Service.
#[derive(Debug, Default)]
pub(super) struct ServiceBackends {
    /// In the order of the Service's ports.
    ports: Vec<PortBackends>,
    /// Whether any endpoint can take new work.
    pub(super) is_ready: bool,
    /// Kept for headless Services, whose names lead to them.
    pub(super) members: Vec<Member>,
}

/// A Service port has one backend a family, the primary one first: an IPv6 address leads to IPv6
/// endpoints only, as with kube-proxy, which is two proxies that know nothing of each other.
#[derive(Debug)]
struct PortBackends(Vec<(Family, Arc<Backend>)>);

impl Backends {
    pub(super) fn build(
        services: &Services<'_>,
        sources: &Sources<'_>,
        node: &ThisNode,
        findings: &mut Findings,
    ) -> Self {
        let build = |(place, service): (usize, &CheckedService<'_>)| {
            let members = sources.members(place, service, findings);
            let ports = service.ports.iter();
            let ports =
                ports.map(|port| PortBackends::build(service, port, &members, node)).collect();
            let is_ready = members.iter().any(|member| member.ready);
            let is_headless = service.exposed == Exposed::Headless;
            let members = if is_headless { members } else { Vec::new() };
            ServiceBackends { ports, is_ready, members }
        };
        Self(services.iter().enumerate().map(build).collect())
    }

    /// Of the Service at that place.
    pub(super) fn of(&self, place: usize) -> Option<&ServiceBackends> {
        self.0.get(place)
    }
}

impl ServiceBackends {
    /// What an address of this family leads to.
    pub(super) fn for_family(&self, port: usize, family: Family) -> Option<&Arc<Backend>> {
        let PortBackends(families) = self.ports.get(port)?;
        families.iter().find(|(it, _)| *it == family).map(|(_, backend)| backend)
    }

    /// How many pods of this node are ready, by addresses of one family; known where a policy asks
    /// for it.
    pub(super) fn ready_here(&self, family: Family) -> usize {
        let ports = 0..self.ports.len();
        let backends = ports.filter_map(|port| self.for_family(port, family));
        let ready = backends.flat_map(|it| &it.local).filter(|it| it.ready);
        ready.map(|it| it.id.ip()).collect::<BTreeSet<_>>().len()
    }

    /// What a rule leads to: the primary family, or another one if only that has endpoints.
    pub(super) fn for_rule(&self, port: usize) -> Option<&Arc<Backend>> {
        let PortBackends(families) = self.ports.get(port)?;
        let mut backends = families.iter().map(|(_, backend)| backend);
        let has_endpoints = backends.clone().find(|backend| !backend.usable.is_empty());
        has_endpoints.or_else(|| backends.next())
    }
}

impl PortBackends {
    fn build(
        service: &CheckedService<'_>,
        port: &CheckedPort,
        members: &[Member],
        node: &ThisNode,
    ) -> Self {
        let of_family = |family: &Family| {
            let members = members.iter().filter(|member| Family::of(member.address) == *family);
            (*family, Arc::new(backend(service, port, members, node)))
        };
        Self(service.families.iter().map(of_family).collect())
    }
}

fn backend<'a>(
    service: &CheckedService<'_>,
    port: &CheckedPort,
    members: impl Iterator<Item = &'a Member>,
    node: &ThisNode,
) -> Backend {
    let mut candidates: Vec<Candidate<'a>> =
        members.flat_map(|member| candidates(member, port)).collect();
    // An address may be told of several times: the one that is not terminating wins, and it is
    // here if anyone says so, as kube-proxy has it.
    candidates.sort_by_key(|Candidate { endpoint: it, is_here, .. }| {
        (it.id, it.terminating, !it.ready, !it.serving, !is_here)
    });
    candidates.dedup_by(|other, kept| {
        let is_same = other.endpoint.id == kept.endpoint.id;
        kept.is_here |= is_same && other.is_here;
        is_same
    });
    let Used { topology, cluster, local } =
        topology::used(&candidates, service.policy.asks_for_local(), node);
    Backend {
        id: port.backend_id(service.key),
        port: port.number,
        app_protocol: port.app_protocol,
        endpoints: candidates.into_iter().map(|it| it.endpoint).collect(),
        usable: cluster,
        local,
        topology,
        origin: service.stored.origin.clone(),
        field: port.field.clone(),
    }
}

fn candidates<'a>(
    member: &'a Member,
    port: &CheckedPort,
) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
    let (transport, name) = (port.transport, port.name.clone());
    let joined = member.ports.iter().filter(move |it| it.transport == transport && it.name == name);
    joined.map(|it| Candidate {
        endpoint: Arc::new(Endpoint {
            id: EndpointId(SocketAddr::new(member.address, it.number)),
            ready: member.ready,
            serving: member.serving,
            terminating: member.terminating,
            pod: member.pod.clone(),
            node: member.node.clone(),
            zone: member.zone.clone(),
            origin: member.origin.clone(),
        }),
        hints: member.hints.as_ref(),
        is_here: member.is_here,
    })
}
