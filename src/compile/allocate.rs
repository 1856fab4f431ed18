//! Addresses and node ports: those that Services name, and stable ones for the others.
//!
//! Order of claims: what was held before, then what is named, then what is derived from the
//! Service's namespace and name. Equal manifests give equal addresses after a restart too, but for
//! Services whose hashes collide, of which the older goes first.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::FixedState;
use ipnet::IpNet;

use super::findings::Findings;
use super::services::{CheckedService, Port, ServiceType};
use super::settings::{AddressRange, Settings};
use crate::manifest::{Code, ObjectKey};
use crate::snapshot::Transport;

/// Addresses and ports given to Services that name none. Kept by the driver between compilations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    cluster_ips: BTreeMap<ObjectKey, Vec<IpAddr>>,
    node_ports: BTreeMap<NodePortKey, u16>,
    load_balancer_ips: BTreeMap<ObjectKey, IpAddr>,
}

/// A Service, the name or number of its port, and the transport.
type NodePortKey = (ObjectKey, Arc<str>, Transport);

/// What one Service has.
#[derive(Clone, Debug, Default)]
pub(super) struct Addresses {
    /// Virtual addresses, at most one a family.
    pub(super) cluster_ips: Vec<IpAddr>,
    /// Node ports, in the order of the Service's ports.
    pub(super) node_ports: Vec<Option<u16>>,
    /// Addresses of the load balancer.
    pub(super) load_balancer_ips: Vec<IpAddr>,
}

/// The addresses of every Service, in the order of the Services, and what was given to those that
/// name none.
pub(super) fn allocate(
    services: &[CheckedService<'_>],
    settings: &Settings,
    held: &Allocations,
    findings: &mut Findings,
) -> (Vec<Addresses>, Allocations) {
    let mut allocations = Allocations::default();
    let cluster_ips = cluster_ips(services, settings, held, &mut allocations, findings);
    let node_ports = node_ports(services, held, &mut allocations, findings);
    let balanced = load_balancer_ips(services, settings, held, &mut allocations, findings);
    let addresses = cluster_ips
        .into_iter()
        .zip(node_ports)
        .zip(balanced)
        .map(|((cluster_ips, node_ports), load_balancer_ips)| Addresses {
            cluster_ips,
            node_ports,
            load_balancer_ips,
        })
        .collect();
    (addresses, allocations)
}

fn cluster_ips(
    services: &[CheckedService<'_>],
    settings: &Settings,
    held: &Allocations,
    allocations: &mut Allocations,
    findings: &mut Findings,
) -> Vec<Vec<IpAddr>> {
    let wanted: Vec<_> = services.iter().map(wanted_ips).collect();
    let mut used: BTreeMap<IpAddr, ObjectKey> = BTreeMap::new();
    let mut given: Vec<Vec<IpAddr>> = vec![Vec::new(); services.len()];
    for ((service, wanted), given) in services.iter().zip(&wanted).zip(&mut given) {
        let kept = held.cluster_ips.get(&service.key).filter(|_| wanted.is_empty());
        for ip in kept.filter(|_| service.is_virtual()).into_iter().flatten() {
            if settings.service_cidrs.iter().any(|cidr| cidr.contains(ip)) {
                used.insert(*ip, service.key.clone());
                given.push(*ip);
            }
        }
    }
    for ((service, wanted), given) in services.iter().zip(&wanted).zip(&mut given) {
        claim_named(service, wanted, &mut used, given, findings);
    }
    for ((service, wanted), given) in services.iter().zip(&wanted).zip(&mut given) {
        if service.is_virtual() && wanted.is_empty() {
            derive_missing(service, settings, &mut used, given, findings);
            allocations.cluster_ips.insert(service.key.clone(), given.clone());
        }
    }
    given
}

fn wanted_ips(service: &CheckedService<'_>) -> Vec<(String, IpAddr)> {
    if service.is_virtual() { service.wanted_ips() } else { Vec::new() }
}

fn claim_named(
    service: &CheckedService<'_>,
    wanted: &[(String, IpAddr)],
    used: &mut BTreeMap<IpAddr, ObjectKey>,
    given: &mut Vec<IpAddr>,
    findings: &mut Findings,
) {
    for (field, ip) in wanted {
        if let Some(owner) = used.get(ip) {
            let message = format!("{ip} belongs to Service {owner}");
            let help = "leave clusterIP out, or name a free address";
            let adding = findings.add(&service.subject);
            adding.error_help(Code::AddressClash, field, message, help);
            continue;
        }
        used.insert(*ip, service.key.clone());
        given.push(*ip);
    }
}

fn derive_missing(
    service: &CheckedService<'_>,
    settings: &Settings,
    used: &mut BTreeMap<IpAddr, ObjectKey>,
    given: &mut Vec<IpAddr>,
    findings: &mut Findings,
) {
    for cidr in cidrs(service, settings) {
        if given.iter().any(|ip| cidr.contains(ip)) {
            continue;
        }
        let Some(ip) = derive_ip(&service.key, cidr, used) else {
            let message = format!("no address is left in {cidr}");
            let help = "give a larger --service-cidr";
            let adding = findings.add(&service.subject);
            adding.error_help(Code::PoolExhausted, "spec", message, help);
            continue;
        };
        used.insert(ip, service.key.clone());
        given.push(ip);
    }
}

/// The CIDRs that a Service gets an address from: the first, or one a family if it asks for both.
fn cidrs<'a>(
    service: &'a CheckedService<'_>,
    settings: &'a Settings,
) -> impl Iterator<Item = &'a IpNet> {
    let policy = service.object.spec.ip_family_policy.as_deref();
    let both = matches!(policy, Some("PreferDualStack" | "RequireDualStack"));
    let cidrs = settings.service_cidrs.iter();
    cidrs.filter(|cidr| service.takes_family(cidr.addr())).take(if both { 2 } else { 1 })
}

/// The first addresses of a CIDR are left for fixed uses, such as DNS on the tenth.
const RESERVED: u128 = 16;

/// The first free address from where the hash of the name points to.
fn derive_ip(key: &ObjectKey, cidr: &IpNet, used: &BTreeMap<IpAddr, ObjectKey>) -> Option<IpAddr> {
    let (first, last) = (number(cidr.network()), number(cidr.broadcast()));
    let size = (last - first).saturating_add(1).min(MAX_CANDIDATES);
    let reserved = if size > 4 * RESERVED { RESERVED } else { 1 };
    // the last address of an IPv4 network is its broadcast address
    let count = size.checked_sub(reserved + 1).filter(|count| *count > 0)?;
    let start = u128::from(stable_hash(key)) % count;
    (0..count)
        .map(|step| first + reserved + (start + step) % count)
        .map(|candidate| address(candidate, cidr.addr().is_ipv4()))
        .find(|ip| !used.contains_key(ip))
}

/// IPv6 networks are far larger than anybody needs.
const MAX_CANDIDATES: u128 = 1 << 24;

fn stable_hash(value: impl Hash) -> u64 {
    FixedState::with_seed(0x7275_7474_6572).hash_one(value)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn address(number: u128, is_ipv4: bool) -> IpAddr {
    match u32::try_from(number) {
        Ok(bits) if is_ipv4 => IpAddr::V4(bits.into()),
        _ => IpAddr::V6(number.into()),
    }
}

fn node_ports(
    services: &[CheckedService<'_>],
    held: &Allocations,
    allocations: &mut Allocations,
    findings: &mut Findings,
) -> Vec<Vec<Option<u16>>> {
    let mut used: BTreeMap<(Transport, u16), ObjectKey> = BTreeMap::new();
    let mut given: Vec<Vec<Option<u16>>> =
        services.iter().map(|service| vec![None; service.ports.len()]).collect();
    let each_port =
        |given: &mut Vec<Vec<Option<u16>>>,
         claim: &mut dyn FnMut(&CheckedService<'_>, &Port, &mut Option<u16>)| {
            for (service, given) in services.iter().zip(given).filter(|(it, _)| has_node_ports(it))
            {
                for (port, given) in service.ports.iter().zip(given) {
                    claim(service, port, given);
                }
            }
        };
    each_port(&mut given, &mut |service, port, given| {
        let kept = held.node_ports.get(&node_port_key(service, port));
        if let Some(number) = kept.filter(|_| port.node_port.is_none()) {
            used.insert((port.transport, *number), service.key.clone());
            *given = Some(*number);
        }
    });
    each_port(&mut given, &mut |service, port, given| {
        let Some(number) = port.node_port else { return };
        if let Some(owner) = used.get(&(port.transport, number)) {
            let message = format!("node port {number} belongs to Service {owner}");
            let field = format!("{}.nodePort", port.field());
            findings.add(&service.subject).error(Code::AddressClash, &field, message);
            return;
        }
        used.insert((port.transport, number), service.key.clone());
        *given = Some(number);
    });
    each_port(&mut given, &mut |service, port, given| {
        if port.node_port.is_some() {
            return;
        }
        let key = node_port_key(service, port);
        let number = given.or_else(|| derive_node_port(&key, &used));
        let Some(number) = number else {
            let message = "no node port is left";
            findings.add(&service.subject).error(Code::PoolExhausted, &port.field(), message);
            return;
        };
        used.insert((port.transport, number), service.key.clone());
        allocations.node_ports.insert(key, number);
        *given = Some(number);
    });
    given
}

fn has_node_ports(service: &CheckedService<'_>) -> bool {
    match service.exposure {
        ServiceType::NodePort => true,
        ServiceType::LoadBalancer => {
            service.object.spec.allocate_load_balancer_node_ports.unwrap_or(true)
        }
        ServiceType::ExternalName | ServiceType::Headless | ServiceType::ClusterIp => false,
    }
}

fn node_port_key(service: &CheckedService<'_>, port: &Port) -> NodePortKey {
    (service.key.clone(), port.label(), port.transport)
}

/// Kubernetes' own default range.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

fn derive_node_port(
    key: &NodePortKey,
    used: &BTreeMap<(Transport, u16), ObjectKey>,
) -> Option<u16> {
    let count = NODE_PORTS.end() - NODE_PORTS.start() + 1;
    let start = u16::try_from(stable_hash(key) % u64::from(count)).unwrap_or_default();
    (0..count)
        .map(|step| NODE_PORTS.start() + (start + step) % count)
        .find(|number| !used.contains_key(&(key.2, *number)))
}

fn load_balancer_ips(
    services: &[CheckedService<'_>],
    settings: &Settings,
    held: &Allocations,
    allocations: &mut Allocations,
    findings: &mut Findings,
) -> Vec<Vec<IpAddr>> {
    let mut used: BTreeSet<IpAddr> = BTreeSet::new();
    let mut given: Vec<Vec<IpAddr>> = vec![Vec::new(); services.len()];
    let balanced = |service: &CheckedService<'_>| service.exposure == ServiceType::LoadBalancer;
    for (service, given) in services.iter().zip(&mut given).filter(|(it, _)| balanced(it)) {
        *given = status_ips(service);
        let kept = held.load_balancer_ips.get(&service.key).copied();
        let kept = kept.filter(|ip| settings.lb_pool.iter().any(|range| range.contains(*ip)));
        if let Some(ip) = kept.filter(|_| given.is_empty() && !names_other(service, kept)) {
            given.push(ip);
        }
        used.extend(given.iter());
    }
    for (service, given) in services.iter().zip(&mut given).filter(|(it, _)| balanced(it)) {
        if given.is_empty() && is_our_class(service) {
            *given = choose_balanced(service, settings, &used, findings);
            used.extend(given.iter());
        }
        let from_pool = |ip: &&IpAddr| settings.lb_pool.iter().any(|range| range.contains(**ip));
        if let Some(ip) = given.iter().find(from_pool) {
            allocations.load_balancer_ips.insert(service.key.clone(), *ip);
        }
    }
    given
}

/// Addresses that a load balancer brings here: `ipMode: Proxy` means that it does not.
fn status_ips(service: &CheckedService<'_>) -> Vec<IpAddr> {
    let ingress = service.object.status.load_balancer.ingress.iter();
    ingress
        .filter(|entry| entry.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|entry| entry.ip.as_ref()?.parse().ok())
        .collect()
}

fn requested_ip(service: &CheckedService<'_>) -> Option<IpAddr> {
    service.object.spec.load_balancer_ip.as_ref()?.parse().ok()
}

fn names_other(service: &CheckedService<'_>, kept: Option<IpAddr>) -> bool {
    requested_ip(service).is_some_and(|wanted| Some(wanted) != kept)
}

/// The class of Services whose load balancer this process is.
const LOAD_BALANCER_CLASS: &str = "rutter.dev/l2";

fn is_our_class(service: &CheckedService<'_>) -> bool {
    service.object.spec.load_balancer_class.as_deref().is_none_or(|it| it == LOAD_BALANCER_CLASS)
}

fn choose_balanced(
    service: &CheckedService<'_>,
    settings: &Settings,
    used: &BTreeSet<IpAddr>,
    findings: &mut Findings,
) -> Vec<IpAddr> {
    if settings.lb_pool.is_empty() {
        return settings.node_ips.clone();
    }
    let in_pool = |ip: IpAddr| settings.lb_pool.iter().any(|range| range.contains(ip));
    if let Some(wanted) = requested_ip(service) {
        if in_pool(wanted) && !used.contains(&wanted) {
            return vec![wanted];
        }
        let message = format!("{wanted} is taken or outside of the pool (--lb-pool)");
        let adding = findings.add(&service.subject);
        adding.error(Code::UnservedAddress, "spec.loadBalancerIP", message);
        return Vec::new();
    }
    let mut free = settings.lb_pool.iter().flat_map(AddressRange::addresses);
    let free = free.find(|ip| !used.contains(ip) && service.takes_family(*ip));
    if free.is_none() {
        let message = "no address is left in the pool (--lb-pool)";
        findings.add(&service.subject).error(Code::PoolExhausted, "spec.type", message);
    }
    free.into_iter().collect()
}

impl AddressRange {
    /// Whether the address is in the range.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&ip)
    }

    /// Its addresses, in order.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let is_ipv4 = self.first.is_ipv4();
        (number(self.first)..=number(self.last)).map(move |number| address(number, is_ipv4))
    }
}
