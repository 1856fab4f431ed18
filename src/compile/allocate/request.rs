//! What a LoadBalancer asks for: addresses, a pool, company at its address.
//!
//! MetalLB's, kube-vip's and Cilium's annotations mean the same; where several are written they
//! have to agree.

use std::net::IpAddr;
use std::sync::Arc;

use crate::compile::address::parse_ip;
use crate::compile::report::Findings;
use crate::compile::services::CheckedService;
use crate::manifest::{Code, Labels};
use crate::snapshot::Transport;

/// What a Service asks for.
#[derive(Debug, Default)]
pub(super) struct Request<'a> {
    /// The addresses that it asks for, in order; none: any will do.
    pub(super) addresses: Vec<IpAddr>,
    /// Where they are written.
    pub(super) field: String,
    /// The pool that it asks for.
    pub(super) pool: Option<PoolRequest<'a>>,
    /// With whom it would share its address; `None`: with nobody.
    pub(super) terms: Option<Terms>,
    /// What it asks for contradicts itself: it keeps what it has, and is given nothing new.
    pub(super) is_void: bool,
}

/// A pool by name, and where it is written.
#[derive(Debug)]
pub(super) struct PoolRequest<'a> {
    pub(super) name: &'a str,
    pub(super) field: String,
}

const ADDRESSES: [&str; 5] = [
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
    "kube-vip.io/loadbalancerIPs",
    "lbipam.cilium.io/ips",
    "io.cilium/lb-ipam-ips",
];

const POOL: [&str; 2] = ["metallb.io/address-pool", "metallb.universe.tf/address-pool"];

const SHARING: [&str; 4] = [
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
    "lbipam.cilium.io/sharing-key",
    "io.cilium/lb-ipam-sharing-key",
];

const CROSS_NAMESPACE: [&str; 2] =
    ["lbipam.cilium.io/sharing-cross-namespace", "io.cilium/lb-ipam-sharing-cross-namespace"];

impl<'a> Request<'a> {
    pub(super) fn parse(service: &CheckedService<'a>, findings: &mut Findings) -> Self {
        let mut request = Self::default();
        request.read_addresses(service, findings);
        let pool = one_of(service, &POOL, findings);
        request.pool = pool.map(|(name, value)| PoolRequest { name: value, field: field(name) });
        request.terms = one_of(service, &SHARING, findings)
            .map(|(name, key)| Terms::new(service, key, name, findings));
        report_misspelt(service, findings);
        if request.is_void {
            request.addresses.clear();
        }
        request
    }

    /// Those of the annotations, then that of the spec, which may be one of them.
    fn read_addresses(&mut self, service: &CheckedService<'a>, findings: &mut Findings) {
        for (name, written) in annotations(service, &ADDRESSES) {
            let Some(addresses) = addresses(service, name, written, findings) else {
                self.is_void = true;
                continue;
            };
            if self.field.is_empty() {
                (self.addresses, self.field) = (addresses, field(name));
            } else if sorted(&addresses) != sorted(&self.addresses) {
                self.contradict(service, &field(name), written, findings);
            }
        }
        let Some(written) = service.spec().load_balancer_ip.as_deref().filter(|it| !it.is_empty())
        else {
            return;
        };
        let place = "spec.loadBalancerIP";
        match parse_ip(written) {
            // said with the other fields of the Service
            None => self.is_void = true,
            Some(ip) if ip.is_unspecified() => report_dhcp(service, place, ip, findings),
            Some(ip) if self.field.is_empty() => {
                (self.addresses, self.field) = (vec![ip], place.to_owned());
            }
            Some(ip) if self.addresses.contains(&ip) => {}
            Some(_) => self.contradict(service, place, written, findings),
        }
    }

    fn contradict(
        &mut self,
        service: &CheckedService<'_>,
        place: &str,
        written: &str,
        findings: &mut Findings,
    ) {
        self.is_void = true;
        let other = self.field.strip_prefix("metadata.annotations.").unwrap_or(&self.field);
        let asked: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        let message = format!("{written} is asked for, but {other} asks for {}", asked.join(","));
        let help = "take one of both away; until then the Service is given no address";
        findings.push(service.subject().error(Code::BadValue, place, message).help(help));
    }
}

/// The annotations of these names that are not empty, in the order of the names.
fn annotations<'a>(
    service: &CheckedService<'a>,
    names: &[&'static str],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let metadata = &service.stored.object.metadata;
    let value = |name: &&'static str| Some((*name, metadata.annotation(name)?.trim()));
    names.iter().filter_map(value).filter(|(_, value)| !value.is_empty())
}

/// The first annotation of these names; another one that says something else is told.
fn one_of<'a>(
    service: &CheckedService<'a>,
    names: &[&'static str],
    findings: &mut Findings,
) -> Option<(&'static str, &'a str)> {
    let mut written = annotations(service, names);
    let (name, value) = written.next()?;
    for (other, _) in written.filter(|(_, other)| *other != value) {
        let message = format!("{name} says {value:?}, which counts");
        let finding = service.subject().error(Code::BadValue, &field(other), message);
        findings.push(finding.help("take one of both away"));
    }
    Some((name, value))
}

fn field(annotation: &str) -> String {
    format!("metadata.annotations.{annotation}")
}

/// `10.0.0.1,fd00::1`; `None` where something in it is no address.
fn addresses(
    service: &CheckedService<'_>,
    name: &str,
    written: &str,
    findings: &mut Findings,
) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    let mut is_good = true;
    for part in written.split(',').map(str::trim) {
        match parse_ip(part) {
            Some(ip) if ip.is_unspecified() => report_dhcp(service, &field(name), ip, findings),
            Some(ip) if addresses.contains(&ip) => {}
            Some(ip) => addresses.push(ip),
            None => {
                is_good = false;
                let message = format!("{part:?} is no IP address");
                let finding = service.subject().error(Code::BadValue, &field(name), message);
                findings.push(finding.help("write addresses with commas between them"));
            }
        }
    }
    is_good.then_some(addresses)
}

/// What kube-vip takes for a wish.
fn report_dhcp(service: &CheckedService<'_>, field: &str, ip: IpAddr, findings: &mut Findings) {
    let message = format!("{ip} asks for an address by DHCP, which rutter does not do");
    let finding = service.subject().warning(Code::NotCarried, field, message);
    findings.push(finding.help("leave it away: an address of a pool is given"));
}

fn sorted(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let mut sorted = addresses.to_vec();
    sorted.sort();
    sorted
}

/// Annotations of these projects that are almost one that is read: Kubernetes keeps them in
/// silence.
fn report_misspelt(service: &CheckedService<'_>, findings: &mut Findings) {
    let known = || {
        let all = ADDRESSES.iter().chain(&POOL).chain(&SHARING).chain(&CROSS_NAMESPACE);
        all.copied()
    };
    let prefixes =
        ["metallb.io/", "metallb.universe.tf/", "kube-vip.io/", "lbipam.cilium.io/", "io.cilium/"];
    let metadata = &service.stored.object.metadata;
    let written = metadata.annotations.keys().filter(|name| {
        prefixes.iter().any(|prefix| name.starts_with(prefix)) && known().all(|it| it != &***name)
    });
    for name in written {
        let prefix = name.split_inclusive('/').next().unwrap_or_default();
        let of_project = known().filter(|it| it.starts_with(prefix));
        if let Some(help) = findings.did_you_mean(name, of_project) {
            let message = format!("the annotation {name} means nothing");
            let finding = service.subject().warning(Code::UnknownField, &field(name), message);
            findings.push(finding.help(help));
        }
    }
}

/// With whom a Service shares its address, and what decides whether it can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) struct Terms {
    /// What those who share have in common.
    pub(super) key: Arc<str>,
    namespace: Arc<str>,
    /// The other namespaces with which it shares; `None`: with any.
    crossing: Option<Vec<Arc<str>>>,
    ports: Vec<(Transport, u16)>,
    /// `externalTrafficPolicy: Local`.
    is_local: bool,
    selector: Labels,
}

impl Terms {
    fn new(
        service: &CheckedService<'_>,
        key: &str,
        name: &'static str,
        findings: &mut Findings,
    ) -> Self {
        // to Cilium a namespace is a border; MetalLB's operators trust who knows the key
        let is_cilium = name.contains("cilium");
        let crossing = is_cilium.then(|| {
            let listed = one_of(service, &CROSS_NAMESPACE, findings).map(|(_, value)| value);
            listed.into_iter().flat_map(|it| it.split(',')).map(|it| it.trim().into()).collect()
        });
        let crossing = crossing.filter(|it: &Vec<Arc<str>>| it.iter().all(|it| **it != *"*"));
        let spec = service.spec();
        Self {
            key: key.into(),
            namespace: service.key.namespace.clone(),
            crossing,
            ports: service.ports.iter().map(|port| (port.transport, port.number)).collect(),
            is_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            selector: spec.selector.clone(),
        }
    }

    /// Why both cannot have one address, as a clause about the other; `None`: they can.
    pub(super) fn refusal(&self, other: &Self) -> Option<String> {
        if self.key != other.key {
            return Some(format!("which shares by the key {:?}, not {:?}", other.key, self.key));
        }
        if !self.crosses_to(&other.namespace) || !other.crosses_to(&self.namespace) {
            return Some("which is of another namespace".to_owned());
        }
        let same = self.ports.iter().find(|port| other.ports.contains(port));
        if let Some((transport, number)) = same {
            return Some(format!("which has the port {number}/{transport} there"));
        }
        let both_anywhere = !self.is_local && !other.is_local;
        let is_same = !self.selector.is_empty() && self.selector == other.selector;
        let is_refused = !both_anywhere && !is_same;
        is_refused.then(|| "with externalTrafficPolicy Local and another selector".to_owned())
    }

    fn crosses_to(&self, namespace: &Arc<str>) -> bool {
        let crossing = self.crossing.as_ref();
        *namespace == self.namespace || crossing.is_none_or(|it| it.contains(namespace))
    }
}
