//! The options of this process that decide what objects mean; made by `config`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::HostsFiles;
use crate::manifest::ObjectKey;
use crate::manifest::core::Secret;
use crate::snapshot::{ContentCodings, Forward, Upstream};
use crate::store::Stored;

/// What `compile` must know besides the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `cluster.local`, lower-case, no trailing dot.
    pub cluster_domain: Arc<str>,
    /// Virtual addresses are allocated from here, at most one CIDR a family.
    pub service_cidrs: Vec<IpNet>,
    /// Addresses of pods. A family without one has no detector of local traffic, as kube-proxy
    /// calls it: there, pods are told from nobody.
    pub pod_cidrs: Vec<IpNet>,
    /// Name of this node.
    pub node_name: Arc<str>,
    /// Addresses of this node: what a LoadBalancer without pool gets.
    pub node_ips: Vec<IpAddr>,
    /// Further addresses of this node: those of its interfaces, as far as they are known.
    pub host_ips: Vec<IpAddr>,
    /// Zone of this node.
    pub zone: Option<Arc<str>>,
    /// Port of plain HTTP for Ingress; `None` = off.
    pub http_port: Option<u16>,
    /// Port of HTTPS for Ingress; `None` = off.
    pub https_port: Option<u16>,
    /// Where Ingress listens; the wildcard by default.
    pub ingress_addresses: Vec<IpAddr>,
    /// Name of the IngressClass that is ours even when no IngressClass object exists.
    pub ingress_class: Arc<str>,
    /// Addresses for LoadBalancer Services, besides those of pools that are objects.
    pub lb_pool: Vec<PoolRange>,
    /// Whether a node of the cluster announces them.
    pub announce: bool,
    /// Addresses for Gateways.
    pub gateway_pool: Vec<AddressRange>,
    /// Where NodePorts listen.
    pub nodeport_addresses: NodePortAddresses,
    /// Whether `spec.externalIPs` are served (KEP-5707, CVE-2020-8554).
    pub external_ips: bool,
    /// Whether whatever goes to a virtual address is masqueraded, as `--masquerade-all` of
    /// kube-proxy has it. From userspace everything is but what `keep_client_address` keeps, so
    /// that no option says it.
    pub masquerade_all: bool,
    /// Whether pods see the address of the client where kube-proxy would keep it (IP_TRANSPARENT).
    pub keep_client_address: bool,
    /// Proxies in front that are believed what they say of their clients.
    pub trusted_proxies: Vec<IpNet>,
    /// Ports of Ingress and Gateways whose connections begin with the PROXY protocol.
    pub proxy_protocol_ports: BTreeSet<u16>,
    /// Whether HTTP/3 is served beside HTTPS.
    pub http3: bool,
    /// In which codings responses may be sent, of Services that do not say it themselves.
    pub compress: ContentCodings,
    /// Time to live of DNS answers, in seconds.
    pub dns_ttl: u32,
    /// Who is asked about the names of others.
    pub dns_forward: Arc<Forward>,
    /// Names that are written in files.
    pub dns_hosts: HostsFiles,
    /// The Secret with the certificate of DNS over TLS and HTTPS.
    pub dns_certificate: Option<ObjectKey>,
    /// Whether certificates are ordered for objects that ask for it. Who compiles without serving says
    /// yes.
    pub acme: bool,
    /// Secrets with the certificates that were ordered, or what stands in for them until they come.
    pub issued: Issued,
    /// What hosts add to the search lists of their Pods; `None`: the lists are left to the clients.
    pub dns_search: Option<Arc<[Arc<str>]>>,
    /// The ConfigMap with the Corefile; `None` = none is read.
    pub corefile: Option<ObjectKey>,
    /// The nameservers of /etc/resolv.conf, which a Corefile may name.
    pub resolv_conf: Arc<[Upstream]>,
}

/// Secrets that are not written anywhere.
pub type Issued = Arc<BTreeMap<ObjectKey, Stored<Secret>>>;

/// First and last address, inclusive, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    /// First.
    pub first: IpAddr,
    /// Last, inclusive.
    pub last: IpAddr,
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A range of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRange {
    /// By which Services ask for the pool; empty: they cannot.
    pub pool: Arc<str>,
    /// Its addresses.
    pub range: AddressRange,
}

/// Where NodePorts listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// On the wildcard addresses.
    All,
    /// On these only.
    Only(Vec<IpAddr>),
}

/// The `controller:` of IngressClass objects that are ours.
pub const INGRESS_CONTROLLER: &str = "rutter.dev/ingress-controller";

/// The `controllerName:` of GatewayClass objects that are ours.
pub const GATEWAY_CONTROLLER: &str = "rutter.dev/gateway-controller";

/// The `loadBalancerClass:` of Services that are ours; so are those that name none.
pub const LOAD_BALANCER_CLASS: &str = "rutter.dev/load-balancer";

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_domain: "cluster.local".into(),
            service_cidrs: vec![IpNet::from(ipnet::Ipv4Net::new_assert(
                [127, 96, 0, 0].into(),
                16,
            ))],
            pod_cidrs: vec![IpNet::from(ipnet::Ipv4Net::new_assert([127, 97, 0, 0].into(), 16))],
            node_name: "localhost".into(),
            node_ips: vec![IpAddr::from([127, 0, 0, 1])],
            host_ips: Vec::new(),
            zone: None,
            http_port: Some(80),
            https_port: Some(443),
            ingress_addresses: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            ingress_class: "rutter".into(),
            lb_pool: Vec::new(),
            announce: false,
            gateway_pool: Vec::new(),
            nodeport_addresses: NodePortAddresses::All,
            external_ips: true,
            masquerade_all: false,
            keep_client_address: false,
            trusted_proxies: Vec::new(),
            proxy_protocol_ports: BTreeSet::new(),
            http3: false,
            compress: ContentCodings::default(),
            dns_ttl: 5,
            dns_forward: Arc::default(),
            dns_hosts: HostsFiles::default(),
            dns_certificate: None,
            acme: true,
            issued: Issued::default(),
            dns_search: None,
            corefile: Some(ObjectKey::new("kube-system", "coredns")),
            resolv_conf: Arc::default(),
        }
    }
}
