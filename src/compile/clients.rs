//! Pods → who asks for names, by address.

use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::ObjectKey;
use crate::manifest::endpoints::ObjectReference;
use crate::manifest::pod::Pod;
use crate::snapshot::zone::{Client, Clients};
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
    let of_nodes = of_nodes.chain(settings.node_ips.iter().copied()).map(|ip| (ip, None));
    pods.chain(of_slices(objects)).chain(of_endpoints(objects)).chain(of_nodes).collect()
}

/// A Pod that has ended has given its addresses back.
fn of_pod(key: &ObjectKey, pod: &Pod) -> impl Iterator<Item = (IpAddr, Option<Client>)> {
    let has_ended = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let has_own_domains =
        pod.spec.dns_config.as_ref().is_some_and(|config| !config.searches.is_empty());
    let client = Client { namespace: lower(&key.namespace), has_own_domains };
    let client = (!pod.spec.host_network).then_some(client);
    let addresses = endpoints::addresses(pod).filter(move |_| !has_ended);
    addresses.map(move |ip| (ip, client.clone()))
}

fn of_slices(objects: &Objects) -> impl Iterator<Item = (IpAddr, Option<Client>)> {
    objects.endpoint_slices.iter().flat_map(|(key, stored)| {
        stored.object.endpoints.iter().filter_map(|endpoint| {
            let client = of_target(key, endpoint.target_ref.as_ref())?;
            Some((parse_ip(endpoint.addresses.first()?)?, Some(client)))
        })
    })
}

fn of_endpoints(objects: &Objects) -> impl Iterator<Item = (IpAddr, Option<Client>)> {
    objects.endpoints.iter().flat_map(|(key, stored)| {
        let subsets = stored.object.subsets.iter();
        let addresses = subsets.flat_map(|it| it.addresses.iter().chain(&it.not_ready_addresses));
        addresses.filter_map(|address| {
            let client = of_target(key, address.target_ref.as_ref())?;
            Some((parse_ip(&address.ip)?, Some(client)))
        })
    })
}

/// The Pod behind an endpoint, which is in the namespace of its Service unless it says another.
fn of_target(key: &ObjectKey, target: Option<&ObjectReference>) -> Option<Client> {
    let target = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
    let namespace: &Arc<str> = target.namespace.as_ref().unwrap_or(&key.namespace);
    Some(Client { namespace: lower(namespace), has_own_domains: false })
}
