//! Who is where: pods, this node, the virtual addresses of Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// What this node knows of the addresses around it; made by `compile`, shared by every
/// [`Policy`](super::Policy).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Where pods are: the local-traffic detector of kube-proxy (`ClusterCIDR`). A family without
    /// a CIDR has no detector.
    pub pods: Vec<IpNet>,
    /// Addresses of this node, 127.0.0.1 and ::1 among them. Not all of 127.0.0.0/8: there, other
    /// addresses may stand for other machines.
    pub node: BTreeSet<IpAddr>,
    /// Where Services get their virtual addresses.
    pub service_cidrs: Vec<IpNet>,
    /// The virtual addresses that are in none of them.
    pub other_cluster_ips: BTreeSet<IpAddr>,
    /// Whether whatever goes to a virtual address is masqueraded (`--masquerade-all` of
    /// kube-proxy).
    pub masquerade_all: bool,
    /// Whether pods see the address of the client where kube-proxy would not masquerade it
    /// (`--keep-client-address`), as far as what came goes on as it came.
    pub keep_client_address: bool,
    /// Proxies in front that are believed what they say of their clients (`--trusted-proxies`).
    pub trusted_proxies: Vec<IpNet>,
    /// Ports of Ingress and Gateways by which they speak the PROXY protocol (`--proxy-protocol`).
    pub proxy_protocol_ports: BTreeSet<u16>,
    /// Whether this node is about to be deleted, so that load balancers should send no more to it
    /// (KEP-3836).
    pub is_leaving: bool,
}

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A pod.
    Pod,
    /// This node itself.
    Node,
    /// Anywhere else; a pod too, where it is not known which addresses pods have.
    Outside,
}

impl Network {
    /// Whether somebody is believed what it says of others.
    pub fn is_trusted_proxy(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }

    /// Where a client is that came to the address `at`.
    ///
    /// One that has the address that it came to is this node: for connections to an address of
    /// its own the kernel takes that very address as the source, and from the wire it lets none of
    /// them in. So the node is known by any of its addresses, those of load balancers included
    /// (kube-proxy: `fib saddr type local`).
    pub fn place(&self, client: IpAddr, at: IpAddr) -> Place {
        let (client, at) = (client.to_canonical(), at.to_canonical());
        if self.pods.iter().any(|net| net.contains(&client)) {
            Place::Pod
        } else if client == at || self.node.contains(&client) {
            Place::Node
        } else {
            Place::Outside
        }
    }

    /// Whether pods can be told from others, in the family of an address.
    pub fn detects_pods(&self, family_of: IpAddr) -> bool {
        self.pods.iter().any(|net| net.addr().is_ipv4() == family_of.to_canonical().is_ipv4())
    }

    /// Whether an address is for Services only, given to one or not.
    pub fn is_virtual(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let is_of_service = self.service_cidrs.iter().any(|net| net.contains(&ip))
            || self.other_cluster_ips.contains(&ip);
        is_of_service && !self.node.contains(&ip)
    }

    /// Whether this node is known to have an address.
    pub fn is_of_node(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.node.contains(&ip.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn network() -> Network {
        Network {
            pods: vec!["10.1.0.0/16".parse().expect("a CIDR")],
            node: ["127.0.0.1", "192.168.0.1", "10.96.0.1"].map(ip).into(),
            service_cidrs: vec!["10.96.0.0/24".parse().expect("a CIDR")],
            other_cluster_ips: [ip("10.97.0.9")].into(),
            masquerade_all: false,
            keep_client_address: false,
            is_leaving: false,
            ..Network::default()
        }
    }

    #[test]
    fn a_client_is_a_pod_the_node_or_outside() {
        for (client, at, expected) in [
            ("10.1.0.9", "10.96.0.20", Place::Pod),
            ("10.1.0.9", "10.1.0.9", Place::Pod),
            ("::ffff:10.1.0.9", "10.96.0.20", Place::Pod),
            ("192.168.0.1", "10.96.0.20", Place::Node),
            ("127.0.0.1", "127.0.0.1", Place::Node),
            ("198.51.100.7", "198.51.100.7", Place::Node),
            ("::ffff:198.51.100.7", "198.51.100.7", Place::Node),
            ("127.0.0.9", "127.5.0.1", Place::Outside),
            ("203.0.113.9", "192.168.0.1", Place::Outside),
        ] {
            assert_eq!(network().place(ip(client), ip(at)), expected, "{client} at {at}");
        }
    }

    #[test]
    fn a_family_without_pods_has_no_detector() {
        assert!(network().detects_pods(ip("192.0.2.1")));
        assert!(!network().detects_pods(ip("2001:db8::1")));
        assert!(!Network::default().detects_pods(ip("192.0.2.1")));
    }

    #[test]
    fn virtual_addresses_are_those_of_services_unless_the_node_has_them() {
        for (address, expected) in [
            ("10.96.0.20", true),
            ("10.97.0.9", true),
            ("10.96.0.1", false),
            ("10.97.0.8", false),
            ("192.168.0.1", false),
        ] {
            assert_eq!(network().is_virtual(ip(address)), expected, "{address}");
        }
    }
}
