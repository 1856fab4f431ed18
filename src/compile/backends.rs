//! Service ports × members → backends.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::snapshot::{Backend, Endpoint, EndpointId};

use super::address::Family;
use super::endpoints::{Member, Sources};
use super::report::Findings;
use super::services::{CheckedPort, CheckedService, Exposed, Services};

/// The backends of every Service, in the order of [`Services::iter`].
#[derive(Debug)]
pub(super) struct Backends(Vec<ServiceBackends>);

/// The backends of one Service.
#[derive(Debug, Default)]
pub(super) struct ServiceBackends {
    /// In the order of the Service's ports.
    ports: Vec<PortBackends>,
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
        findings: &mut Findings,
    ) -> Self {
        let build = |(place, service): (usize, &CheckedService<'_>)| {
            let members = sources.members(place, service, findings);
            let ports = service.ports.iter();
            let ports = ports.map(|port| PortBackends::build(service, port, &members)).collect();
            let is_headless = service.exposed == Exposed::Headless;
            ServiceBackends { ports, members: if is_headless { members } else { Vec::new() } }
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

    /// What a rule leads to: the primary family, or another one if only that has endpoints.
    pub(super) fn for_rule(&self, port: usize) -> Option<&Arc<Backend>> {
        let PortBackends(families) = self.ports.get(port)?;
        let mut backends = families.iter().map(|(_, backend)| backend);
        let has_endpoints = backends.clone().find(|backend| !backend.usable.is_empty());
        has_endpoints.or_else(|| backends.next())
    }
}

impl PortBackends {
    fn build(service: &CheckedService<'_>, port: &CheckedPort, members: &[Member]) -> Self {
        let of_family = |family: &Family| {
            let members = members.iter().filter(|member| Family::of(member.address) == *family);
            (*family, Arc::new(backend(service, port, members)))
        };
        Self(service.families.iter().map(of_family).collect())
    }
}

fn backend<'a>(
    service: &CheckedService<'_>,
    port: &CheckedPort,
    members: impl Iterator<Item = &'a Member>,
) -> Backend {
    let mut endpoints: Vec<Arc<Endpoint>> =
        members.flat_map(|member| endpoints(member, port)).map(Arc::new).collect();
    // An address may be told of several times: the one that is not terminating wins.
    endpoints.sort_by_key(|it| (it.id, it.terminating, !it.ready, !it.serving));
    endpoints.dedup_by_key(|it| it.id);
    Backend {
        id: port.backend_id(service.key),
        port: port.number,
        app_protocol: port.app_protocol,
        usable: usable(&endpoints),
        endpoints,
        origin: service.stored.origin.clone(),
        field: port.field.clone(),
    }
}

fn endpoints<'a>(member: &'a Member, port: &'a CheckedPort) -> impl Iterator<Item = Endpoint> {
    let joined =
        member.ports.iter().filter(|it| it.transport == port.transport && it.name == port.name);
    joined.map(|it| Endpoint {
        id: EndpointId(SocketAddr::new(member.address, it.number)),
        ready: member.ready,
        serving: member.serving,
        terminating: member.terminating,
        pod: member.pod.clone(),
        node: member.node.clone(),
        zone: member.zone.clone(),
        origin: member.origin.clone(),
    })
}

/// The ready ones; if there are none, those that serve while terminating (KEP-1669).
fn usable(endpoints: &[Arc<Endpoint>]) -> Vec<Arc<Endpoint>> {
    let ready: Vec<_> = endpoints.iter().filter(|it| it.ready).cloned().collect();
    if !ready.is_empty() {
        return ready;
    }
    endpoints.iter().filter(|it| it.serving && it.terminating).cloned().collect()
}
