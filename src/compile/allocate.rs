//! Addresses and node ports: who gets which, and who keeps it.
//!
//! What a Service has from the last compilation stays its own as long as it may have it; then
//! those that name an address or a port get it, if it is free, and the others are given one, the
//! oldest first. A new one starts at a hash of its name and takes the first place that is free: so
//! an address is almost always the same after a restart, whatever else is there, and it never
//! moves while the process runs.
//!
//! Invariant: no two Services have one address or one port of the nodes, but those that share it
//! by a key, and those whose address others decided on.

mod claims;
mod cluster_ips;
mod load_balancers;
mod node_ports;
mod pools;
mod request;
mod space;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::manifest::{Code, ObjectKey};
use crate::snapshot::{BackendId, LoadBalancer};
use crate::store::Objects;

use super::backends::Memory;
use super::corefile::LastCorefile;
use super::report::Findings;
use super::services::{CheckedService, Services};
use super::settings::Settings;
use super::tls::Reading;

use load_balancers::LoadBalancers;
use node_ports::NodePorts;
use pools::Pools;
use request::Terms;
pub(super) use space::{AddressSpace, stable_hash};

/// What a compilation leaves to the next one: the addresses and ports that Services have, whether
/// they name them or were given them, the certificates that it has checked, the last Corefile
/// that it could read, and the backends and names that it has built. Kept by the driver.
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
    /// With whom they are shared.
    pub(super) sharing: BTreeMap<ObjectKey, Terms>,
    /// Addresses of Gateways.
    pub(super) gateways: BTreeMap<ObjectKey, Vec<IpAddr>>,
    /// By Secret.
    pub(super) certificates: BTreeMap<ObjectKey, Reading>,
    pub(super) corefile: LastCorefile,
    pub(super) backends: Memory,
}

impl Allocations {
    /// Whether the Corefile cannot be read as it is, so that another serves, or none.
    pub fn has_broken_corefile(&self) -> bool {
        self.corefile.is_broken
    }
}

/// Allocations, and why LoadBalancers have theirs.
pub(super) type Allocated = (Allocations, BTreeMap<ObjectKey, LoadBalancer>);

pub(super) fn allocate(
    objects: &Objects,
    services: &Services<'_>,
    settings: &Settings,
    held: &Allocations,
    findings: &mut Findings,
) -> Allocated {
    let pools = Pools::read(objects, &settings.lb_pool, findings);
    let cluster_ips = cluster_ips::cluster_ips(services, settings, &held.cluster_ips, findings);
    let NodePorts { ports: node_ports, health: health_ports } =
        node_ports::node_ports(services, held, findings);
    let LoadBalancers { addresses: load_balancers, terms: sharing, told } =
        load_balancers::load_balancers(services, pools, settings, held, findings);
    findings.load_balancers(&told);
    let allocations = Allocations {
        cluster_ips,
        node_ports,
        health_ports,
        load_balancers,
        sharing,
        ..Allocations::default()
    };
    (allocations, told)
}

/// A process without privileges can bind addresses of the loopback network only.
fn report_unserved(
    service: &CheckedService<'_>,
    field: impl Fn() -> String,
    ip: IpAddr,
    cidrs: &[IpNet],
    findings: &mut Findings,
) {
    if ip.is_loopback() || cidrs.iter().any(|cidr| cidr.contains(&ip)) {
        return;
    }
    let message = format!("{ip} is outside of the service CIDR and may not be bindable");
    let help = format!("run as root, or add a local route: ip route add local {ip} dev lo");
    findings.push(service.subject().note(Code::UnservedAddress, &field(), message).help(help));
}
