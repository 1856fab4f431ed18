//! EndpointSlices → endpoints, and Endpoints as if they were slices.

use std::net::IpAddr;
use std::sync::Arc;

use crate::manifest::endpoints::{
    EndpointAddress, EndpointPort, EndpointSlice, EndpointSubset, Endpoints, ObjectReference,
    SliceEndpoint,
};
use crate::manifest::{Code, Kind, ObjectKey, Origin};
use crate::snapshot::Transport;
use crate::store::Stored;

use super::{Member, MemberPort};
use crate::compile::address::{Family, parse_ip};
use crate::compile::report::{Findings, Subject};
use crate::compile::services::{CheckedService, Exposed};
use crate::compile::this_node::ThisNode;
use crate::compile::topology::Hints;

pub(super) fn members(
    key: &ObjectKey,
    stored: &Stored<EndpointSlice>,
    service: &CheckedService<'_>,
    node: &ThisNode,
    findings: &mut Findings,
    members: &mut Vec<Member>,
) {
    let slice = &*stored.object;
    let subject = Subject::new(Kind::EndpointSlice, key, stored);
    let kinds = ["IPv4", "IPv6", "FQDN"];
    subject.one_of(findings, "addressType", &slice.address_type, &kinds);
    // Names (FQDN) are no endpoints to any proxy.
    let Some(family) = Family::parse(&slice.address_type) else { return };
    let is_headless = slice.metadata.label("service.kubernetes.io/headless").is_some();
    if is_headless && service.exposed != Exposed::Headless {
        return;
    }
    let ports = ports(&slice.ports, "ports", subject, findings);
    for (place, endpoint) in slice.endpoints.iter().enumerate() {
        // Further addresses have no meaning.
        let Some(written) = endpoint.address.as_ref() else { continue };
        let address = parse_ip(written).filter(|ip| Family::of(*ip) == family);
        let Some(address) = address else {
            let field = format!("endpoints[{place}].addresses[0]");
            let message = format!("{written:?} is no {} address", slice.address_type);
            findings.push(subject.error(Code::BadValue, &field, message));
            continue;
        };
        members.push(member(address, endpoint, ports.clone(), node, &stored.origin));
    }
}

/// What is absent is ready, serving and not terminating (KEP-1672).
fn member(
    address: IpAddr,
    endpoint: &SliceEndpoint,
    ports: Arc<[MemberPort]>,
    node: &ThisNode,
    origin: &Origin,
) -> Member {
    let conditions = endpoint.conditions;
    Member {
        address,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        hostname: endpoint.hostname.clone().filter(|hostname| !hostname.is_empty()),
        pod: pod_name(endpoint.target_ref.as_deref()),
        node: endpoint.node_name.clone(),
        zone: endpoint
            .zone
            .clone()
            .or_else(|| endpoint.deprecated_topology.get("topology.kubernetes.io/zone").cloned()),
        is_here: endpoint.node_name.as_ref() == Some(&node.name),
        hints: endpoint.hints.as_deref().map(Hints::read),
        ports,
        origin: origin.clone(),
    }
}

/// Mirrors Endpoints, unless they ask not to be.
pub(super) fn mirrored(
    stored: &Stored<Endpoints>,
    service: &CheckedService<'_>,
    node: &ThisNode,
    findings: &mut Findings,
    members: &mut Vec<Member>,
) {
    let endpoints = &*stored.object;
    if endpoints.metadata.label("endpointslice.kubernetes.io/skip-mirror") == Some("true") {
        return;
    }
    let subject = Subject::new(Kind::Endpoints, service.key, stored);
    for (place, subset) in endpoints.subsets.iter().enumerate() {
        let EndpointSubset { addresses, not_ready_addresses, ports: written } = subset;
        let field = format!("subsets[{place}]");
        let ports = ports(written, &format!("{field}.ports"), subject, findings);
        for (list, addresses, ready) in
            [("addresses", addresses, true), ("notReadyAddresses", not_ready_addresses, false)]
        {
            for (place, written) in addresses.iter().enumerate() {
                let Some(address) = parse_ip(&written.ip) else {
                    let field = format!("{field}.{list}[{place}].ip");
                    let message = format!("{:?} is no IP address", written.ip);
                    findings.push(subject.error(Code::BadValue, &field, message));
                    continue;
                };
                let member =
                    mirrored_member(address, written, ready, ports.clone(), node, &stored.origin);
                members.push(member);
            }
        }
    }
}

fn mirrored_member(
    address: IpAddr,
    written: &EndpointAddress,
    ready: bool,
    ports: Arc<[MemberPort]>,
    node: &ThisNode,
    origin: &Origin,
) -> Member {
    Member {
        address,
        ready,
        serving: ready,
        terminating: false,
        hostname: written.hostname.clone().filter(|hostname| !hostname.is_empty()),
        pod: pod_name(written.target_ref.as_deref()),
        node: written.node_name.clone(),
        zone: None,
        is_here: written.node_name.as_ref() == Some(&node.name),
        hints: None,
        ports,
        origin: origin.clone(),
    }
}

fn pod_name(target: Option<&ObjectReference>) -> Option<Arc<str>> {
    target.filter(|target| target.kind.as_deref() == Some("Pod"))?.name.clone()
}

/// The ports that userspace carries; one without a number means nothing.
fn ports(
    written: &[EndpointPort],
    field: &str,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Arc<[MemberPort]> {
    let mut port = |(place, port): (usize, &EndpointPort)| {
        let written = port.port.filter(|number| *number != 0)?;
        let Some(number) = u16::try_from(written).ok() else {
            let message = format!("{written} is no port: 1 to 65535");
            findings.push(subject.error(
                Code::BadValue,
                &format!("{field}[{place}].port"),
                message,
            ));
            return None;
        };
        let transport = match port.protocol.as_deref().unwrap_or("TCP") {
            "TCP" => Transport::Tcp,
            "UDP" => Transport::Udp,
            _ => return None,
        };
        Some(MemberPort { name: port.name.clone().unwrap_or_default(), transport, number })
    };
    written.iter().enumerate().filter_map(&mut port).collect()
}
