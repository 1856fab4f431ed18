//! What there is to say of a LoadBalancer before it is given anything.

use std::net::IpAddr;

use super::super::pools::Pools;
use super::super::request::{Request, Terms};
use super::super::{Allocations, report_unserved};
use crate::compile::address::{Family, parse_ip};
use crate::compile::report::Findings;
use crate::compile::services::CheckedService;
use crate::compile::settings::{LOAD_BALANCER_CLASS, Settings};
use crate::manifest::{Code, ObjectKey};

/// A LoadBalancer before it is given anything.
pub(super) struct Wish<'s, 'a> {
    pub(super) service: &'s CheckedService<'a>,
    pub(super) request: Request<'a>,
    /// Others decided on its addresses: those of `captured`.
    pub(super) is_decided: bool,
    /// What its status says, but for what is ours to give.
    pub(super) captured: Vec<IpAddr>,
    /// What its status says of our pools.
    pub(super) said: Vec<IpAddr>,
    /// What of them it had before.
    pub(super) held: Vec<IpAddr>,
    /// It had addresses under the same terms.
    pub(super) is_unchanged: bool,
}

impl<'s, 'a> Wish<'s, 'a> {
    pub(super) fn read(
        service: &'s CheckedService<'a>,
        pools: &Pools<'a>,
        settings: &Settings,
        held: &Allocations,
        findings: &mut Findings,
    ) -> Self {
        let class = service.spec().load_balancer_class.as_deref().unwrap_or_default();
        let is_foreign = !matches!(class, "" | LOAD_BALANCER_CLASS);
        let status = addresses_of_status(service, findings);
        let is_ours = |(_, ip): &(usize, IpAddr)| !is_foreign && pools.of(*ip).is_some();
        let (said, captured): (Vec<_>, Vec<_>) = status.into_iter().partition(is_ours);
        let has_status = !service.stored.object.status.load_balancer.ingress.is_empty();
        let is_decided = is_foreign || has_status && said.is_empty();
        for (place, ip) in captured.iter().filter(|(_, ip)| !settings.node_ips.contains(ip)) {
            report_unserved(service, || field_of_status(*place), *ip, &[], findings);
        }
        let request = match is_decided {
            true => Request::default(),
            false => Request::parse(service, findings),
        };
        let before = held.load_balancers.get(service.key);
        let is_unchanged =
            before.is_some() && held.sharing.get(service.key) == request.terms.as_ref();
        let before = before.into_iter().flatten().copied();
        Self {
            service,
            request,
            is_decided,
            captured: captured.into_iter().map(|(_, ip)| ip).collect(),
            said: said.into_iter().map(|(_, ip)| ip).collect(),
            held: before.filter(|ip| pools.of(*ip).is_some()).collect(),
            is_unchanged,
        }
    }

    pub(super) fn key(&self) -> &'a ObjectKey {
        self.service.key
    }

    pub(super) fn terms(&self) -> Option<&Terms> {
        self.request.terms.as_ref()
    }

    /// Whether it asks for certain addresses of a family.
    pub(super) fn names(&self, family: Family) -> bool {
        self.request.addresses.iter().any(|ip| Family::of(*ip) == family)
    }
}

/// The addresses that others decided on. None where traffic should go out to a load balancer that
/// is none of ours (`ipMode: Proxy`, KEP-1860, or a host name).
fn addresses_of_status(
    service: &CheckedService<'_>,
    findings: &mut Findings,
) -> Vec<(usize, IpAddr)> {
    let mut addresses: Vec<(usize, IpAddr)> = Vec::new();
    let status = &service.stored.object.status.load_balancer.ingress;
    for (place, ingress) in status.iter().enumerate() {
        let is_proxy = ingress.ip_mode.as_deref() == Some("Proxy");
        let Some(written) = ingress.ip.as_deref().filter(|_| !is_proxy) else { continue };
        match parse_ip(written) {
            Some(ip) if addresses.iter().any(|(_, it)| *it == ip) => {}
            Some(ip) => addresses.push((place, ip)),
            None => {
                let message = format!("{written:?} is no IP address");
                let field = field_of_status(place);
                findings.push(service.subject().error(Code::BadValue, &field, message));
            }
        }
    }
    addresses
}

fn field_of_status(place: usize) -> String {
    format!("status.loadBalancer.ingress[{place}].ip")
}
