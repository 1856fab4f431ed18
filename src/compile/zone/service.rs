//! What the names of one Service lead to, and the names of its addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::address::parse_ip;
use crate::compile::allocate::Allocations;
use crate::compile::backends::ServiceBackends;
use crate::compile::corefile::Names;
use crate::compile::endpoints::{Member, MemberPort};
use crate::compile::services::{CheckedPort, CheckedService, Exposed};
use crate::manifest::ObjectKey;
use crate::snapshot::{ReverseEntry, ZoneEndpoint, ZonePort, ZoneService};

use super::lower;

/// What names depend on besides their Service.
pub(super) struct Naming<'a> {
    names: &'a Names,
    allocations: &'a Allocations,
}

/// The names of a Service.
pub(super) struct ServiceNames {
    /// Lower-case.
    pub(super) key: Arc<ObjectKey>,
    pub(super) answer: ZoneService,
    /// Its addresses that have names.
    pub(super) reverse: Vec<ReverseEntry>,
}

impl<'a> Naming<'a> {
    pub(super) fn new(names: &'a Names, allocations: &'a Allocations) -> Self {
        Self { names, allocations }
    }

    /// `None`: it has no names.
    pub(super) fn of(
        &self,
        namespaces: &BTreeSet<Arc<str>>,
        service: &CheckedService<'_>,
        backends: Option<&ServiceBackends>,
    ) -> Option<ServiceNames> {
        let label = |name: &str| service.stored.object.metadata.label(name);
        let namespace = lower(&service.key.namespace);
        if !namespaces.contains(&namespace) || !self.names.selects(label) {
            return None;
        }
        let key = Arc::new(ObjectKey { namespace, name: lower(&service.key.name) });
        let answer = self.answer(service, backends)?;
        let reverse = self.reverse(&key, &answer);
        Some(ServiceNames { key, answer, reverse })
    }

    fn answer(
        &self,
        service: &CheckedService<'_>,
        backends: Option<&ServiceBackends>,
    ) -> Option<ZoneService> {
        match service.exposed {
            Exposed::ExternalName => external(service),
            Exposed::Headless => {
                let backends = backends.filter(|_| self.names.endpoints);
                let endpoints = backends.map(|backends| backends.names.clone());
                Some(ZoneService::Headless { endpoints: endpoints.unwrap_or_default() })
            }
            Exposed::ClusterIp | Exposed::NodePort | Exposed::LoadBalancer => {
                let addresses = self.allocations.cluster_ips.get(service.key);
                let addresses = addresses.cloned().unwrap_or_default();
                let is_ready = backends.is_some_and(|backends| backends.is_ready);
                if !is_ready && !self.names.empty_services {
                    return Some(ZoneService::Empty { addresses });
                }
                Some(ZoneService::ClusterIp { addresses, ports: named_ports(service) })
            }
        }
    }

    /// The addresses of a Service that have names.
    pub(super) fn reverse(&self, key: &Arc<ObjectKey>, answer: &ZoneService) -> Vec<ReverseEntry> {
        let entry = |address: IpAddr| ReverseEntry { address, service: key.clone() };
        let is_answered = |ip: &IpAddr| self.names.reverse.iter().any(|net| net.contains(ip));
        match answer {
            ZoneService::ClusterIp { addresses, .. } | ZoneService::Empty { addresses } => {
                addresses.iter().copied().filter(is_answered).map(entry).collect()
            }
            ZoneService::Headless { endpoints } => {
                endpoints.iter().map(|it| it.address).filter(is_answered).map(entry).collect()
            }
            ZoneService::External { .. } => Vec::new(),
        }
    }
}

/// An address is no name: such a Service has no record.
fn external(service: &CheckedService<'_>) -> Option<ZoneService> {
    let name = service.spec().external_name.as_deref()?.trim_end_matches('.');
    let is_name = !name.is_empty() && parse_ip(name).is_none();
    is_name.then(|| ZoneService::External { name: name.to_ascii_lowercase().into() })
}

fn named_ports(service: &CheckedService<'_>) -> Vec<ZonePort> {
    let named = service.ports.iter().filter(|port| !port.name.is_empty());
    let port = |port: &CheckedPort| ZonePort {
        name: lower(&port.name),
        transport: port.transport,
        port: port.number,
    };
    named.map(port).collect()
}

/// The ready members by address and hostname; what several slices say of one is joined.
pub(in crate::compile) fn endpoints(
    members: &[Member],
    pod_hostnames: bool,
) -> Arc<[ZoneEndpoint]> {
    let ready = members.iter().filter(|member| member.ready);
    let mut ports = SharedPorts::default();
    let endpoint = |member: &Member| ZoneEndpoint {
        hostname: hostname(member, pod_hostnames),
        address: member.address,
        ports: ports.of(&member.ports),
    };
    let mut endpoints: Vec<ZoneEndpoint> = ready.map(endpoint).collect();
    endpoints.sort_by(|left, right| {
        (left.address, &left.hostname).cmp(&(right.address, &right.hostname))
    });
    endpoints.dedup_by(|later, kept| {
        let is_same = later.address == kept.address && later.hostname == kept.hostname;
        if is_same && later.ports != kept.ports {
            let all: BTreeSet<_> = kept.ports.iter().chain(&*later.ports).cloned().collect();
            kept.ports = all.into_iter().collect();
        }
        is_same
    });
    endpoints.into()
}

fn hostname(member: &Member, pod_hostnames: bool) -> Arc<str> {
    let pod = || member.pod.as_ref().filter(|pod| pod_hostnames && pod.len() < LONGEST_POD);
    match member.hostname.as_ref().or_else(pod) {
        Some(hostname) => lower(hostname),
        None => dashed(member.address).into(),
    }
}

/// The ports of members, and of their names.
type SamePorts = (Arc<[MemberPort]>, Arc<[ZonePort]>);

/// Members of one slice share their ports, and so do their names.
#[derive(Default)]
struct SharedPorts {
    last: Option<SamePorts>,
}

impl SharedPorts {
    fn of(&mut self, ports: &Arc<[MemberPort]>) -> Arc<[ZonePort]> {
        if let Some((last, named)) = &self.last
            && Arc::ptr_eq(last, ports)
        {
            return named.clone();
        }
        let named = ports.iter().filter(|port| !port.name.is_empty());
        let named: BTreeSet<ZonePort> = named
            .map(|port| ZonePort {
                name: lower(&port.name),
                transport: port.transport,
                port: port.number,
            })
            .collect();
        let named: Arc<[ZonePort]> = named.into_iter().collect();
        self.last = Some((ports.clone(), named.clone()));
        named
    }
}

/// Longer ones are no label.
const LONGEST_POD: usize = 64;

/// `10-0-0-1`; `2001-db8--1`; an end in `-`, which no host name has, gets a `0` (CoreDNS).
fn dashed(ip: IpAddr) -> String {
    let mut name = ip.to_string().replace(['.', ':'], "-");
    if name.ends_with('-') {
        name.push('0');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_labels_as_coredns_writes_them() {
        for (ip, expected) in
            [("1.2.3.4", "1-2-3-4"), ("2001:db8::1", "2001-db8--1"), ("2001:db8::", "2001-db8--0")]
        {
            assert_eq!(dashed(ip.parse().expect("an address")), expected);
        }
    }
}
