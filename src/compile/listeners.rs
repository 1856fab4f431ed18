//! Everything that listens: the sockets of Ingress and Gateways, and addresses of Services.
//!
//! One socket serves one thing. Ingress and Gateways come first, since their ports are chosen by
//! the operator; then the Services, the oldest first: among those that clash, and where there are
//! not descriptors for all ([`ListenerSpec::rank`]). A specific address beside a wildcard is no clash
//! (the kernel prefers the specific one, and virtual addresses rely on it), unless it is an address
//! of the node itself: then the wildcard would silently lose a part of what it is there for.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::manifest::{Code, Kind, ObjectRef};
use crate::snapshot::{
    Backend, BackendId, Exposure, Frontend, HealthCheck, ListenerSpec, Network, Policy, Serve,
    SocketKey, Transport, WeightedBackend,
};

use super::address::{Family, parse_ip};
use super::allocate::Allocations;
use super::backends::{Backends, ServiceBackends};
use super::report::{Findings, named};
use super::services::{CheckedService, Services};
use super::settings::{NodePortAddresses, Settings};
use super::this_node;

/// Opens `sockets` and every address of every Service, as far as they do not clash.
pub(super) fn open(
    services: &Services<'_>,
    backends: &Backends,
    allocations: &Allocations,
    settings: &Settings,
    network: &Arc<Network>,
    sockets: Vec<ListenerSpec>,
    findings: &mut Findings,
) -> BTreeMap<SocketKey, Arc<ListenerSpec>> {
    let silent = this_node::silent(network);
    let mut opened = Opened { listeners: BTreeMap::new(), rank: 0, settings, silent, findings };
    for spec in sockets {
        opened.listeners.entry(spec.key).or_insert_with(|| Arc::new(spec));
    }
    for (place, service) in services.by_age().filter(|(_, service)| service.is_proxied()) {
        let Some(backends) = backends.of(place) else { continue };
        opened.rank += 1;
        for (exposure, ip) in addresses(service, allocations, settings) {
            opened.expose(service, backends, exposure, ip, allocations);
        }
        if let Some(port) = allocations.health_ports.get(service.key) {
            opened.check_health(service, backends, *port);
        }
    }
    opened.listeners
}

/// Every backend that a listener leads to.
pub(super) fn reached(
    listeners: &BTreeMap<SocketKey, Arc<ListenerSpec>>,
) -> BTreeMap<BackendId, Arc<Backend>> {
    let mut backends = BTreeMap::new();
    let mut reach = |backend: &Arc<Backend>| {
        backends.entry(backend.id.clone()).or_insert_with(|| backend.clone());
    };
    for listener in listeners.values() {
        let frontends = listener.serve.frontends().flat_map(|frontend| &frontend.shares);
        frontends.filter_map(|share| share.backend()).for_each(&mut reach);
        let rules = listener.serve.http().into_iter().flat_map(|http| http.rules());
        rules.flat_map(|rule| rule.backends()).for_each(&mut reach);
    }
    backends
}

/// Every address of a Service, with why it has it.
fn addresses(
    service: &CheckedService<'_>,
    allocations: &Allocations,
    settings: &Settings,
) -> Vec<(Exposure, IpAddr)> {
    let of = |addresses: Option<&Vec<IpAddr>>| addresses.cloned().unwrap_or_default();
    let external = service.spec().external_ips.iter().filter_map(|text| parse_ip(text));
    let external = external.filter(|_| settings.external_ips);
    let every_node = node_addresses(service, settings);
    let cluster_ips = of(allocations.cluster_ips.get(service.key));
    let load_balancers = of(allocations.load_balancers.get(service.key));
    let mut all: Vec<(Exposure, IpAddr)> = Vec::new();
    all.extend(cluster_ips.into_iter().map(|ip| (Exposure::ClusterIp, ip)));
    all.extend(every_node.into_iter().map(|ip| (Exposure::NodePort, ip)));
    all.extend(load_balancers.into_iter().map(|ip| (Exposure::LoadBalancer, ip)));
    all.extend(external.map(|ip| (Exposure::ExternalIp, ip)));
    all
}

/// Where node ports are: in the families of the Service.
fn node_addresses(service: &CheckedService<'_>, settings: &Settings) -> Vec<IpAddr> {
    match &settings.nodeport_addresses {
        NodePortAddresses::All => service.families.iter().map(|it| it.wildcard()).collect(),
        NodePortAddresses::Only(addresses) => {
            let is_of_family = |ip: &&IpAddr| service.families.contains(&Family::of(**ip));
            addresses.iter().filter(is_of_family).copied().collect()
        }
    }
}

struct Opened<'a> {
    listeners: BTreeMap<SocketKey, Arc<ListenerSpec>>,
    /// Of the Service at hand.
    rank: usize,
    settings: &'a Settings,
    /// For Services that say nothing about their traffic.
    silent: Arc<Policy>,
    findings: &'a mut Findings,
}

impl Opened<'_> {
    fn expose(
        &mut self,
        service: &CheckedService<'_>,
        backends: &ServiceBackends,
        exposure: Exposure,
        ip: IpAddr,
        allocations: &Allocations,
    ) {
        let policy = service.policy.at(exposure, ip, self.settings, &self.silent);
        for (place, port) in service.ports.iter().enumerate() {
            let number = match exposure {
                Exposure::NodePort => {
                    allocations.node_ports.get(&port.backend_id(service.key)).copied()
                }
                Exposure::ClusterIp
                | Exposure::LoadBalancer
                | Exposure::ExternalIp
                | Exposure::Gateway => Some(port.number),
            };
            let backend = backends.for_family(place, Family::of(ip));
            let Some((number, backend)) = number.zip(backend) else { continue };
            let key = SocketKey { transport: port.transport, addr: SocketAddr::new(ip, number) };
            let frontend = Frontend {
                owner: ObjectRef::new(Kind::Service, service.key.clone()),
                exposure,
                origin: service.stored.origin.clone(),
                shares: vec![WeightedBackend::all(backend.clone())],
                policy: policy.clone(),
            };
            let part = if exposure == Exposure::NodePort { "nodePort" } else { "port" };
            let field = format!("{}.{part}", port.field);
            self.listen(service, &field, key, Serve::Frontend(Arc::new(frontend)));
        }
    }

    /// Tells load balancers whether this node has pods of the Service.
    fn check_health(
        &mut self,
        service: &CheckedService<'_>,
        backends: &ServiceBackends,
        port: u16,
    ) {
        for ip in node_addresses(service, self.settings) {
            let check = HealthCheck {
                service: service.key.clone(),
                local_endpoints: backends.ready_here(Family::of(ip)),
                origin: service.stored.origin.clone(),
            };
            let key = SocketKey { transport: Transport::Tcp, addr: SocketAddr::new(ip, port) };
            let field = "spec.healthCheckNodePort";
            self.listen(service, field, key, Serve::Health(Arc::new(check)));
        }
    }

    fn listen(&mut self, service: &CheckedService<'_>, field: &str, key: SocketKey, serve: Serve) {
        let Some(other) = self.occupant(key, &serve) else {
            let spec = ListenerSpec { key, serve, rank: self.rank };
            self.listeners.insert(key, Arc::new(spec));
            return;
        };
        let (who, help) = match &other.serve {
            Serve::Frontend(other) => {
                (named(other.owner.kind, &other.owner.key, &other.origin), None)
            }
            Serve::Http(http) => of_http_or_tls(&http.name),
            Serve::Tls(tls) => of_http_or_tls(&tls.name),
            Serve::Health(check) => {
                let who = named(Kind::Service, &check.service, &check.origin);
                (format!("the health check of {who}"), None)
            }
        };
        let what = match &serve {
            Serve::Frontend(frontend) => frontend.exposure.to_string(),
            Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => "health check".to_owned(),
        };
        let message = format!("{key} ({what}) is taken by {who}");
        let mut finding = service.subject().error(Code::AddressClash, field, message);
        finding.help = help.map(str::to_owned);
        self.findings.push(finding);
    }

    /// Who listens there already: on the socket, or on a wildcard that this would take a part of.
    fn occupant(&self, key: SocketKey, wanted: &Serve) -> Option<Arc<ListenerSpec>> {
        let at = |ip: IpAddr| {
            let addr = SocketAddr::new(ip, key.addr.port());
            self.listeners.get(&SocketKey { addr, ..key })
        };
        let ip = key.addr.ip();
        let node_ips = &self.settings.node_ips;
        let mut others = vec![at(ip)];
        if ip.is_unspecified() {
            let same_family = node_ips.iter().filter(|it| it.is_ipv4() == ip.is_ipv4());
            others.extend(same_family.map(|ip| at(*ip)));
        } else if node_ips.contains(&ip) {
            others.push(at(Family::of(ip).wildcard()));
        }
        // A Service that takes a part of its own wildcard takes nothing from anyone.
        let is_own = |other: &&Arc<ListenerSpec>| match (&other.serve, wanted) {
            (Serve::Frontend(other), Serve::Frontend(wanted)) => {
                other.owner == wanted.owner && other.shares == wanted.shares
            }
            _ => false,
        };
        others.into_iter().flatten().find(|other| !is_own(other)).cloned()
    }
}

/// Whose listener that is, by its name, and what would make room: those of Gateways have a
/// namespace.
fn of_http_or_tls(name: &str) -> (String, Option<&'static str>) {
    match name {
        "http" | "https" => (format!("Ingress ({name})"), Some(ELSEWHERE)),
        name => (format!("a Gateway ({name})"), None),
    }
}

const ELSEWHERE: &str = "give load balancers addresses of their own (--lb-pool), or move Ingress \
                         (--ingress-address, --http-port, --https-port)";
