//! Node ports, those for health checks among them.
//!
//! A port that a Service holds stays with it, also when a new one names it. TCP and UDP of one
//! port number of a Service get one node port, as the API server gives it.

use std::collections::BTreeMap;

use crate::compile::report::Findings;
use crate::compile::services::{CheckedPort, CheckedService, Exposed, Services};
use crate::manifest::{Code, ObjectKey};
use crate::snapshot::{BackendId, Transport};

use super::Allocations;
use super::space::PortSpace;

/// Who has which port of the nodes.
#[derive(Debug, Default)]
pub(super) struct NodePorts {
    /// By Service port.
    pub(super) ports: BTreeMap<BackendId, u16>,
    /// Where load balancers ask for the health of a Service.
    pub(super) health: BTreeMap<ObjectKey, u16>,
}

pub(super) fn node_ports(
    services: &Services<'_>,
    held: &Allocations,
    findings: &mut Findings,
) -> NodePorts {
    let mut allocation = Allocation {
        space: PortSpace::default(),
        owners: BTreeMap::new(),
        given: NodePorts::default(),
        findings,
    };
    let exposed = || {
        let all = services.by_age().map(|(_, service)| service);
        all.filter(|service| service.is_proxied() && service.exposed >= Exposed::NodePort)
    };
    exposed().for_each(|service| allocation.keep(service, held));
    exposed().for_each(|service| allocation.named(service));
    exposed().for_each(|service| allocation.missing(service));
    allocation.given
}

struct Allocation<'s, 'a> {
    space: PortSpace,
    owners: BTreeMap<(Transport, u16), &'s CheckedService<'a>>,
    given: NodePorts,
    findings: &'s mut Findings,
}

impl<'s, 'a> Allocation<'s, 'a> {
    /// Gives what the Service had before, unless it names another now.
    fn keep(&mut self, service: &'s CheckedService<'a>, held: &Allocations) {
        for port in &service.ports {
            let id = port.backend_id(service.key);
            let Some(number) = held.node_ports.get(&id).copied() else { continue };
            let is_wanted = match port.node_port {
                Some(named) => named == number,
                None => wants_node_ports(service),
            };
            if is_wanted && self.take(service, port.transport, number) {
                self.given.ports.insert(id, number);
            }
        }
        let Some(number) = held.health_ports.get(service.key).copied() else { return };
        let is_wanted = named_health_port(service).is_none_or(|named| named == number);
        if service.has_health_check() && is_wanted && self.take(service, Transport::Tcp, number) {
            self.given.health.insert(service.key.clone(), number);
        }
    }

    fn named(&mut self, service: &'s CheckedService<'a>) {
        for port in &service.ports {
            let id = port.backend_id(service.key);
            let Some(number) = port.node_port.filter(|_| !self.given.ports.contains_key(&id))
            else {
                continue;
            };
            if self.take(service, port.transport, number) {
                self.given.ports.insert(id, number);
            } else {
                let field = format!("{}.nodePort", port.field);
                self.clash(service, &field, port.transport, number);
            }
        }
        let Some(number) = named_health_port(service) else { return };
        if !service.has_health_check() || self.given.health.contains_key(service.key) {
            return;
        }
        if self.take(service, Transport::Tcp, number) {
            self.given.health.insert(service.key.clone(), number);
        } else {
            self.clash(service, "spec.healthCheckNodePort", Transport::Tcp, number);
        }
    }

    fn missing(&mut self, service: &'s CheckedService<'a>) {
        let wanting = service.ports.iter().filter(|it| it.node_port.is_none());
        for port in wanting.filter(|_| wants_node_ports(service)) {
            let id = port.backend_id(service.key);
            if self.given.ports.contains_key(&id) {
                continue;
            }
            let of_sibling = self.of_sibling(service, port);
            match of_sibling.or_else(|| self.space.find(&id.to_string())) {
                Some(number) => {
                    self.take(service, port.transport, number);
                    self.given.ports.insert(id, number);
                }
                None => {
                    let message = "no node port is left for this port";
                    let subject = service.subject();
                    self.findings.push(subject.error(Code::PoolExhausted, &port.field, message));
                }
            }
        }
        let wants_health = service.has_health_check() && named_health_port(service).is_none();
        if wants_health && !self.given.health.contains_key(service.key) {
            self.health(service);
        }
    }

    fn health(&mut self, service: &'s CheckedService<'a>) {
        if let Some(number) = self.space.find(&format!("{} health", service.key)) {
            self.take(service, Transport::Tcp, number);
            self.given.health.insert(service.key.clone(), number);
            return;
        }
        let (field, message) =
            ("spec.healthCheckNodePort", "no node port is left for health checks");
        self.findings.push(service.subject().error(Code::PoolExhausted, field, message));
    }

    /// The node port of a port with the same number and another transport.
    fn of_sibling(&self, service: &CheckedService<'_>, port: &CheckedPort) -> Option<u16> {
        let siblings = service
            .ports
            .iter()
            .filter(|it| it.number == port.number && it.transport != port.transport);
        let mut theirs =
            siblings.filter_map(|it| self.given.ports.get(&it.backend_id(service.key)).copied());
        theirs.find(|number| !self.owners.contains_key(&(port.transport, *number)))
    }

    /// Whether the Service can have it.
    fn take(&mut self, service: &'s CheckedService<'a>, transport: Transport, number: u16) -> bool {
        if self.owners.contains_key(&(transport, number)) {
            return false;
        }
        self.space.take(number);
        self.owners.insert((transport, number), service);
        true
    }

    fn clash(
        &mut self,
        service: &CheckedService<'_>,
        field: &str,
        transport: Transport,
        number: u16,
    ) {
        let Some(other) = self.owners.get(&(transport, number)) else { return };
        let who = other.subject().named();
        let message = format!("node port {number}/{transport} is taken by {who}");
        let finding = service.subject().error(Code::AddressClash, field, message);
        self.findings.push(finding.help("name another port, or none to be given one"));
    }
}

/// A LoadBalancer may do without the ones that it does not name.
fn wants_node_ports(service: &CheckedService<'_>) -> bool {
    service.exposed != Exposed::LoadBalancer
        || service.spec().allocate_load_balancer_node_ports != Some(false)
}

fn named_health_port(service: &CheckedService<'_>) -> Option<u16> {
    let written = service.spec().health_check_node_port?;
    u16::try_from(written).ok().filter(|port| *port != 0)
}
