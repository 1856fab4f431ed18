//! Pods by label, and what a Pod gives as an endpoint.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::manifest::ObjectKey;
use crate::manifest::meta::IntOrString;
use crate::manifest::pod::{Container, Pod};
use crate::snapshot::Transport;
use crate::store::{Objects, Stored};

/// Pods by namespace and one label, so that a selector looks at few of them: the cost of all
/// Services is that of what they select, not Services × Pods.
pub(super) struct PodsByLabel<'a> {
    pods: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Pod>, RandomState>,
}

impl<'a> PodsByLabel<'a> {
    /// Indexes every Pod that can be an endpoint: it has an address and has not ended.
    pub(super) fn new(objects: &'a Objects) -> Self {
        let mut pods: HashMap<_, Vec<&Pod>, RandomState> = HashMap::default();
        for (key, Stored { object, .. }) in &objects.pods {
            if has_ended(object) || addresses(object).next().is_none() {
                continue;
            }
            for (label, value) in &object.metadata.labels {
                pods.entry((&*key.namespace, &**label, &**value)).or_default().push(object);
            }
        }
        Self { pods }
    }

    /// The Pods of the namespace that carry every label of the selector. An empty selector selects
    /// nothing.
    pub(super) fn select(
        &self,
        namespace: &str,
        selector: &'a BTreeMap<Arc<str>, Arc<str>>,
    ) -> Vec<&'a Pod> {
        let with_label = |(label, value): (&'a Arc<str>, &'a Arc<str>)| {
            self.pods.get(&(namespace, &**label, &**value)).map(Vec::as_slice).unwrap_or_default()
        };
        let fewest = selector.iter().map(with_label).min_by_key(|pods| pods.len());
        fewest.unwrap_or_default().iter().copied().filter(|pod| carries(pod, selector)).collect()
    }
}

fn carries(pod: &Pod, selector: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
    selector.iter().all(|(label, value)| pod.metadata.labels.get(label) == Some(value))
}

fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"))
}

/// The addresses of a Pod: `podIPs`, or `podIP` alone.
pub(super) fn addresses(pod: &Pod) -> impl Iterator<Item = IpAddr> {
    let many = pod.status.pod_ips.iter().map(|entry| &entry.ip);
    let one = pod.status.pod_ip.iter().filter(|_| pod.status.pod_ips.is_empty());
    many.chain(one).filter_map(|text| text.parse().ok())
}

/// Whether its containers answer: the condition `Ready`.
pub(super) fn is_serving(pod: &Pod) -> bool {
    let ready = |condition: &&crate::manifest::pod::PodCondition| *condition.kind == *"Ready";
    pod.status.conditions.iter().find(ready).is_some_and(|condition| *condition.status == *"True")
}

/// Whether it is being deleted.
pub(super) fn is_terminating(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The name that it has in DNS below a headless Service: its hostname, if the Service is its
/// subdomain.
pub(super) fn hostname(pod: &Pod, service: &ObjectKey) -> Option<Arc<str>> {
    let is_subdomain = pod.spec.subdomain.as_ref() == Some(&service.name);
    pod.spec.hostname.clone().filter(|_| is_subdomain)
}

/// The number of a target port on this Pod: a number is itself, a name is the first container port
/// of that name and protocol; then those of sidecars (init containers that always restart).
/// Kubernetes `pkg/api/v1/pod/util.go`, `FindPort`.
pub(super) fn find_port(pod: &Pod, target: &IntOrString, transport: Transport) -> Option<u16> {
    let name = match target {
        IntOrString::Int(number) => return u16::try_from(*number).ok(),
        IntOrString::String(name) => name,
    };
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = pod.spec.init_containers.iter().filter(is_sidecar);
    let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|container| &container.ports);
    ports
        .filter(|port| port.name.as_ref() == Some(name))
        .find(|port| protocol_is(port.protocol.as_deref(), transport))
        .and_then(|port| u16::try_from(port.container_port).ok())
}

/// Whether a protocol as written, `TCP` when absent, is this transport.
pub(super) fn protocol_is(protocol: Option<&str>, transport: Transport) -> bool {
    match transport {
        Transport::Tcp => matches!(protocol, None | Some("TCP")),
        Transport::Udp => protocol == Some("UDP"),
    }
}
