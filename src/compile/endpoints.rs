//! The endpoints of every Service: from Pods by selector, from EndpointSlices, from Endpoints.
//!
//! Source: Kubernetes `staging/src/k8s.io/endpointslice/utils.go` for Pods, and
//! `pkg/proxy/endpointslicecache.go` for slices. Where there is no controller to make slices of
//! Pods, both count: the endpoints of a Service are the union of those of its Pods and those of
//! the slices that name it. Endpoints count when no slice names the Service.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::findings::{Findings, Subject};
use super::pods::{self, PodsByLabel};
use super::services::{CheckedService, Port, ServiceType};
use crate::manifest::endpoints::{
    EndpointAddress, EndpointPort, EndpointSlice, EndpointSubset, Endpoints, SliceEndpoint,
};
use crate::manifest::meta::IntOrString;
use crate::manifest::pod::Pod;
use crate::manifest::{Code, Kind, ObjectKey, ObjectRef, similar};
use crate::snapshot::Transport;
use crate::store::Objects;

/// One endpoint of a Service, on all its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceEndpoint {
    /// Its address.
    pub(super) ip: IpAddr,
    /// Its name in DNS, if it has one of its own.
    pub(super) hostname: Option<Arc<str>>,
    /// May receive new work.
    pub(super) ready: bool,
    /// Answers.
    pub(super) serving: bool,
    /// Is being deleted.
    pub(super) terminating: bool,
    /// The Pod.
    pub(super) pod: Option<Arc<str>>,
    /// The node.
    pub(super) node: Option<Arc<str>>,
    /// The zone.
    pub(super) zone: Option<Arc<str>>,
    /// Its number for each port of the Service, by place in [`CheckedService::ports`]; `None`
    /// where it does not have the port.
    pub(super) ports: Vec<Option<u16>>,
}

/// The endpoints of every Service, in the order of the Services.
pub(super) fn resolve(
    objects: &Objects,
    services: &[CheckedService<'_>],
    findings: &mut Findings,
) -> Vec<Vec<ServiceEndpoint>> {
    let pods = PodsByLabel::new(objects);
    let slices = slices_by_service(objects);
    find_orphans(objects, &slices, findings);
    services
        .iter()
        .map(|service| {
            let mut endpoints = from_pods(objects, service, &pods, findings);
            match slices.get(&service.key) {
                Some(slices) => {
                    endpoints.extend(slices.iter().flat_map(|slice| from_slice(service, slice)));
                }
                None => endpoints.extend(from_endpoints(objects, service)),
            }
            endpoints.retain(|endpoint| service.takes_family(endpoint.ip));
            endpoints
        })
        .collect()
}

type SlicesByService<'a> = BTreeMap<ObjectKey, Vec<&'a EndpointSlice>>;

/// Slices are joined to their Service by this label only, never by owner or name.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

fn slices_by_service(objects: &Objects) -> SlicesByService<'_> {
    let mut by_service = SlicesByService::new();
    for (key, stored) in &objects.endpoint_slices {
        if let Some(service) = stored.object.metadata.label(SERVICE_NAME) {
            let service = ObjectKey::new(key.namespace.clone(), service);
            by_service.entry(service).or_default().push(&stored.object);
        }
    }
    by_service
}

fn find_orphans(objects: &Objects, slices: &SlicesByService<'_>, findings: &mut Findings) {
    let services = || objects.services.keys().map(|key| &*key.name);
    let help =
        |name: &str| similar::closest(name, services()).map(|it| format!("did you mean {it:?}?"));
    for (key, stored) in &objects.endpoint_slices {
        let object = ObjectRef::new(Kind::EndpointSlice, key.clone());
        let subject = Subject { object, origin: stored.origin.clone() };
        let Some(name) = stored.object.metadata.label(SERVICE_NAME) else {
            let message = "this EndpointSlice belongs to no Service";
            let help = format!("set the label {SERVICE_NAME} to the name of the Service");
            let adding = findings.add(&subject);
            adding.warning_help(Code::OrphanEndpoints, "metadata.labels", message, help);
            continue;
        };
        let service = ObjectKey::new(key.namespace.clone(), name);
        if slices.contains_key(&service) && objects.services.contains_key(&service) {
            continue;
        }
        let message = format!("Service {name:?} does not exist in namespace {}", key.namespace);
        let severity = crate::manifest::Severity::Warning;
        let field = "metadata.labels";
        findings.add(&subject).push(severity, Code::OrphanEndpoints, field, message, help(name));
    }
    for (key, stored) in &objects.endpoints {
        if !objects.services.contains_key(key) {
            let object = ObjectRef::new(Kind::Endpoints, key.clone());
            let subject = Subject { object, origin: stored.origin.clone() };
            let message = format!("there is no Service {key}");
            findings.add(&subject).warning(Code::OrphanEndpoints, "metadata.name", message);
        }
    }
}

fn from_pods(
    objects: &Objects,
    service: &CheckedService<'_>,
    pods: &PodsByLabel<'_>,
    findings: &mut Findings,
) -> Vec<ServiceEndpoint> {
    let selector = &service.object.spec.selector;
    if selector.is_empty() || service.exposure == ServiceType::ExternalName {
        return Vec::new();
    }
    let selected = pods.select(&service.key.namespace, selector);
    if selected.is_empty() {
        let labels: Vec<_> =
            selector.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let message = format!(
            "no running Pod in namespace {} has the labels {}",
            service.key.namespace,
            labels.join(", ")
        );
        findings.add(&service.subject).warning(Code::EmptySelection, "spec.selector", message);
    }
    find_missing_ports(service, &selected, findings);
    selected.iter().flat_map(|pod| from_pod(objects, service, pod)).collect()
}

fn find_missing_ports(service: &CheckedService<'_>, selected: &[&Pod], findings: &mut Findings) {
    for port in &service.ports {
        let IntOrString::String(name) = &port.target else { continue };
        let is_found = |pod: &&Pod| pods::find_port(pod, &port.target, port.transport).is_some();
        if selected.is_empty() || selected.iter().any(is_found) {
            continue;
        }
        let declared =
            selected.iter().flat_map(|pod| &pod.spec.containers).flat_map(|it| &it.ports);
        let names: Vec<&str> = declared.filter_map(|port| port.name.as_deref()).collect();
        let message = format!("no selected Pod has a {} port named {name:?}", port.transport);
        let field = format!("{}.targetPort", port.field());
        let help = match similar::closest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => "name the port in the Pod's containers, or give its number".to_owned(),
        };
        let adding = findings.add(&service.subject);
        adding.error_help(Code::MissingTargetPort, &field, message, help);
    }
}

fn from_pod(objects: &Objects, service: &CheckedService<'_>, pod: &Pod) -> Vec<ServiceEndpoint> {
    let (serving, terminating) = (pods::is_serving(pod), pods::is_terminating(pod));
    let published = service.object.spec.publish_not_ready_addresses;
    let number = |port: &Port| pods::find_port(pod, &port.target, port.transport);
    let ports: Vec<_> = service.ports.iter().map(number).collect();
    let endpoint = |ip| ServiceEndpoint {
        ip,
        hostname: pods::hostname(pod, &service.key),
        ready: published || (serving && !terminating),
        serving,
        terminating,
        pod: Some(pod.metadata.name.clone()),
        node: pod.spec.node_name.clone(),
        zone: zone_of(objects, pod.spec.node_name.as_ref()),
        ports: ports.clone(),
    };
    pods::addresses(pod).map(endpoint).collect()
}

fn zone_of(objects: &Objects, node: Option<&Arc<str>>) -> Option<Arc<str>> {
    let node = objects.nodes.get(&ObjectKey::cluster(node?.clone()))?;
    node.object.metadata.labels.get("topology.kubernetes.io/zone").cloned()
}

fn from_slice<'a>(
    service: &'a CheckedService<'_>,
    slice: &'a EndpointSlice,
) -> impl Iterator<Item = ServiceEndpoint> + 'a {
    let ports: Vec<_> = service.ports.iter().map(|port| join(port, &slice.ports)).collect();
    // FQDN slices parse as no address and so give nothing, as with kube-proxy
    slice.endpoints.iter().filter_map(move |endpoint| of_slice(endpoint, &ports))
}

fn of_slice(endpoint: &SliceEndpoint, ports: &[Option<u16>]) -> Option<ServiceEndpoint> {
    let conditions = endpoint.conditions;
    let ready = conditions.ready.unwrap_or(true);
    Some(ServiceEndpoint {
        // only the first address has a meaning
        ip: endpoint.addresses.first()?.parse().ok()?,
        hostname: endpoint.hostname.clone(),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        pod: endpoint.target_ref.as_ref().and_then(|target| target.name.clone()),
        node: endpoint.node_name.clone(),
        zone: endpoint.zone.clone(),
        ports: ports.to_vec(),
    })
}

/// The number of a Service port in a slice: joined by name, where no name equals the empty one.
fn join(port: &Port, slice: &[EndpointPort]) -> Option<u16> {
    slice
        .iter()
        .filter(|candidate| candidate.name.as_deref().unwrap_or_default() == &*port.name)
        .find(|candidate| pods::protocol_is(candidate.protocol.as_deref(), port.transport))
        .and_then(|candidate| u16::try_from(candidate.port?).ok())
        .filter(|number| *number > 0)
}

fn from_endpoints(objects: &Objects, service: &CheckedService<'_>) -> Vec<ServiceEndpoint> {
    let Some(stored) = objects.endpoints.get(&service.key) else { return Vec::new() };
    let Endpoints { subsets, .. } = &*stored.object;
    subsets.iter().flat_map(|subset| of_subset(service, subset)).collect()
}

fn of_subset(service: &CheckedService<'_>, subset: &EndpointSubset) -> Vec<ServiceEndpoint> {
    let ports: Vec<_> = service.ports.iter().map(|port| join(port, &subset.ports)).collect();
    let of = |address: &EndpointAddress, ready: bool| {
        Some(ServiceEndpoint {
            ip: address.ip.parse().ok()?,
            hostname: address.hostname.clone(),
            ready,
            serving: ready,
            terminating: false,
            pod: address.target_ref.as_ref().and_then(|target| target.name.clone()),
            node: address.node_name.clone(),
            zone: None,
            ports: ports.clone(),
        })
    };
    let ready = subset.addresses.iter().filter_map(|address| of(address, true));
    let not_ready = subset.not_ready_addresses.iter().filter_map(|address| of(address, false));
    ready.chain(not_ready).collect()
}

/// Whether a port is carried by TCP: what HTTP can be sent to.
pub(super) fn is_tcp(port: &Port) -> bool {
    port.transport == Transport::Tcp
}
