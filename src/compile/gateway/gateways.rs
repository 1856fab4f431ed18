//! Gateways that are ours, and where they listen.
//!
//! Addresses: those of `spec.addresses`; without them one of `--gateway-pool`; without a pool the
//! wildcard, which all Gateways share. A Gateway keeps the address that it was given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::class::{Classes, no_parameters};
use super::{Context, Verdict};
use crate::compile::address::{Family, parse_ip};
use crate::compile::allocate::AddressSpace;
use crate::compile::order::Seniority;
use crate::compile::report::Subject;
use crate::manifest::gateway::{Gateway, GatewayAddress, GatewaySpec};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::Certificate;
use crate::store::Stored;

/// A Gateway that is ours.
#[derive(Debug)]
pub(super) struct OwnGateway<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) stored: &'a Stored<Gateway>,
    /// Why it is not accepted: nothing of it is served.
    pub(super) refused: Option<Verdict>,
    /// What it shows as its addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// It shares the wildcard: `addresses` are those of the node.
    pub(super) is_wildcard: bool,
    /// Why an address that it asks for is not among them.
    pub(super) unusable: Option<Verdict>,
    /// What it shows to backends that ask.
    pub(super) client_certificate: Option<Result<Arc<Certificate>, Verdict>>,
}

impl<'a> OwnGateway<'a> {
    pub(super) fn spec(&self) -> &'a GatewaySpec {
        &self.stored.object.spec
    }

    pub(super) fn subject(&self) -> Subject<'a> {
        Subject::new(Kind::Gateway, self.key, self.stored)
    }

    pub(super) fn generation(&self) -> i64 {
        self.stored.object.metadata.generation.unwrap_or_default()
    }

    /// The addresses of its sockets.
    pub(super) fn listens_at(&self) -> Vec<IpAddr> {
        match self.is_wildcard {
            true => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            false => self.addresses.clone(),
        }
    }
}

/// Those of our classes, the oldest first.
pub(super) fn collect<'a>(
    classes: &Classes<'a, '_>,
    held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    context: &mut Context<'a, '_, '_>,
) -> Vec<OwnGateway<'a>> {
    let mut own = Vec::new();
    for (key, stored) in &context.objects.gateways {
        let subject = Subject::new(Kind::Gateway, key, stored);
        let class = &*stored.object.spec.gateway_class_name;
        classes.check(class, subject, context);
        if classes.names_us(class) {
            own.push(OwnGateway {
                key,
                stored,
                refused: None,
                addresses: Vec::new(),
                is_wildcard: false,
                unusable: None,
                client_certificate: None,
            });
        }
    }
    own.sort_by_cached_key(|it| Seniority::of(&it.stored.object.metadata, it.key));
    for gateway in &mut own {
        gateway.refused = refused(gateway, context);
    }
    assign(&mut own, held, context);
    own
}

fn refused(gateway: &OwnGateway<'_>, context: &mut Context<'_, '_, '_>) -> Option<Verdict> {
    let spec = gateway.spec();
    if let Some(reference) = &spec.infrastructure.parameters_ref {
        let message = no_parameters(&reference.kind, &reference.name);
        let field = "spec.infrastructure.parametersRef";
        let finding = gateway.subject().error(Code::BadValue, field, message.as_str());
        context.findings.push(finding.help("take it away; the Gateway is not served"));
        return Some(Verdict::new("InvalidParameters", message));
    }
    let unsupported = spec.addresses.iter().enumerate().find(|(_, it)| &*it.kind != "IPAddress");
    let (place, address) = unsupported?;
    let message = format!("addresses of type {:?} are not supported", address.kind);
    let field = format!("spec.addresses[{place}].type");
    let finding = gateway.subject().error(Code::BadValue, &field, message.as_str());
    context.findings.push(finding.help("write type: IPAddress; the Gateway is not served"));
    Some(Verdict::new("UnsupportedAddress", message))
}

/// Gives every Gateway its addresses: first those that are named, then those that were held,
/// then new ones.
fn assign(
    gateways: &mut [OwnGateway<'_>],
    held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    context: &mut Context<'_, '_, '_>,
) {
    let mut space = AddressSpace::new(context.settings.gateway_pool.iter().copied());
    for gateway in gateways.iter_mut().filter(|it| it.refused.is_none()) {
        for (place, address) in gateway.spec().addresses.iter().enumerate() {
            named(gateway, place, address, &mut space, context);
        }
    }
    let mut missing: Vec<usize> = Vec::new();
    for (place, gateway) in gateways.iter_mut().enumerate() {
        if gateway.refused.is_some() || !wants_any(gateway.spec()) {
            continue;
        }
        let mut kept = held.get(gateway.key).into_iter().flatten().copied();
        match kept.find(|ip| space.contains(*ip) && space.is_free(*ip)) {
            Some(ip) => {
                space.take(ip);
                gateway.addresses.push(ip);
            }
            None => missing.push(place),
        }
    }
    for place in missing {
        if let Some(gateway) = gateways.get_mut(place) {
            allocate(gateway, &mut space, context);
        }
    }
}

/// Whether an address is to be chosen for it.
fn wants_any(spec: &GatewaySpec) -> bool {
    let is_free = |it: &GatewayAddress| it.value.as_deref().unwrap_or_default().is_empty();
    spec.addresses.is_empty() || spec.addresses.iter().any(is_free)
}

fn named(
    gateway: &mut OwnGateway<'_>,
    place: usize,
    address: &GatewayAddress,
    space: &mut AddressSpace,
    context: &mut Context<'_, '_, '_>,
) {
    let Some(written) = address.value.as_deref().filter(|it| !it.is_empty()) else { return };
    let problem = match parse_ip(written) {
        None => format!("{written:?} is no IP address"),
        Some(ip) if !is_usable(ip, space, context) => {
            format!("{ip} is neither in the pool of Gateways nor an address of this node")
        }
        Some(ip) => {
            space.take(ip);
            if !gateway.addresses.contains(&ip) {
                gateway.addresses.push(ip);
            }
            return;
        }
    };
    let field = format!("spec.addresses[{place}].value");
    let finding = gateway.subject().error(Code::UnservedAddress, &field, problem.as_str());
    context.findings.push(finding.help(format!("start rutter with --gateway-pool {written}")));
    gateway.unusable = Some(Verdict::new("AddressNotUsable", problem));
}

/// Without a pool the operator has not said what this node may have: binding will tell.
fn is_usable(ip: IpAddr, space: &AddressSpace, context: &Context<'_, '_, '_>) -> bool {
    let settings = context.settings;
    settings.gateway_pool.is_empty()
        || space.contains(ip)
        || settings.node_ips.contains(&ip)
        || ip.is_loopback()
}

fn allocate(
    gateway: &mut OwnGateway<'_>,
    space: &mut AddressSpace,
    context: &mut Context<'_, '_, '_>,
) {
    if context.settings.gateway_pool.is_empty() {
        gateway.is_wildcard = true;
        let node_ips: BTreeSet<IpAddr> = context.settings.node_ips.iter().copied().collect();
        gateway.addresses.extend(node_ips);
        return;
    }
    let families = [Family::V4, Family::V6].into_iter().filter(|it| space.has_family(*it));
    let families: Vec<_> = families.collect();
    let seed = format!("gateway {}", gateway.key);
    match families.into_iter().find_map(|family| space.allocate(family, &seed)) {
        Some(ip) => gateway.addresses.push(ip),
        None => {
            let message = "no address is left in the pool of Gateways";
            let finding = gateway.subject().error(Code::PoolExhausted, "spec.addresses", message);
            context.findings.push(finding.help("give --gateway-pool a larger range"));
            gateway.unusable = Some(Verdict::new("AddressNotAssigned", message));
        }
    }
}
