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
use crate::snapshot::matching::Predicates;
use crate::snapshot::{
    Action, Backend, BackendId, Exposure, Frontend, HealthCheck, HostMatch, HttpListener,
    ListenerSpec, MatchPath, Network, Policy, RouteTable, Rule, Serve, SocketKey, SortedMap,
    Timeouts, Transport, WeightedBackend,
};

use super::address::{Family, parse_ip};
use super::allocate::Allocations;
use super::backends::{Backends, ServiceBackends};
use super::http3;
use super::report::{Findings, named};
use super::services::{CheckedPort, CheckedService, PortRange, Services};
use super::settings::{NodePortAddresses, Settings};
use super::this_node;

/// Opens `sockets` and every address of every Service, as far as they do not clash.
pub(super) fn open(
    services: &Services<'_>,
    backends: &Backends<'_>,
    allocations: &Allocations,
    settings: &Settings,
    network: &Arc<Network>,
    sockets: Vec<ListenerSpec>,
    findings: &mut Findings,
) -> SortedMap<SocketKey, Arc<ListenerSpec>> {
    let silent = this_node::silent(network);
    let mut opened = Opened { listeners: BTreeMap::new(), rank: 0, settings, silent, findings };
    for spec in sockets {
        opened.listeners.entry(spec.key).or_insert_with(|| Arc::new(spec));
    }
    if settings.http3 {
        http3::add(&mut opened.listeners);
    }
    for (place, service) in services.by_age().filter(|(_, service)| service.is_proxied()) {
        let Some(backends) = backends.of(place) else { continue };
        opened.rank += 1;
        for (exposure, ip) in addresses(service, allocations, settings) {
            opened.expose(service, backends, exposure, ip, allocations);
            if exposure != Exposure::NodePort {
                opened.expose_ranges(service, backends, exposure, ip);
            }
        }
        if let Some(port) = allocations.health_ports.get(service.key) {
            opened.check_health(service, backends, *port);
        }
    }
    opened.listeners.into_iter().collect()
}

/// Every backend that a listener leads to.
pub(super) fn reached(
    listeners: &SortedMap<SocketKey, Arc<ListenerSpec>>,
) -> SortedMap<BackendId, Arc<Backend>> {
    let mut reached: Vec<&Arc<Backend>> = Vec::with_capacity(listeners.len());
    for listener in listeners.values() {
        let frontends = listener.serve.frontends().flat_map(|frontend| &frontend.shares);
        reached.extend(frontends.filter_map(|share| share.backend()));
        let rules = listener.serve.http().into_iter().flat_map(|http| http.rules());
        reached.extend(rules.flat_map(|rule| rule.backends()));
    }
    // stable: of one that is there in two families, the one that is reached first
    reached.sort_by(|left, right| left.id.cmp(&right.id));
    reached.dedup_by(|later, first| later.id == first.id);
    reached.into_iter().map(|backend| (backend.id.clone(), backend.clone())).collect()
}

/// The listeners of a Service lead to what it has become, of which only the endpoints are others.
pub(super) fn lead_to(
    listeners: &mut SortedMap<SocketKey, Arc<ListenerSpec>>,
    service: &CheckedService<'_>,
    before: &ServiceBackends,
    now: &ServiceBackends,
    allocations: &Allocations,
    settings: &Settings,
) {
    if !service.is_proxied() {
        return;
    }
    for (exposure, ip) in addresses(service, allocations, settings) {
        for (place, port) in service.ports.iter().enumerate() {
            let key = socket_of(service, port, exposure, ip, allocations);
            let of = |backends: &ServiceBackends| {
                backends.for_family(place, Family::of(ip)).cloned().map(WeightedBackend::all)
            };
            let Some(((key, old), new)) = key.zip(of(before)).zip(of(now)) else { continue };
            replace(listeners, key, |serve| match serve {
                Serve::Frontend(it) if it.exposure == exposure && it.shares == [old] => {
                    let frontend = Frontend { shares: vec![new], ..Frontend::clone(it) };
                    Some(Serve::Frontend(Arc::new(frontend)))
                }
                Serve::Frontend(_) | Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => None,
            });
        }
    }
    let Some(port) = allocations.health_ports.get(service.key) else { return };
    for ip in node_addresses(service, settings) {
        let key = SocketKey { transport: Transport::Tcp, addr: SocketAddr::new(ip, *port) };
        let local_endpoints = now.ready_here(Family::of(ip));
        replace(listeners, key, |serve| match serve {
            Serve::Health(check) if check.service == *service.key => {
                let check = HealthCheck { local_endpoints, ..HealthCheck::clone(check) };
                Some(Serve::Health(Arc::new(check)))
            }
            Serve::Frontend(_) | Serve::Http(_) | Serve::Tls(_) | Serve::Health(_) => None,
        });
    }
}

/// Serves something else at a socket, if there is one and `change` knows what.
fn replace(
    listeners: &mut SortedMap<SocketKey, Arc<ListenerSpec>>,
    key: SocketKey,
    change: impl FnOnce(&Serve) -> Option<Serve>,
) {
    let Some(spec) = listeners.get(&key) else { return };
    if let Some(serve) = change(&spec.serve) {
        let spec = ListenerSpec { serve, ..ListenerSpec::clone(spec) };
        listeners.insert(key, Arc::new(spec));
    }
}

/// Where a port of a Service is at one of its addresses.
fn socket_of(
    service: &CheckedService<'_>,
    port: &CheckedPort,
    exposure: Exposure,
    ip: IpAddr,
    allocations: &Allocations,
) -> Option<SocketKey> {
    let number = match exposure {
        Exposure::NodePort => *allocations.node_ports.get(&port.backend_id(service.key))?,
        Exposure::ClusterIp | Exposure::LoadBalancer | Exposure::ExternalIp | Exposure::Gateway => {
            port.number
        }
    };
    Some(SocketKey { transport: port.transport, addr: SocketAddr::new(ip, number) })
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
            let key = socket_of(service, port, exposure, ip, allocations);
            let backend = backends.for_family(place, Family::of(ip));
            let Some((key, backend)) = key.zip(backend) else { continue };
            let is_by_request = exposure == Exposure::ClusterIp && port.is_by_request(service);
            if is_by_request {
                backends.note_rule();
            }
            // without endpoints the kernel refuses, as everywhere
            let serve = if is_by_request && !backend.usable.is_empty() {
                Serve::Http(Arc::new(by_request(service, port, backend)))
            } else {
                frontend(service, exposure, backend, &policy)
            };
            let part = if exposure == Exposure::NodePort { "nodePort" } else { "port" };
            let field = format!("{}.{part}", port.field);
            self.listen(service, &field, key, serve);
        }
    }

    /// Every port of the ranges is a listener, and all of a range share what they serve. However many
    /// of them are taken, it is one finding.
    fn expose_ranges(
        &mut self,
        service: &CheckedService<'_>,
        backends: &ServiceBackends,
        exposure: Exposure,
        ip: IpAddr,
    ) {
        for (place, range) in service.ranges.iter().enumerate() {
            let policy = service.policy.at(exposure, ip, self.settings, &self.silent);
            let Some(backend) = backends.of_range(place, Family::of(ip)) else { continue };
            let serve = frontend(service, exposure, backend, &policy);
            let mut clashes = range.ports(&service.ports).filter_map(|number| {
                let addr = SocketAddr::new(ip, number);
                self.try_listen(SocketKey { transport: range.transport, addr }, serve.clone()).err()
            });
            let Some(mut first) = clashes.next() else { continue };
            match clashes.count() {
                0 => {}
                more => first.message += &format!("; {more} more of the range are taken too"),
            }
            self.refuse(service, &PortRange::field(), first);
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
        if let Err(message) = self.try_listen(key, serve) {
            self.refuse(service, field, message);
        }
    }

    /// `Err`: what is in the way, and what would make room.
    fn try_listen(&mut self, key: SocketKey, serve: Serve) -> Result<(), Clash> {
        let Some(other) = self.occupant(key, &serve) else {
            let spec = ListenerSpec { key, serve, rank: self.rank };
            self.listeners.insert(key, Arc::new(spec));
            return Ok(());
        };
        let (who, help) = match &other.serve {
            Serve::Frontend(other) => {
                (named(other.owner.kind, &other.owner.key, &other.origin), None)
            }
            Serve::Http(http) => of_http(http),
            Serve::Tls(tls) => of_http_or_tls(&tls.name),
            Serve::Health(check) => {
                let who = named(Kind::Service, &check.service, &check.origin);
                (format!("the health check of {who}"), None)
            }
        };
        let what = match &serve {
            Serve::Frontend(frontend) => frontend.exposure.to_string(),
            Serve::Http(_) | Serve::Tls(_) => Exposure::ClusterIp.to_string(),
            Serve::Health(_) => "health check".to_owned(),
        };
        Err(Clash { message: format!("{key} ({what}) is taken by {who}"), help })
    }

    fn refuse(&mut self, service: &CheckedService<'_>, field: &str, clash: Clash) {
        let mut finding = service.subject().error(Code::AddressClash, field, clash.message);
        finding.help = clash.help.map(str::to_owned);
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

/// Why an address cannot be had.
struct Clash {
    message: String,
    help: Option<&'static str>,
}

/// As [`of_http_or_tls`], where it may be that of a Service too.
fn of_http(http: &HttpListener) -> (String, Option<&'static str>) {
    let of_service = http.rules().find(|rule| rule.route.kind == Kind::Service);
    match of_service {
        Some(rule) => (named(Kind::Service, &rule.route.key, &rule.origin), None),
        None => of_http_or_tls(&http.name),
    }
}

fn frontend(
    service: &CheckedService<'_>,
    exposure: Exposure,
    backend: &Arc<Backend>,
    policy: &Arc<Policy>,
) -> Serve {
    Serve::Frontend(Arc::new(Frontend {
        owner: ObjectRef::new(Kind::Service, service.key.clone()),
        exposure,
        origin: service.stored.origin.clone(),
        shares: vec![WeightedBackend::all(backend.clone())],
        policy: policy.clone(),
    }))
}

/// Every request to a port of a Service, by itself, to its endpoints.
fn by_request(
    service: &CheckedService<'_>,
    port: &CheckedPort,
    backend: &Arc<Backend>,
) -> HttpListener {
    let name: Arc<str> = format!("{}:{}", service.key, port.number).into();
    let rule = Rule {
        route: ObjectRef::new(Kind::Service, service.key.clone()),
        label: name.clone(),
        host: HostMatch::Any,
        path: MatchPath::Fallback,
        predicates: Predicates::default(),
        filters: Vec::new(),
        timeouts: Timeouts::default(),
        retry: None,
        session: None,
        action: Action::Forward(vec![WeightedBackend::all(backend.clone())]),
        origin: service.stored.origin.clone(),
        field: port.field.clone(),
    };
    HttpListener::single(name, None, Arc::new(RouteTable::new(vec![Arc::new(rule)])))
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
