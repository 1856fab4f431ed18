//! Addresses and node ports for Services that name none.
//!
//! What a Service names itself is reserved first, then what is held from the last compilation,
//! then the new ones get theirs, the oldest first. A new one starts at a hash of its name and
//! takes the first place that is free: so an address is almost always the same after a restart,
//! whatever else is there, and it never moves while the process runs.

mod space;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::manifest::{Code, ObjectKey};
use crate::snapshot::{BackendId, Transport};

use super::address::{Family, parse_ip};
use super::corefile::LastCorefile;
use super::report::Findings;
use super::services::{CheckedService, Exposed, Services};
use super::settings::{AddressRange, LOAD_BALANCER_CLASS, Settings};
use super::tls::Reading;

use space::PortSpace;
pub(super) use space::{AddressSpace, stable_hash};

/// What a compilation leaves to the next one: the addresses and ports that Services have, whether
/// they name them or were given them, the certificates that it has checked, and the last Corefile
/// that it could read. Kept by the driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Virtual addresses, one a family.
    pub(super) cluster_ips: BTreeMap<ObjectKey, Vec<IpAddr>>,
    /// By Service port.
    pub(super) node_ports: BTreeMap<BackendId, u16>,
    /// Where load balancers ask for the health of a Service.
    pub(super) health_ports: BTreeMap<ObjectKey, u16>,
    /// Addresses for the outside.
    pub(super) load_balancers: BTreeMap<ObjectKey, Vec<IpAddr>>,
    /// Addresses of Gateways.
    pub(super) gateways: BTreeMap<ObjectKey, Vec<IpAddr>>,
    /// By Secret.
    pub(super) certificates: BTreeMap<ObjectKey, Reading>,
    pub(super) corefile: LastCorefile,
}

impl Allocations {
    /// Whether the Corefile cannot be read as it is, so that another serves, or none.
    pub fn has_broken_corefile(&self) -> bool {
        self.corefile.is_broken
    }
}

pub(super) fn allocate(
    services: &Services<'_>,
    settings: &Settings,
    held: &Allocations,
    findings: &mut Findings,
) -> Allocations {
    let mut spaces = PortSpaces::default();
    let known = known_health_ports(services, held, &mut spaces.tcp);
    Allocations {
        cluster_ips: cluster_ips(services, settings, held, findings),
        node_ports: node_ports(services, held, &mut spaces, findings),
        health_ports: health_ports(services, known, &mut spaces.tcp, findings),
        load_balancers: load_balancers(services, settings, held, findings),
        gateways: BTreeMap::new(),
        certificates: BTreeMap::new(),
        corefile: LastCorefile::default(),
    }
}

fn cluster_ips(
    services: &Services<'_>,
    settings: &Settings,
    held: &Allocations,
    findings: &mut Findings,
) -> BTreeMap<ObjectKey, Vec<IpAddr>> {
    let mut space = AddressSpace::new(settings.service_cidrs.iter().filter_map(allocatable));
    // Named addresses count even where rutter is not the proxy: names lead to them.
    let with_address = || services.by_age().filter(|(_, it)| it.exposed >= Exposed::ClusterIp);
    let mut given: BTreeMap<ObjectKey, Vec<IpAddr>> = BTreeMap::new();
    for (_, service) in with_address() {
        for ip in &service.cluster_ips {
            space.take(*ip);
            report_unserved(service, "spec.clusterIP", *ip, &settings.service_cidrs, findings);
        }
        given.insert(service.key.clone(), service.cluster_ips.clone());
    }
    let mut missing = Vec::new();
    for (_, service) in with_address().filter(|(_, service)| service.is_proxied()) {
        let addresses = given.entry(service.key.clone()).or_default();
        for family in &service.families {
            if addresses.iter().any(|ip| Family::of(*ip) == *family) {
                continue;
            }
            match held_address(&held.cluster_ips, service.key, *family, &space) {
                Some(ip) => {
                    space.take(ip);
                    addresses.push(ip);
                }
                None => missing.push((service, *family)),
            }
        }
    }
    for (service, family) in missing {
        match space.allocate(family, &service.key.to_string()) {
            Some(ip) => given.entry(service.key.clone()).or_default().push(ip),
            None => findings.push(exhausted(service, family, "--service-cidr")),
        }
    }
    let order = |service: &CheckedService<'_>, ip: &IpAddr| {
        service.families.iter().position(|family| *family == Family::of(*ip))
    };
    for (_, service) in with_address() {
        if let Some(addresses) = given.get_mut(service.key) {
            addresses.sort_by_key(|ip| order(service, ip));
        }
    }
    given
}

fn held_address(
    held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    key: &ObjectKey,
    family: Family,
    space: &AddressSpace,
) -> Option<IpAddr> {
    let mut addresses = held.get(key)?.iter().copied();
    addresses.find(|ip| Family::of(*ip) == family && space.contains(*ip))
}

fn exhausted(
    service: &CheckedService<'_>,
    family: Family,
    option: &str,
) -> crate::manifest::Finding {
    let family = match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    };
    let message = format!("no {family} address is left for this Service");
    let help = format!("give {option} a larger {family} range");
    service.subject().error(Code::PoolExhausted, "spec", message).help(help)
}

/// What may be given from a service CIDR: not the network, not the first ten addresses, of which
/// the tenth is the cluster's DNS by custom, and not the broadcast address.
fn allocatable(cidr: &IpNet) -> Option<AddressRange> {
    let reserved = 11;
    match cidr {
        IpNet::V4(cidr) => {
            let first = u32::from(cidr.network()).checked_add(reserved)?;
            let last = u32::from(cidr.broadcast()).checked_sub(1)?;
            let range =
                AddressRange { first: IpAddr::V4(first.into()), last: IpAddr::V4(last.into()) };
            (first <= last).then_some(range)
        }
        IpNet::V6(cidr) => {
            let first = u128::from(cidr.network()).checked_add(reserved.into())?;
            let last = u128::from(cidr.broadcast());
            let range =
                AddressRange { first: IpAddr::V6(first.into()), last: IpAddr::V6(last.into()) };
            (first <= last).then_some(range)
        }
    }
}

/// A process without privileges can bind addresses of the loopback network only.
fn report_unserved(
    service: &CheckedService<'_>,
    field: &str,
    ip: IpAddr,
    cidrs: &[IpNet],
    findings: &mut Findings,
) {
    if ip.is_loopback() || cidrs.iter().any(|cidr| cidr.contains(&ip)) {
        return;
    }
    let message = format!("{ip} is outside of the service CIDR and may not be bindable");
    let help = format!("run as root, or add a local route: ip route add local {ip} dev lo");
    findings.push(service.subject().note(Code::UnservedAddress, field, message).help(help));
}

#[derive(Debug, Default)]
struct PortSpaces {
    tcp: PortSpace,
    udp: PortSpace,
}

impl PortSpaces {
    fn of(&mut self, transport: Transport) -> &mut PortSpace {
        match transport {
            Transport::Tcp => &mut self.tcp,
            Transport::Udp => &mut self.udp,
        }
    }
}

fn node_ports(
    services: &Services<'_>,
    held: &Allocations,
    spaces: &mut PortSpaces,
    findings: &mut Findings,
) -> BTreeMap<BackendId, u16> {
    let mut given = BTreeMap::new();
    let mut missing = Vec::new();
    let has_node_ports = |(_, service): &(usize, &CheckedService<'_>)| {
        service.is_proxied() && service.exposed >= Exposed::NodePort
    };
    for (_, service) in services.by_age().filter(has_node_ports) {
        for port in &service.ports {
            let id = port.backend_id(service.key);
            let held = held.node_ports.get(&id).filter(|_| wants_node_ports(service));
            match port.node_port.or_else(|| held.copied()) {
                Some(number) => {
                    spaces.of(port.transport).take(number);
                    given.insert(id, number);
                }
                None if wants_node_ports(service) => missing.push((service, port, id)),
                None => {}
            }
        }
    }
    for (service, port, id) in missing {
        match spaces.of(port.transport).allocate(&id.to_string()) {
            Some(number) => drop(given.insert(id, number)),
            None => {
                let message = format!("no {} node port is left for this port", port.transport);
                findings.push(service.subject().error(Code::PoolExhausted, &port.field, message));
            }
        }
    }
    given
}

/// A LoadBalancer may do without the ones that it does not name.
fn wants_node_ports(service: &CheckedService<'_>) -> bool {
    service.exposed != Exposed::LoadBalancer
        || service.spec().allocate_load_balancer_node_ports != Some(false)
}

/// The ports that Services name for their health, or had before.
fn known_health_ports(
    services: &Services<'_>,
    held: &Allocations,
    space: &mut PortSpace,
) -> BTreeMap<ObjectKey, u16> {
    let checked = services.iter().filter(|service| service.has_health_check());
    let known = checked.filter_map(|service| {
        let named = service.spec().health_check_node_port.and_then(|it| u16::try_from(it).ok());
        let held = held.health_ports.get(service.key).copied();
        let port = named.filter(|port| *port != 0).or(held)?;
        space.take(port);
        Some((service.key.clone(), port))
    });
    known.collect()
}

fn health_ports(
    services: &Services<'_>,
    mut given: BTreeMap<ObjectKey, u16>,
    space: &mut PortSpace,
    findings: &mut Findings,
) -> BTreeMap<ObjectKey, u16> {
    for (_, service) in services.by_age().filter(|(_, service)| service.has_health_check()) {
        if given.contains_key(service.key) {
            continue;
        }
        match space.allocate(&format!("{} health", service.key)) {
            Some(port) => drop(given.insert(service.key.clone(), port)),
            None => {
                let message = "no node port is left for health checks";
                let field = "spec.healthCheckNodePort";
                findings.push(service.subject().error(Code::PoolExhausted, field, message));
            }
        }
    }
    given
}

/// Where each LoadBalancer listens: where its status says, else at the address that it asks for,
/// else at one of the pool, else at the node's.
fn load_balancers(
    services: &Services<'_>,
    settings: &Settings,
    held: &Allocations,
    findings: &mut Findings,
) -> BTreeMap<ObjectKey, Vec<IpAddr>> {
    let mut space = AddressSpace::new(settings.lb_pool.iter().copied());
    let mut given = BTreeMap::new();
    let mut missing = Vec::new();
    let balanced = |(_, service): &(usize, &CheckedService<'_>)| {
        service.exposed == Exposed::LoadBalancer && service.is_proxied()
    };
    for (_, service) in services.by_age().filter(balanced) {
        if let Some(addresses) = known_addresses(service, settings, findings) {
            addresses.iter().for_each(|ip| space.take(*ip));
            given.insert(service.key.clone(), addresses);
            continue;
        }
        if let Some(ip) = requested_address(service, &space, findings) {
            space.take(ip);
            given.insert(service.key.clone(), vec![ip]);
            continue;
        }
        for family in &service.families {
            match held_address(&held.load_balancers, service.key, *family, &space) {
                Some(ip) => {
                    space.take(ip);
                    given.entry(service.key.clone()).or_default().push(ip);
                }
                None => missing.push((service, *family)),
            }
        }
    }
    for (service, family) in missing {
        let addresses: &mut Vec<IpAddr> = given.entry(service.key.clone()).or_default();
        if !space.has_family(family) {
            let node = settings.node_ips.iter().filter(|ip| Family::of(**ip) == family);
            addresses.extend(node);
        } else if let Some(ip) = space.allocate(family, &service.key.to_string()) {
            addresses.push(ip);
        } else {
            findings.push(exhausted(service, family, "--lb-pool"));
        }
    }
    given
}

/// The addresses that someone else decided on; empty where traffic should go out to a load
/// balancer that is none of ours (`ipMode: Proxy`, KEP-1860, a host name, another class).
fn known_addresses(
    service: &CheckedService<'_>,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Vec<IpAddr>> {
    let status = &service.stored.object.status.load_balancer.ingress;
    let mut addresses = Vec::new();
    for (place, ingress) in status.iter().enumerate() {
        let is_proxy = ingress.ip_mode.as_deref() == Some("Proxy");
        let Some(written) = ingress.ip.as_deref().filter(|_| !is_proxy) else { continue };
        let field = format!("status.loadBalancer.ingress[{place}].ip");
        let Some(ip) = parse_ip(written) else {
            let message = format!("{written:?} is no IP address");
            findings.push(service.subject().error(Code::BadValue, &field, message));
            continue;
        };
        if !settings.node_ips.contains(&ip) {
            report_unserved(service, &field, ip, &[], findings);
        }
        addresses.push(ip);
    }
    let class = service.spec().load_balancer_class.as_deref();
    let is_foreign = class.is_some_and(|class| class != LOAD_BALANCER_CLASS);
    (is_foreign || !status.is_empty()).then_some(addresses)
}

fn requested_address(
    service: &CheckedService<'_>,
    space: &AddressSpace,
    findings: &mut Findings,
) -> Option<IpAddr> {
    let written = service.spec().load_balancer_ip.as_deref()?;
    let ip = parse_ip(written)?;
    if space.contains(ip) {
        return Some(ip);
    }
    let message = format!("{ip} is not in the pool of load balancers; another address is given");
    let help = format!("start rutter with --lb-pool {ip}");
    let field = "spec.loadBalancerIP";
    findings.push(service.subject().warning(Code::UnservedAddress, field, message).help(help));
    None
}
