//! Services as written → Services that make sense, and findings about the rest.
//!
//! A Service that the API server would refuse is served as far as it makes sense: a bad port
//! costs that port only.

mod balance;
mod compress;
mod features;
mod load_balancer;
mod policy;
mod ports;
mod protocol;
mod proxy_protocol;
mod ranges;

use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::service::ServiceSpec;
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::{Balancing, ContentCodings, ProxyProtocol};
use crate::store::{Objects, Stored};

use super::address::{Family, parse_ip};
use super::order::Seniority;
use super::report::{Findings, Subject};
use super::settings::Settings;

pub(super) use policy::CheckedPolicy;
pub(super) use ports::{CheckedPort, Target};
pub(super) use ranges::PortRange;

/// Every Service, by key and by age.
#[derive(Debug)]
pub(super) struct Services<'a> {
    by_key: Vec<CheckedService<'a>>,
    by_age: Vec<usize>,
}

/// A Service whose values make sense.
#[derive(Debug)]
pub(super) struct CheckedService<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) stored: &'a Stored<crate::manifest::service::Service>,
    pub(super) exposed: Exposed,
    /// The families of its addresses, the primary one first; never empty.
    pub(super) families: Vec<Family>,
    /// Whether it has to be of both.
    pub(super) family_policy: FamilyPolicy,
    /// Virtual addresses that it names itself.
    pub(super) cluster_ips: Vec<IpAddr>,
    pub(super) ports: Vec<CheckedPort>,
    /// Further ports of its addresses.
    pub(super) ranges: Vec<PortRange>,
    /// What it says about its traffic.
    pub(super) policy: CheckedPolicy,
    /// How its endpoints are told of clients.
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    /// How requests are shared out among its endpoints.
    pub(super) balancing: Arc<Balancing>,
    /// In which codings its responses may be sent.
    pub(super) compress: ContentCodings,
    /// Whether each request to its virtual address is balanced by itself.
    pub(super) by_request: bool,
}

/// How far a Service reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exposed {
    /// A name for another name.
    ExternalName,
    /// No virtual address: names lead to the endpoints.
    Headless,
    /// A virtual address …
    ClusterIp,
    /// … and a port of every node …
    NodePort,
    /// … and an address for the outside.
    LoadBalancer,
}

/// `spec.ipFamilyPolicy` (KEP-563).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyPolicy {
    Single,
    PreferDual,
    RequireDual,
}

impl<'a> Services<'a> {
    pub(super) fn parse(
        objects: &'a Objects,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let by_key: Vec<_> = objects
            .services
            .iter()
            .map(|(key, stored)| CheckedService::parse(key, stored, settings, findings))
            .collect();
        let mut ages: Vec<_> = by_key
            .iter()
            .enumerate()
            .map(|(place, it)| (Seniority::of(&it.stored.object.metadata, it.key), place))
            .collect();
        ages.sort();
        Self { by_age: ages.into_iter().map(|(_, place)| place).collect(), by_key }
    }

    pub(super) fn place(&self, key: &ObjectKey) -> Option<usize> {
        self.by_key.binary_search_by(|it| it.key.cmp(key)).ok()
    }

    /// The same for keys that are asked for nearly in order: soon after `near`, the place of one
    /// before.
    pub(super) fn place_near(&self, near: usize, key: &ObjectKey) -> Option<usize> {
        let is_before = |place: usize| self.by_key.get(place).is_some_and(|it| it.key < key);
        if !is_before(near) {
            return self.place(key);
        }
        let (mut before, mut step) = (near, 1);
        while is_before(before + step) {
            before += step;
            step *= 2;
        }
        let there = self.by_key.get(before..self.by_key.len().min(before + step + 1))?;
        let place = there.binary_search_by(|it| it.key.cmp(key)).ok()?;
        Some(before + place)
    }

    pub(super) fn find(&self, key: &ObjectKey) -> Option<(usize, &CheckedService<'a>)> {
        let place = self.place(key)?;
        Some((place, self.by_key.get(place)?))
    }

    /// The Service at that place of [`Services::iter`].
    pub(super) fn at(&self, place: usize) -> Option<&CheckedService<'a>> {
        self.by_key.get(place)
    }

    /// Names of the Services of a namespace.
    pub(super) fn names_in<'b>(&'b self, namespace: &'b str) -> impl Iterator<Item = &'b str> {
        let start = self.by_key.partition_point(|it| &*it.key.namespace < namespace);
        let rest = self.by_key.get(start..).unwrap_or_default().iter();
        rest.take_while(move |it| &*it.key.namespace == namespace).map(|it| &*it.key.name)
    }

    /// By namespace and name.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &CheckedService<'a>> {
        self.by_key.iter()
    }

    /// With their places in [`Services::iter`], the oldest first.
    pub(super) fn by_age(&self) -> impl Iterator<Item = (usize, &CheckedService<'a>)> {
        self.by_age.iter().filter_map(|place| Some((*place, self.by_key.get(*place)?)))
    }
}

impl<'a> CheckedService<'a> {
    pub(super) fn parse(
        key: &'a ObjectKey,
        stored: &'a Stored<crate::manifest::service::Service>,
        settings: &Settings,
        findings: &mut Findings,
    ) -> Self {
        let spec = &stored.object.spec;
        let subject = Subject::new(Kind::Service, key, stored);
        let exposed = exposed(spec, subject, findings);
        let cluster_ips = cluster_ips(spec, exposed, subject, findings);
        let family_policy = family_policy(spec, subject, findings);
        let families =
            families(spec, family_policy, exposed, &cluster_ips, settings, subject, findings);
        let mut ports = ports::parse(spec, exposed, subject, findings);
        protocol::apply(&stored.object, &mut ports, subject, findings);
        features::check(&stored.object, exposed, settings, subject, findings);
        let policy = CheckedPolicy::parse(spec, exposed, settings, subject, findings);
        let ranges = ranges::parse(&stored.object, exposed, subject, findings);
        let proxy_protocol = proxy_protocol::parse(&stored.object, subject, findings);
        let balancing = load_balancer::parse(&stored.object, subject, findings);
        let compress = compress::parse(&stored.object, settings.compress, subject, findings);
        let by_request = balance::by_request(&stored.object, &ports, &policy, subject, findings);
        Self {
            key,
            stored,
            exposed,
            families,
            family_policy,
            cluster_ips,
            ports,
            ranges,
            policy,
            proxy_protocol,
            balancing,
            compress,
            by_request,
        }
    }

    pub(super) fn spec(&self) -> &'a ServiceSpec {
        &self.stored.object.spec
    }

    pub(super) fn subject(&self) -> Subject<'a> {
        Subject::new(Kind::Service, self.key, self.stored)
    }

    /// Whether load balancers are told which nodes have pods of it: only then does it matter.
    pub(super) fn has_health_check(&self) -> bool {
        self.is_proxied() && self.exposed == Exposed::LoadBalancer && self.policy.external_local
    }

    /// Whether rutter proxies it: it has a virtual address, and no label gives it to another
    /// proxy (KEP-2447). Names of Services that are not proxied are answered all the same.
    pub(super) fn is_proxied(&self) -> bool {
        self.exposed >= Exposed::ClusterIp
            && self.stored.object.metadata.label(PROXY_NAME).is_none()
    }
}

const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

fn exposed(spec: &ServiceSpec, subject: Subject<'_>, findings: &mut Findings) -> Exposed {
    let written = spec.kind.as_deref().unwrap_or("ClusterIP");
    let kinds = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];
    subject.one_of(findings, "spec.type", written, &kinds);
    let is_headless = spec.cluster_ip.as_deref() == Some("None");
    match written {
        "ExternalName" => Exposed::ExternalName,
        "NodePort" | "LoadBalancer" if is_headless => {
            let message = format!("a Service of type {written} cannot be headless");
            findings.push(subject.error(Code::BadValue, "spec.clusterIP", message));
            Exposed::Headless
        }
        "NodePort" => Exposed::NodePort,
        "LoadBalancer" => Exposed::LoadBalancer,
        _ if is_headless => Exposed::Headless,
        _ => Exposed::ClusterIp,
    }
}

/// The addresses that the Service names, one a family at most.
fn cluster_ips(
    spec: &ServiceSpec,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Vec<IpAddr> {
    if exposed < Exposed::ClusterIp {
        return Vec::new();
    }
    if let (Some(one), Some(first)) = (&spec.cluster_ip, spec.cluster_ips.first())
        && one != first
    {
        let message = format!("{first} differs from clusterIP, which is {one}");
        findings.push(subject.error(Code::BadValue, "spec.clusterIPs[0]", message));
    }
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (field, written) in written_cluster_ips(spec) {
        match parse_ip(written) {
            Some(ip) if !addresses.iter().any(|it| Family::of(*it) == Family::of(ip)) => {
                addresses.push(ip);
            }
            Some(ip) => {
                let message = format!("{ip} is a second address of its family");
                findings.push(subject.error(Code::BadValue, &field, message));
            }
            None => {
                let message = format!("{written:?} is no IP address");
                findings.push(subject.error(Code::BadValue, &field, message));
            }
        }
    }
    addresses
}

/// `clusterIP`, then the rest of `clusterIPs`, each with its field.
fn written_cluster_ips(spec: &ServiceSpec) -> impl Iterator<Item = (String, &Arc<str>)> {
    let primary = spec.cluster_ip.iter().map(|ip| ("spec.clusterIP".to_owned(), ip));
    let others = spec.cluster_ips.iter().enumerate();
    let others = others.filter(|(place, _)| *place > 0 || spec.cluster_ip.is_none());
    let others = others.map(|(place, ip)| (format!("spec.clusterIPs[{place}]"), ip));
    primary.chain(others).filter(|(_, ip)| !ip.is_empty())
}

fn family_policy(
    spec: &ServiceSpec,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> FamilyPolicy {
    let written = spec.ip_family_policy.as_deref().unwrap_or("SingleStack");
    let policies = ["SingleStack", "PreferDualStack", "RequireDualStack"];
    subject.one_of(findings, "spec.ipFamilyPolicy", written, &policies);
    match written {
        "PreferDualStack" => FamilyPolicy::PreferDual,
        "RequireDualStack" => FamilyPolicy::RequireDual,
        _ => FamilyPolicy::Single,
    }
}

/// `ipFamilies` as the API server defaults them (KEP-563): by what is written, else by the
/// addresses that are named, else the cluster's first family, or all of its families where the
/// policy asks for dual stack.
fn families(
    spec: &ServiceSpec,
    policy: FamilyPolicy,
    exposed: Exposed,
    named: &[IpAddr],
    settings: &Settings,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Vec<Family> {
    let mut families: Vec<Family> = named.iter().copied().map(Family::of).collect();
    for (place, written) in spec.ip_families.iter().enumerate() {
        let field = format!("spec.ipFamilies[{place}]");
        if subject.one_of(findings, &field, written, &["IPv4", "IPv6"]) {
            families.extend(Family::parse(written));
        }
    }
    // Endpoints of a headless Service without selector are the user's to choose.
    let is_free = exposed == Exposed::Headless && spec.selector.is_empty();
    let offered = settings.service_cidrs.iter().map(|cidr| Family::of(cidr.addr()));
    if policy == FamilyPolicy::RequireDual && exposed >= Exposed::Headless && !is_free {
        let served: Vec<_> = named.iter().copied().map(Family::of).chain(offered.clone()).collect();
        for family in [Family::V4, Family::V6].into_iter().filter(|it| !served.contains(it)) {
            let message = format!("RequireDualStack, but there are no {family} addresses");
            let help =
                format!("give --service-cidr an {family} range as well, or say PreferDualStack");
            let field = "spec.ipFamilyPolicy";
            findings.push(subject.error(Code::BadValue, field, message).help(help));
        }
    }
    if is_free {
        families.extend([Family::V4, Family::V6]);
    } else if policy != FamilyPolicy::Single {
        families.extend(offered);
    } else if families.is_empty() {
        families.extend(offered.take(1));
    }
    if families.is_empty() {
        families.push(Family::V4);
    }
    unique(families)
}

/// The first of each, in order.
fn unique(families: Vec<Family>) -> Vec<Family> {
    let mut kept = Vec::with_capacity(2);
    for family in families {
        if !kept.contains(&family) {
            kept.push(family);
        }
    }
    kept
}
