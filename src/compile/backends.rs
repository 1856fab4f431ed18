//! Service ports × members → backends.

mod memory;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::snapshot::{AppProtocol, Backend, Endpoint, EndpointId, ZoneEndpoint};

use super::address::Family;
use super::corefile::Names;
use super::endpoints::{Member, Sources};
use super::report::Findings;
use super::services::{CheckedPort, CheckedService, Exposed, PortRange, Services};
use super::this_node::ThisNode;
use super::topology::{self, Candidate, Used};
use super::zone;

pub(super) use memory::{Memory, Remembered, Setting};

/// The backends of every Service, in the order of [`Services::iter`].
#[derive(Debug)]
pub(super) struct Backends<'a> {
    services: &'a Services<'a>,
    sources: &'a Sources<'a>,
    node: &'a ThisNode,
    built: Vec<Arc<ServiceBackends>>,
}

/// The backends of one Service.
#[derive(Debug, Default)]
pub(super) struct ServiceBackends {
    /// In the order of the Service's ports. Those of a Service that has no virtual address of ours
    /// are built when a rule asks for them: otherwise nobody does, and they are many.
    ports: OnceLock<Vec<PortBackends>>,
    /// In the order of its ranges of ports.
    ranges: Vec<PortBackends>,
    /// Whether some rule leads to them, or did.
    has_rule: AtomicBool,
    /// Whether any endpoint can take new work.
    pub(super) is_ready: bool,
    /// The names of the endpoints, if the Service is headless.
    pub(super) names: Arc<[ZoneEndpoint]>,
}

/// A Service port has one backend a family, the primary one first: an IPv6 address leads to IPv6
/// endpoints only, as with kube-proxy, which is two proxies that know nothing of each other.
#[derive(Debug)]
struct PortBackends(Vec<(Family, Arc<Backend>)>);

impl<'a> Backends<'a> {
    /// Builds what is not in the memory of the last compilation, and gives that of this one.
    pub(super) fn build(
        services: &'a Services<'a>,
        sources: &'a Sources<'a>,
        node: &'a ThisNode,
        names: &Arc<Names>,
        memory: &Memory,
        findings: &mut Findings,
    ) -> (Self, Memory) {
        let setting = Setting { node: node.clone(), pod_hostnames: names.pod_hostnames };
        let mut recall = memory.recall(&setting);
        let (mut all, mut remembered) = (Vec::new(), Vec::new());
        for (place, service) in services.iter().enumerate() {
            let slices = sources.only_slices(place, service);
            if let Some(known) = slices.and_then(|slices| recall.built_of(service, slices)) {
                all.push(known.built().clone());
                remembered.push(known.clone());
                continue;
            }
            let before = findings.len();
            let members = sources.members(place, service, findings);
            let built = Arc::new(ServiceBackends::build(service, &members, &setting));
            let slices = slices.filter(|_| findings.len() == before);
            remembered.push(Remembered::new(service, slices, built.clone()));
            all.push(built);
        }
        remembered.shrink_to_fit();
        (
            Self { services, sources, node, built: all },
            Memory::new(setting, names.clone(), remembered),
        )
    }

    /// Of the Service at that place.
    pub(super) fn of(&self, place: usize) -> Option<&ServiceBackends> {
        self.built.get(place).map(|built| &**built)
    }

    /// What a rule leads to: the primary family, or another one if only that has endpoints.
    pub(super) fn for_rule(&self, place: usize, port: usize) -> Option<&Arc<Backend>> {
        let service = self.services.at(place)?;
        // what is wrong with the members was said when their names were made
        let members = || self.sources.members(place, service, &mut Findings::default());
        let built = self.built.get(place)?;
        built.note_rule();
        let ports =
            built.ports.get_or_init(|| PortBackends::of_all(service, &members(), self.node));
        let PortBackends(families) = ports.get(port)?;
        let mut backends = families.iter().map(|(_, backend)| backend);
        let has_endpoints = backends.clone().find(|backend| !backend.usable.is_empty());
        has_endpoints.or_else(|| backends.next())
    }
}

impl ServiceBackends {
    pub(super) fn build(
        service: &CheckedService<'_>,
        members: &[Member],
        setting: &Setting,
    ) -> Self {
        let is_ready = members.iter().any(|member| member.ready);
        let ports = if service.is_proxied() {
            PortBackends::of_all(service, members, &setting.node).into()
        } else {
            OnceLock::new()
        };
        let is_headless = service.exposed == Exposed::Headless;
        let names = is_headless.then(|| zone::endpoint_names(members, setting.pod_hostnames));
        Self {
            ports,
            ranges: PortBackends::of_ranges(service, members, &setting.node),
            has_rule: AtomicBool::new(false),
            is_ready,
            names: names.unwrap_or_default(),
        }
    }

    /// A rule leads to them.
    pub(super) fn note_rule(&self) {
        self.has_rule.store(true, Ordering::Relaxed);
    }

    /// Each backend with the one that takes its place.
    pub(super) fn replaced_by<'s>(
        &'s self,
        now: &'s Self,
    ) -> impl Iterator<Item = (&'s Arc<Backend>, &'s Arc<Backend>)> {
        let of = |it: &'s Self| it.ports().iter().flat_map(|PortBackends(all)| all);
        of(self).zip(of(now)).map(|((_, old), (_, new))| (old, new))
    }

    fn ports(&self) -> &[PortBackends] {
        self.ports.get().map_or(&[], Vec::as_slice)
    }

    /// What an address of this family leads to.
    pub(super) fn for_family(&self, port: usize, family: Family) -> Option<&Arc<Backend>> {
        self.ports().get(port)?.at(family)
    }

    /// What a range of ports leads to at an address of this family.
    pub(super) fn of_range(&self, range: usize, family: Family) -> Option<&Arc<Backend>> {
        self.ranges.get(range)?.at(family)
    }

    /// How many pods of this node are ready, by addresses of one family; known where a policy asks
    /// for it.
    pub(super) fn ready_here(&self, family: Family) -> usize {
        let ports = 0..self.ports().len();
        let backends = ports.filter_map(|port| self.for_family(port, family));
        let ready = backends.flat_map(|it| &it.local).filter(|it| it.ready);
        ready.map(|it| it.id.ip()).collect::<BTreeSet<_>>().len()
    }
}

impl PortBackends {
    fn of_all(service: &CheckedService<'_>, members: &[Member], node: &ThisNode) -> Vec<Self> {
        let ports = service.ports.iter();
        ports.map(|port| Self::build(service, Of::Port(port), members, node)).collect()
    }

    fn of_ranges(service: &CheckedService<'_>, members: &[Member], node: &ThisNode) -> Vec<Self> {
        let ranges = service.ranges.iter();
        ranges.map(|range| Self::build(service, Of::Range(range), members, node)).collect()
    }

    fn build(
        service: &CheckedService<'_>,
        of: Of<'_>,
        members: &[Member],
        node: &ThisNode,
    ) -> Self {
        let of_family = |family: &Family| {
            let members = members.iter().filter(|member| Family::of(member.address) == *family);
            (*family, Arc::new(backend(service, of, members, node)))
        };
        Self(service.families.iter().map(of_family).collect())
    }

    fn at(&self, family: Family) -> Option<&Arc<Backend>> {
        let Self(families) = self;
        families.iter().find(|(it, _)| *it == family).map(|(_, backend)| backend)
    }
}

/// What a backend is the backend of.
#[derive(Clone, Copy)]
enum Of<'a> {
    /// Behind it is who serves a port of its name.
    Port(&'a CheckedPort),
    /// Behind it is everyone: slices tell of single ports only.
    Range(&'a PortRange),
}

fn backend<'a>(
    service: &CheckedService<'_>,
    of: Of<'_>,
    members: impl Iterator<Item = &'a Member>,
    node: &ThisNode,
) -> Backend {
    let mut candidates: Vec<Candidate<'a>> =
        members.flat_map(|member| candidates(member, of)).collect();
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
    let (id, port, app_protocol, field) = match of {
        Of::Port(it) => (it.backend_id(service.key), it.number, it.app_protocol, it.field.clone()),
        Of::Range(it) => {
            (it.backend_id(service.key), it.first, AppProtocol::default(), PortRange::field())
        }
    };
    Backend {
        id,
        port,
        app_protocol,
        proxy_protocol: service.proxy_protocol,
        balancing: service.balancing.clone(),
        compress: service.compress,
        endpoints: candidates.into_iter().map(|it| it.endpoint).collect(),
        usable: cluster,
        local,
        topology,
        origin: service.stored.origin.clone(),
        field,
    }
}

fn candidates<'a>(member: &'a Member, of: Of<'_>) -> impl Iterator<Item = Candidate<'a>> + use<'a> {
    let (ports, transport, name, any) = match of {
        Of::Port(port) => (&*member.ports, port.transport, port.name.clone(), None),
        Of::Range(range) => (&[][..], range.transport, Arc::default(), Some(EndpointId::ANY_PORT)),
    };
    let joined = ports.iter().filter(move |it| it.transport == transport && it.name == name);
    joined.map(|it| it.number).chain(any).map(|number| Candidate {
        endpoint: Arc::new(Endpoint {
            id: EndpointId(SocketAddr::new(member.address, number)),
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
