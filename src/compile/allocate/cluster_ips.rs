//! Virtual addresses.
//!
//! An address that a Service holds stays with it, also when a new one names it: that one is told,
//! and is given another, so that its name leads somewhere.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use foldhash::fast::RandomState;
use ipnet::IpNet;

use crate::compile::address::{Family, parse_ip};
use crate::compile::report::Findings;
use crate::compile::services::{CheckedService, Exposed, FamilyPolicy, Services};
use crate::compile::settings::Settings;
use crate::manifest::{Code, ObjectKey};

use super::report_unserved;
use super::space::AddressSpace;

pub(super) fn cluster_ips(
    services: &Services<'_>,
    settings: &Settings,
    held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    findings: &mut Findings,
) -> BTreeMap<ObjectKey, Vec<IpAddr>> {
    let mut allocation = Allocation {
        space: AddressSpace::of_service_cidrs(&settings.service_cidrs),
        owners: HashMap::default(),
        given: vec![Vec::new(); services.iter().len()],
        cidrs: &settings.service_cidrs,
        findings,
    };
    // Named addresses count even where rutter is not the proxy: names lead to them.
    let with_address = || {
        let all = services.by_age();
        all.filter(|(_, service)| service.exposed >= Exposed::ClusterIp)
    };
    with_address().for_each(|(place, service)| allocation.keep(place, service, held));
    with_address().for_each(|(place, service)| allocation.named(place, service));
    with_address()
        .filter(|(_, service)| service.is_proxied())
        .for_each(|(place, service)| allocation.missing(place, service));
    // one without addresses has a place among the others all the same
    let given = services.iter().zip(allocation.given);
    let given = given.filter(|(service, _)| service.exposed >= Exposed::ClusterIp);
    let in_order = |(service, mut addresses): (&CheckedService<'_>, Vec<IpAddr>)| {
        let place = |ip: &IpAddr| service.families.iter().position(|it| *it == Family::of(*ip));
        addresses.sort_by_key(place);
        (service.key.clone(), addresses)
    };
    given.map(in_order).collect()
}

struct Allocation<'s, 'a> {
    space: AddressSpace,
    owners: HashMap<IpAddr, &'s CheckedService<'a>, RandomState>,
    /// By place of the Service.
    given: Vec<Vec<IpAddr>>,
    cidrs: &'s [IpNet],
    findings: &'s mut Findings,
}

impl<'s, 'a> Allocation<'s, 'a> {
    /// Gives what the Service had before, unless it names another now.
    fn keep(
        &mut self,
        place: usize,
        service: &'s CheckedService<'a>,
        held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    ) {
        for ip in held.get(service.key).into_iter().flatten() {
            let family = Family::of(*ip);
            let named = service.cluster_ips.iter().find(|it| Family::of(**it) == family);
            let is_wanted = match named {
                Some(named) => named == ip,
                None => {
                    service.is_proxied()
                        && service.families.contains(&family)
                        && self.space.contains(*ip)
                }
            };
            if is_wanted && !self.owners.contains_key(ip) && !self.has(place, family) {
                self.take(place, service, *ip);
            }
        }
    }

    fn named(&mut self, place: usize, service: &'s CheckedService<'a>) {
        for ip in &service.cluster_ips {
            let field = || field_of(service, *ip);
            if !self.has(place, Family::of(*ip)) {
                if let Some(other) = self.owners.get(ip) {
                    let who = other.subject().named();
                    let message = format!("{ip} is taken by {who}; another address is given");
                    let help = "name another address, or none";
                    let clash = service.subject().error(Code::AddressClash, &field(), message);
                    self.findings.push(clash.help(help));
                    continue;
                }
                self.take(place, service, *ip);
            }
            report_unserved(service, field, *ip, self.cidrs, self.findings);
        }
    }

    fn missing(&mut self, place: usize, service: &'s CheckedService<'a>) {
        for family in &service.families {
            if self.has(place, *family) {
                continue;
            }
            match self.space.find(*family, &service.key.to_string(), |_| true) {
                Some(ip) => self.take(place, service, ip),
                // what is preferred may be missing, and of what is required it was said already
                None if !self.space.has_family(*family)
                    && service.family_policy != FamilyPolicy::Single => {}
                None => self.exhausted(service, *family),
            }
        }
    }

    fn exhausted(&mut self, service: &CheckedService<'_>, family: Family) {
        let (message, help) = if self.space.has_family(family) {
            (
                format!("no {family} address is left for this Service"),
                format!("give --service-cidr a larger {family} range"),
            )
        } else {
            (
                format!("there are no {family} addresses for Services"),
                format!("give --service-cidr an {family} range as well"),
            )
        };
        let finding = service.subject().error(Code::PoolExhausted, "spec", message);
        self.findings.push(finding.help(help));
    }

    fn has(&self, place: usize, family: Family) -> bool {
        let given = self.given.get(place).into_iter().flatten();
        given.into_iter().any(|ip| Family::of(*ip) == family)
    }

    fn take(&mut self, place: usize, service: &'s CheckedService<'a>, ip: IpAddr) {
        self.space.take(ip);
        self.owners.insert(ip, service);
        if let Some(given) = self.given.get_mut(place) {
            given.push(ip);
        }
    }
}

/// Where a Service names an address.
fn field_of(service: &CheckedService<'_>, ip: IpAddr) -> String {
    let is_it = |written: &str| parse_ip(written) == Some(ip);
    let spec = service.spec();
    if spec.cluster_ip.as_deref().is_some_and(is_it) {
        return "spec.clusterIP".to_owned();
    }
    let place = spec.cluster_ips.iter().position(|written| is_it(written));
    format!("spec.clusterIPs[{}]", place.unwrap_or_default())
}
