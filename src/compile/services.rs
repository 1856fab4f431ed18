//! Services, checked: types, ports, addresses that they name.

use std::net::IpAddr;
use std::sync::Arc;

use super::findings::{Findings, Subject};
use super::order::precedence;
use crate::manifest::meta::IntOrString;
use crate::manifest::service::{Service, ServicePort};
use crate::manifest::{Code, Kind, ObjectKey, ObjectRef, similar};
use crate::snapshot::{AppProtocol, Transport};
use crate::store::Objects;

/// A Service of ours, with what could be understood of it.
#[derive(Debug)]
pub(super) struct CheckedService<'a> {
    /// Namespace and name.
    pub(super) key: ObjectKey,
    /// For findings.
    pub(super) subject: Subject,
    /// As written.
    pub(super) object: &'a Service,
    /// How it is reached.
    pub(super) exposure: ServiceType,
    /// The usable ports.
    pub(super) ports: Vec<Port>,
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ServiceType {
    /// By another name.
    ExternalName,
    /// By the addresses of its endpoints.
    Headless,
    /// By a virtual address.
    ClusterIp,
    /// By that and a port of every node.
    NodePort,
    /// By these and the addresses of a load balancer.
    LoadBalancer,
}

/// A usable port of a Service.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// Its place in `spec.ports`.
    pub(super) index: usize,
    /// Empty when it has none.
    pub(super) name: Arc<str>,
    /// 1 to 65535.
    pub(super) number: u16,
    /// TCP or UDP.
    pub(super) transport: Transport,
    /// What the pods speak.
    pub(super) app_protocol: AppProtocol,
    /// The port of the pods.
    pub(super) target: IntOrString,
    /// The wanted port of the nodes.
    pub(super) node_port: Option<u16>,
}

impl CheckedService<'_> {
    /// Whether it has virtual addresses.
    pub(super) fn is_virtual(&self) -> bool {
        self.exposure >= ServiceType::ClusterIp
    }

    /// The addresses that it asks for: `clusterIPs`, or `clusterIP` alone.
    pub(super) fn wanted_ips(&self) -> Vec<(String, IpAddr)> {
        let spec = &self.object.spec;
        let named = |(index, text): (usize, &Arc<str>)| {
            Some((format!("spec.clusterIPs[{index}]"), text.parse().ok()?))
        };
        if !spec.cluster_ips.is_empty() {
            return spec.cluster_ips.iter().enumerate().filter_map(named).collect();
        }
        let one = spec.cluster_ip.as_ref().and_then(|text| text.parse().ok());
        one.map(|ip| ("spec.clusterIP".to_owned(), ip)).into_iter().collect()
    }

    /// Whether endpoints of this family belong to it. A Service that names no family takes both.
    pub(super) fn takes_family(&self, ip: IpAddr) -> bool {
        let families = &self.object.spec.ip_families;
        let wanted = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        families.is_empty() || families.iter().any(|family| **family == *wanted)
    }
}

impl Port {
    /// The field of the port: `spec.ports[0]`.
    pub(super) fn field(&self) -> String {
        format!("spec.ports[{}]", self.index)
    }

    /// The name, or the number where it has none: how a port is told from its siblings.
    pub(super) fn label(&self) -> Arc<str> {
        if self.name.is_empty() { self.number.to_string().into() } else { self.name.clone() }
    }
}

/// Every Service that is ours, in order of precedence.
pub(super) fn read<'a>(objects: &'a Objects, findings: &mut Findings) -> Vec<CheckedService<'a>> {
    let mut services: Vec<_> = objects
        .services
        .iter()
        .filter(|(_, stored)| stored.object.metadata.label(PROXY_NAME).is_none())
        .map(|(key, stored)| {
            let object = ObjectRef::new(Kind::Service, key.clone());
            let subject = Subject { object, origin: stored.origin.clone() };
            check(key, &stored.object, subject, findings)
        })
        .collect();
    services.sort_by_cached_key(|service| precedence(&service.object.metadata));
    services
}

/// The label that gives a Service to another proxy (KEP-2447).
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

fn check<'a>(
    key: &ObjectKey,
    object: &'a Service,
    subject: Subject,
    findings: &mut Findings,
) -> CheckedService<'a> {
    let exposure = exposure(object, &subject, findings);
    let ports = ports(object, exposure, &subject, findings);
    check_addresses(object, &subject, findings);
    check_not_carried(object, &subject, findings);
    CheckedService { key: key.clone(), subject, object, exposure, ports }
}

fn exposure(object: &Service, subject: &Subject, findings: &mut Findings) -> ServiceType {
    let spec = &object.spec;
    let kind = spec.kind.as_deref().unwrap_or("ClusterIP");
    let headless = spec.cluster_ip.as_deref() == Some("None");
    match kind {
        "ExternalName" => {
            if spec.external_name.as_deref().unwrap_or_default().is_empty() {
                let message = "an ExternalName Service without externalName leads nowhere";
                findings.add(subject).error(Code::BadValue, "spec.externalName", message);
            }
            ServiceType::ExternalName
        }
        "ClusterIP" if headless => ServiceType::Headless,
        "ClusterIP" => ServiceType::ClusterIp,
        "NodePort" => ServiceType::NodePort,
        "LoadBalancer" => ServiceType::LoadBalancer,
        other => {
            let message = format!("type {other:?} is not known; it is served as ClusterIP");
            let help = one_of(other, &TYPES);
            findings.add(subject).error_help(Code::BadValue, "spec.type", message, help);
            ServiceType::ClusterIp
        }
    }
}

const TYPES: [&str; 4] = ["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"];

/// `did you mean "X"?`, or what there is.
pub(super) fn one_of(given: &str, known: &[&str]) -> String {
    match similar::closest(given, known.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None => format!("one of {}", known.join(", ")),
    }
}

fn ports(
    object: &Service,
    exposure: ServiceType,
    subject: &Subject,
    findings: &mut Findings,
) -> Vec<Port> {
    let written = &object.spec.ports;
    if written.is_empty() && exposure >= ServiceType::ClusterIp {
        let message = "a Service needs at least one port";
        findings.add(subject).error(Code::BadValue, "spec.ports", message);
    }
    let mut ports: Vec<Port> = Vec::with_capacity(written.len());
    for (index, port) in written.iter().enumerate() {
        let Some(port) = check_port(index, port, written.len() > 1, subject, findings) else {
            continue;
        };
        let twin = ports.iter().find(|other| {
            (other.number, other.transport) == (port.number, port.transport)
                || (!port.name.is_empty() && other.name == port.name)
        });
        if let Some(twin) = twin {
            let message = format!("the same name or number as {}", twin.field());
            findings.add(subject).error(Code::BadValue, &port.field(), message);
            continue;
        }
        ports.push(port);
    }
    ports
}

fn check_port(
    index: usize,
    port: &ServicePort,
    needs_name: bool,
    subject: &Subject,
    findings: &mut Findings,
) -> Option<Port> {
    let field = format!("spec.ports[{index}]");
    let number = number(port.port, &format!("{field}.port"), subject, findings)?;
    let name: Arc<str> = port.name.clone().unwrap_or_default();
    if needs_name && name.is_empty() {
        let message = "every port needs a name when there are several";
        findings.add(subject).error(Code::BadValue, &field, message);
        return None;
    }
    let transport = transport(port.protocol.as_deref(), &field, subject, findings)?;
    let target = port.target_port.clone().unwrap_or_else(|| IntOrString::Int(i64::from(number)));
    if let IntOrString::Int(target) = target {
        self::number(target, &format!("{field}.targetPort"), subject, findings)?;
    }
    let node_port = match port.node_port {
        None | Some(0) => None,
        Some(wanted) => self::number(wanted, &format!("{field}.nodePort"), subject, findings),
    };
    let app_protocol = app_protocol(port.app_protocol.as_deref());
    Some(Port { index, name, number, transport, app_protocol, target, node_port })
}

fn number(number: i64, field: &str, subject: &Subject, findings: &mut Findings) -> Option<u16> {
    let checked = u16::try_from(number).ok().filter(|number| *number > 0);
    if checked.is_none() {
        let message = format!("{number} is not a port (1 to 65535)");
        findings.add(subject).error(Code::BadValue, field, message);
    }
    checked
}

fn transport(
    protocol: Option<&str>,
    field: &str,
    subject: &Subject,
    findings: &mut Findings,
) -> Option<Transport> {
    let field = format!("{field}.protocol");
    match protocol.unwrap_or("TCP") {
        "TCP" => Some(Transport::Tcp),
        "UDP" => Some(Transport::Udp),
        "SCTP" => {
            let message = "SCTP is not carried in userspace";
            findings.add(subject).warning(Code::NotCarried, &field, message);
            None
        }
        other => {
            let message = format!("protocol {other:?} is not known");
            let help = one_of(other, &["TCP", "UDP", "SCTP"]);
            findings.add(subject).error_help(Code::BadValue, &field, message, help);
            None
        }
    }
}

/// KEP-3726 and the IANA names; what is not known is HTTP/1.1.
fn app_protocol(name: Option<&str>) -> AppProtocol {
    match name {
        Some("kubernetes.io/h2c" | "h2c" | "grpc" | "http2") => AppProtocol::H2c,
        Some("https" | "kubernetes.io/wss") => AppProtocol::Https,
        _ => AppProtocol::Http,
    }
}

/// Addresses must be addresses; `None` and empty are the API's own words.
fn check_addresses(object: &Service, subject: &Subject, findings: &mut Findings) {
    let spec = &object.spec;
    let one = spec.cluster_ip.iter().map(|text| ("spec.clusterIP".to_owned(), text));
    let many =
        (0..).zip(&spec.cluster_ips).map(|(i, text)| (format!("spec.clusterIPs[{i}]"), text));
    let external =
        (0..).zip(&spec.external_ips).map(|(i, text)| (format!("spec.externalIPs[{i}]"), text));
    for (field, text) in one.chain(many).chain(external) {
        let is_word = text.is_empty() || **text == *"None";
        if !is_word && text.parse::<IpAddr>().is_err() {
            let message = format!("{text:?} is not an IP address");
            findings.add(subject).error(Code::BadValue, &field, message);
        }
    }
}

/// What a user may rely on and does not get yet must not pass in silence.
fn check_not_carried(object: &Service, subject: &Subject, findings: &mut Findings) {
    let spec = &object.spec;
    let local = |policy: &Option<Arc<str>>| policy.as_deref() == Some("Local");
    let rows = [
        (spec.session_affinity.as_deref() == Some("ClientIP"), "sessionAffinity", "ClientIP"),
        (local(&spec.external_traffic_policy), "externalTrafficPolicy", "Local"),
        (local(&spec.internal_traffic_policy), "internalTrafficPolicy", "Local"),
        (spec.traffic_distribution.is_some(), "trafficDistribution", "a preference"),
        (
            !spec.load_balancer_source_ranges.is_empty(),
            "loadBalancerSourceRanges",
            "a list of sources",
        ),
    ];
    for (_, field, what) in rows.into_iter().filter(|(is_set, _, _)| *is_set) {
        let message =
            format!("{field}: {what} is not honoured: every client reaches every endpoint");
        findings.add(subject).warning(Code::NotCarried, &format!("spec.{field}"), message);
    }
}
