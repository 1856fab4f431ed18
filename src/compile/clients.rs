//! Pods → who asks for names, by address.

use std::sync::Arc;

use crate::manifest::ObjectKey;
use crate::manifest::endpoints::{EndpointSlice, ObjectReference};
use crate::manifest::pod::Pod;
use crate::snapshot::zone::{Client, Clients, Mention};
use crate::store::Objects;

use super::address::parse_ip;
use super::endpoints;
use super::settings::Settings;
use super::zone::lower;

/// Pods say so themselves; endpoints say it of those that are not here as objects. Many ask from the
/// address of a node: everything in its host network.
pub(super) fn build(objects: &Objects, settings: &Settings) -> Clients {
    let pods = objects.pods.iter().flat_map(|(key, stored)| of_pod(key, &stored.object));
    let of_nodes = objects.nodes.values().flat_map(|stored| &stored.object.status.addresses);
    let of_nodes = of_nodes.filter_map(|address| parse_ip(&address.address));
    let of_nodes = of_nodes.chain(settings.node_ips.iter().copied());
    let of_nodes = of_nodes.map(|ip| Mention::new(ip, None));
    let slices = objects.endpoint_slices.iter();
    let slices = slices.flat_map(|(key, stored)| of_slice(key, &stored.object));
    pods.chain(slices).chain(of_endpoints(objects)).chain(of_nodes).collect()
}

/// A Pod that has ended has given its addresses back.
fn of_pod(key: &ObjectKey, pod: &Pod) -> impl Iterator<Item = Mention> {
    let has_ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let has_own_domains =
        pod.spec.dns_config.as_ref().is_some_and(|config| !config.searches.is_empty());
    let client = Client { namespace: lower(&key.namespace), has_own_domains };
    let client = (!pod.spec.host_network).then(|| Arc::new(client));
    let addresses = endpoints::addresses(pod).filter(move |_| !has_ended);
    addresses.map(move |ip| Mention::new(ip, client.clone()))
}

/// What a slice says.
pub(super) fn of_slice(key: &ObjectKey, slice: &EndpointSlice) -> impl Iterator<Item = Mention> {
    let targets = Targets::new(key);
    slice.endpoints.iter().filter_map(move |endpoint| {
        let client = targets.client(endpoint.target_ref.as_deref())?;
        Some(Mention::new(parse_ip(endpoint.address.as_ref()?)?, Some(client)))
    })
}

fn of_endpoints(objects: &Objects) -> impl Iterator<Item = Mention> {
    objects.endpoints.iter().flat_map(|(key, stored)| {
        let subsets = stored.object.subsets.iter();
        let addresses = subsets.flat_map(|it| it.addresses.iter().chain(&it.not_ready_addresses));
        let targets = Targets::new(key);
        addresses.filter_map(move |address| {
            let client = targets.client(address.target_ref.as_deref())?;
            Some(Mention::new(parse_ip(&address.ip)?, Some(client)))
        })
    })
}

/// The Pods behind endpoints: in the namespace of their Service, unless they say another.
struct Targets {
    of_service: Arc<Client>,
}

impl Targets {
    fn new(key: &ObjectKey) -> Self {
        let namespace = lower(&key.namespace);
        Self { of_service: Arc::new(Client { namespace, has_own_domains: false }) }
    }

    fn client(&self, target: Option<&ObjectReference>) -> Option<Arc<Client>> {
        let target = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
        let namespace = target.namespace.as_ref().map(lower);
        match namespace.filter(|namespace| *namespace != self.of_service.namespace) {
            None => Some(self.of_service.clone()),
            Some(namespace) => Some(Arc::new(Client { namespace, has_own_domains: false })),
        }
    }
}
