//! What of a Service has addresses and ports.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::snapshot::Transport;
use crate::snapshot::zone::{ZonePort, ZoneService};

/// A name with addresses and ports: the Service itself, or one endpoint below it.
#[derive(Clone, Copy)]
pub(super) struct Target<'z> {
    pub(super) hostname: Option<&'z str>,
    pub(super) addresses: &'z [IpAddr],
    pub(super) ports: &'z [ZonePort],
}

pub(super) fn targets(service: &ZoneService) -> Vec<Target<'_>> {
    match service {
        ZoneService::ClusterIp { addresses, ports } => {
            vec![Target { hostname: None, addresses, ports }]
        }
        ZoneService::Headless { endpoints } => {
            let each = endpoints.iter().map(|endpoint| Target {
                hostname: Some(&endpoint.hostname),
                addresses: std::slice::from_ref(&endpoint.address),
                ports: &endpoint.ports,
            });
            each.collect()
        }
        ZoneService::External { .. } | ZoneService::Empty { .. } => Vec::new(),
    }
}

/// Names and numbers of the ports that are wanted, each pair once.
pub(super) fn ports<'z>(
    targets: &[Target<'z>],
    is_wanted: impl Fn(&ZonePort) -> bool,
) -> BTreeSet<(Option<&'z str>, u16)> {
    let of_target = |target: &Target<'z>| {
        let wanted = target.ports.iter().filter(|port| is_wanted(port));
        let hostname = target.hostname;
        wanted.map(|port| (hostname, port.port)).collect::<Vec<_>>()
    };
    targets.iter().flat_map(of_target).collect()
}

/// Labels are taken with and without the underscore, as by CoreDNS.
pub(super) fn is_port(offered: &ZonePort, port: &str, protocol: &str) -> bool {
    let bare = |label| str::strip_prefix(label, '_').unwrap_or(label);
    *offered.name == *bare(port) && protocol_of(offered) == bare(protocol)
}

fn protocol_of(port: &ZonePort) -> &'static str {
    match port.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

/// Whether `_tcp` or `_udp` has names below it, and so exists itself (RFC 8020).
pub(super) fn has_protocol(targets: &[Target<'_>], label: &str) -> bool {
    let Some(protocol) = label.strip_prefix('_') else { return false };
    let mut ports = targets.iter().flat_map(|target| target.ports);
    ports.any(|port| protocol_of(port) == protocol)
}
