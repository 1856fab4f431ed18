//! Selector → endpoints, as the EndpointSlice controller does it
//! (kubernetes: staging/src/k8s.io/endpointslice/utils.go).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::manifest::pod::{Container, Pod};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::Transport;
use crate::store::{Objects, Stored};

use super::{Member, MemberPort};
use crate::compile::address::{Family, parse_ip};
use crate::compile::report::{Findings, Subject};
use crate::compile::services::{CheckedPort, CheckedService, Target};
use crate::compile::this_node::ThisNode;
use crate::compile::topology::Hints;

/// Pods by namespace and one label, so that a selector looks at few of them.
#[derive(Debug)]
pub(super) struct PodIndex<'a> {
    objects: &'a Objects,
    node: &'a ThisNode,
    by_label: HashMap<Label<'a>, Vec<&'a Stored<Pod>>, RandomState>,
}

/// Namespace, name and value of a label.
type Label<'a> = (&'a str, &'a str, &'a str);

impl<'a> PodIndex<'a> {
    pub(super) fn new(objects: &'a Objects, node: &'a ThisNode, findings: &mut Findings) -> Self {
        let mut by_label = HashMap::<Label<'a>, Vec<&'a Stored<Pod>>, RandomState>::default();
        for (key, stored) in &objects.pods {
            check_addresses(key, stored, findings);
            for (name, value) in stored.object.metadata.labels.iter() {
                by_label.entry((&*key.namespace, &**name, &**value)).or_default().push(stored);
            }
        }
        Self { objects, node, by_label }
    }

    pub(super) fn members(
        &self,
        service: &CheckedService<'a>,
        findings: &mut Findings,
        members: &mut Vec<Member>,
    ) {
        if service.spec().selector.is_empty() {
            return;
        }
        let selected = self.select(service);
        let before = members.len();
        let ports = PortsOfPods::new(service);
        for pod in &selected {
            self.add(service, pod, ports.of(&pod.object), members);
        }
        let found = members.len() - before;
        self.report(service, &selected, found, before, findings);
        if found > 0 {
            ports.report(service, &selected, findings);
        }
    }

    /// The Pods with every label of the selector, by name. Looks only at those with the label
    /// that the fewest have.
    fn select(&self, service: &CheckedService<'a>) -> Vec<&'a Stored<Pod>> {
        let selector = &service.spec().selector;
        let with_label = |(name, value): (&'a Arc<str>, &'a Arc<str>)| {
            let label = (&*service.key.namespace, &**name, &**value);
            self.by_label.get(&label).map_or(&[][..], Vec::as_slice)
        };
        let fewest = selector.iter().map(with_label).min_by_key(|pods| pods.len());
        let has_all = |pod: &&&Stored<Pod>| {
            let labels = &pod.object.metadata.labels;
            selector.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        fewest.unwrap_or_default().iter().filter(has_all).copied().collect()
    }

    /// Whether the selector leads to any Pod, whether it is an endpoint or not.
    pub(super) fn has_selected(&self, service: &CheckedService<'a>) -> bool {
        !self.by_label.is_empty() && !self.select(service).is_empty()
    }

    fn add(
        &self,
        service: &CheckedService<'_>,
        stored: &Stored<Pod>,
        ports: Arc<[MemberPort]>,
        members: &mut Vec<Member>,
    ) {
        let pod = &stored.object;
        if matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return;
        }
        let serving = is_ready(pod);
        let terminating = pod.metadata.deletion_timestamp.is_some();
        let ready = service.spec().publish_not_ready_addresses || (serving && !terminating);
        let zone = self.zone_of(pod);
        // a directory describes this machine: a Pod that names no node runs here
        let node = pod.spec.node_name.as_ref().unwrap_or(&self.node.name);
        let distribution = service.spec().traffic_distribution.as_deref().filter(|_| ready);
        let hints = Hints::of_distribution(distribution, zone.as_ref(), node);
        for address in addresses(pod) {
            members.push(Member {
                address,
                ready,
                serving,
                terminating,
                hostname: hostname(pod, service.key),
                pod: Some(pod.metadata.name.clone()),
                node: pod.spec.node_name.clone(),
                zone: zone.clone(),
                is_here: *node == self.node.name,
                hints: hints.clone(),
                ports: ports.clone(),
                origin: stored.origin.clone(),
            });
        }
    }

    fn zone_of(&self, pod: &Pod) -> Option<Arc<str>> {
        let node = ObjectKey::cluster(pod.spec.node_name.clone()?);
        let labels = &self.objects.nodes.get(&node)?.object.metadata.labels;
        labels.get("topology.kubernetes.io/zone").cloned()
    }

    /// Says that a selector leads nowhere, unless slices (`others`) lead somewhere.
    fn report(
        &self,
        service: &CheckedService<'a>,
        selected: &[&Stored<Pod>],
        found: usize,
        others: usize,
        findings: &mut Findings,
    ) {
        if found + others > 0 {
            return;
        }
        let selector = &service.spec().selector;
        let labels: Vec<_> =
            selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let labels = labels.join(", ");
        let namespace = &service.key.namespace;
        if !selected.is_empty() {
            let message = format!("{labels} selects no Pod that has an address and still runs");
            let finding = service.subject().warning(Code::EmptySelection, "spec.selector", message);
            findings.push(finding.help("a Pod gets its address in status.podIP"));
            return;
        }
        let message = format!("{labels} selects no Pod in namespace {namespace}");
        let mut finding = service.subject().warning(Code::EmptySelection, "spec.selector", message);
        finding.help = self.meant(service, findings);
        findings.push(finding);
    }

    /// A label that some Pod has and that is close to one that no Pod has.
    fn meant(&self, service: &CheckedService<'a>, findings: &mut Findings) -> Option<String> {
        let namespace = &*service.key.namespace;
        let (name, value) =
            service.spec().selector.iter().find(|(name, value)| {
                !self.by_label.contains_key(&(namespace, &***name, &***value))
            })?;
        let from = ObjectKey::new(namespace, "");
        let pods = self.objects.pods.range(from..).map(|(key, stored)| (key, &stored.object));
        let values = pods
            .take_while(|(key, _)| *key.namespace == *namespace)
            .filter_map(|(_, pod)| pod.metadata.label(name));
        let help = findings.did_you_mean(value, values)?;
        Some(format!("{help} (the value of the label {name})"))
    }
}

/// The ports of the selected Pods. Computed once where every target is a number.
struct PortsOfPods<'a> {
    ports: &'a [CheckedPort],
    shared: Option<Arc<[MemberPort]>>,
}

impl<'a> PortsOfPods<'a> {
    fn new(service: &'a CheckedService<'_>) -> Self {
        let ports = &service.ports;
        let is_number = |port: &CheckedPort| matches!(port.target, Target::Number(_));
        let shared = ports.iter().all(is_number).then(|| resolve(ports, &Pod::default()));
        Self { ports, shared }
    }

    fn of(&self, pod: &Pod) -> Arc<[MemberPort]> {
        self.shared.clone().unwrap_or_else(|| resolve(self.ports, pod))
    }

    /// Says which named target port no selected Pod declares.
    fn report(
        &self,
        service: &CheckedService<'_>,
        selected: &[&Stored<Pod>],
        findings: &mut Findings,
    ) {
        for port in self.ports {
            let Target::Name(name) = &port.target else { continue };
            if selected.iter().any(|pod| find_port(&pod.object, name, port.transport).is_some()) {
                continue;
            }
            let message = format!("no selected Pod has a {} port named {name}", port.transport);
            let field = format!("{}.targetPort", port.field);
            let mut finding = service.subject().error(Code::MissingTargetPort, &field, message);
            let declared = selected.iter().take(1).flat_map(|pod| containers(&pod.object));
            let names = declared.flat_map(|it| &it.ports).filter_map(|it| it.name.as_deref());
            finding.help = findings.did_you_mean(name, names);
            findings.push(finding);
        }
    }
}

/// What the Service ports are on this Pod; those that it does not have are left out.
fn resolve(ports: &[CheckedPort], pod: &Pod) -> Arc<[MemberPort]> {
    let resolve = |port: &CheckedPort| {
        let number = match &port.target {
            Target::Number(number) => *number,
            Target::Name(name) => find_port(pod, name, port.transport)?,
        };
        Some(MemberPort { name: port.name.clone(), transport: port.transport, number })
    };
    ports.iter().filter_map(resolve).collect()
}

/// The first container port of that name and protocol.
fn find_port(pod: &Pod, name: &str, transport: Transport) -> Option<u16> {
    let protocol = match transport {
        Transport::Tcp => "TCP",
        Transport::Udp => "UDP",
    };
    containers(pod)
        .flat_map(|container| &container.ports)
        .find(|port| {
            port.name.as_deref() == Some(name)
                && port.protocol.as_deref().unwrap_or("TCP") == protocol
        })
        .and_then(|port| u16::try_from(port.container_port).ok())
        .filter(|number| *number > 0)
}

/// Containers, then sidecars (restartable init containers, KEP-753).
fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    let is_sidecar = |it: &&Container| it.restart_policy.as_deref() == Some("Always");
    pod.spec.containers.iter().chain(pod.spec.init_containers.iter().filter(is_sidecar))
}

fn is_ready(pod: &Pod) -> bool {
    let mut conditions = pod.status.conditions.iter();
    conditions.any(|it| &*it.kind == "Ready" && &*it.status == "True")
}

/// The addresses of a Pod, one a family.
pub(in crate::compile) fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let all = pod.status.pod_ips.iter().map(|it| &it.ip);
    let only = pod.status.pod_ip.iter().filter(|_| pod.status.pod_ips.is_empty());
    let mut seen = Vec::with_capacity(2);
    all.chain(only).filter_map(|text| parse_ip(text)).filter(move |ip| {
        let family = Family::of(*ip);
        let is_new = !seen.contains(&family);
        seen.push(family);
        is_new
    })
}

fn check_addresses(key: &ObjectKey, stored: &Stored<Pod>, findings: &mut Findings) {
    let status = &stored.object.status;
    let only = status.pod_ip.iter().map(|ip| ("status.podIP".to_owned(), ip));
    let all = status.pod_ips.iter().enumerate();
    let all = all.map(|(place, it)| (format!("status.podIPs[{place}].ip"), &it.ip));
    let is_wrong = |(_, ip): &(String, &Arc<str>)| !ip.is_empty() && parse_ip(ip).is_none();
    for (field, ip) in only.chain(all).filter(is_wrong) {
        let message = format!("{ip:?} is no IP address");
        let subject = Subject::new(Kind::Pod, key, stored);
        findings.push(subject.error(Code::BadValue, &field, message));
    }
}

/// Only the Service that the Pod names as its subdomain publishes its hostname.
fn hostname(pod: &Pod, service: &ObjectKey) -> Option<Arc<str>> {
    let hostname = pod.spec.hostname.as_ref().filter(|hostname| !hostname.is_empty())?;
    (pod.spec.subdomain.as_ref() == Some(&service.name)).then(|| hostname.clone())
}
