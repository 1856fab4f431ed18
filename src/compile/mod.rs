//! Objects → snapshot and report. Pure: no I/O, no clock, no async.
//!
//! In: [`Objects`], the [`Settings`] of this process, what was allocated before, and the time.
//! Out: [`Compiled`]. Called by `store`'s driver and by `cli/check` and `cli/explain`. The driver calls
//! [`patch()`] first where only EndpointSlices have changed: the same snapshot, for less.
//!
//! Invariant: [`compile`] returns no `Result`. A bad object becomes a value that fails with a
//! reason, plus a finding; nothing else is touched by it.
//! Invariant: a reference from one object to another is resolved in `references` only.
//! Invariant: what was allocated stays allocated as long as its Service exists and wants it.
//! Invariant: equal input gives equal output; no hash map decides an order.
//! Deliberately absent: whether an endpoint is alive, who is leader, what a socket says.

mod address;
mod allocate;
mod announce;
mod backends;
mod clients;
mod corefile;
mod differing;
mod dns_tls;
mod endpoints;
mod gateway;
mod hosts;
mod http3;
mod ingress;
mod listeners;
mod order;
mod patch;
mod references;
mod report;
mod selector;
mod services;
mod settings;
pub mod status;
mod this_node;
mod tls;
mod topology;
mod upstream;
mod zone;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use crate::snapshot::{Snapshot, TlsTable};
use crate::store::Objects;

pub use allocate::Allocations;
pub use endpoints::service_of;
pub use hosts::{HostsFiles, parse_hosts};
pub use patch::{SliceChanges, patch};
pub use report::{InfrastructureService, Report, WantedCertificate};
pub use settings::{
    AddressRange, GATEWAY_CONTROLLER, INGRESS_CONTROLLER, Issued, LOAD_BALANCER_CLASS,
    NodePortAddresses, PoolRange, Settings,
};

pub use tls::parse_authorities;
pub use upstream::parse_upstream;

pub use crate::snapshot::{
    Authorities, Forward, ForwardPolicy, Hosts, Upstream, UpstreamTransport,
};

use backends::Backends;
use endpoints::Sources;
use references::References;
use report::Findings;
use services::Services;
use this_node::ThisNode;
use tls::Certificates;

/// What a compilation gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// For the planes; the driver sets its generation and whether it is synced.
    pub snapshot: Snapshot,
    /// For people.
    pub report: Report,
    /// For the next compilation.
    pub allocations: Allocations,
}

/// Compiles everything.
pub fn compile(
    objects: &Objects,
    settings: &Settings,
    held: &Allocations,
    now: SystemTime,
) -> Compiled {
    let mut findings = Findings::new(settings.dns_hosts.findings.clone());
    // L4: Services, who is behind them, and where they are reachable.
    let node = ThisNode::new(objects, settings);
    let services = Services::parse(objects, settings, &mut findings);
    let sources = Sources::index(objects, &services, &node, &mut findings);
    let (names, corefile) = corefile::read(objects, settings, &held.corefile, &mut findings);
    let names = Arc::new(names);
    let (backends, memory) =
        Backends::build(&services, &sources, &node, &names, &held.backends, &mut findings);
    let (mut allocations, load_balancers) =
        allocate::allocate(objects, &services, settings, held, &mut findings);
    allocations.backends = memory;
    let network = this_node::network(objects, settings, &allocations);

    let references = References::new(objects, &settings.issued, &services, &backends);
    let mut certificates = Certificates::new(&held.certificates, now, settings.acme);
    let (served, dns_tls) =
        l7(objects, settings, &references, held, &mut certificates, &mut findings);
    let gateway::Served { sockets, addresses: gateways } = served;
    findings.wanted_certificates(certificates.wanted());

    // What the planes read.
    let listeners = listeners::open(
        &services,
        &backends,
        &allocations,
        settings,
        &network,
        sockets,
        &mut findings,
    );
    let zone = zone::build(objects, &services, &backends, &names, settings, &allocations, held);
    allocations.backends.keep_zone(zone.clone());
    Compiled {
        snapshot: Snapshot {
            announcements: announce::decide(objects, settings, &listeners, &load_balancers).into(),
            backends: listeners::reached(&listeners),
            listeners,
            network,
            zone,
            dns_tls: Arc::new(dns_tls),
            load_balancers: Arc::new(load_balancers),
            ..Snapshot::default()
        },
        report: findings.into_report(objects),
        allocations: Allocations {
            certificates: certificates.into_readings(),
            gateways,
            corefile,
            ..allocations
        },
    }
}

/// Whose requests go to Services, under which names and certificates; and the certificate of DNS.
fn l7(
    objects: &Objects,
    settings: &Settings,
    references: &References<'_>,
    held: &Allocations,
    certificates: &mut Certificates<'_>,
    findings: &mut Findings,
) -> (gateway::Served, TlsTable) {
    let ingresses = ingress::ours(objects, settings, references, findings);
    let policies = gateway::ServicePolicies::read(settings, references, certificates, findings);
    let rules = ingress::rules(&ingresses, references, &policies, findings);
    let tls = tls::entries(&ingresses, references, certificates, findings);
    let dns_tls = dns_tls::table(settings, references, certificates, findings);
    let ingress = gateway::IngressRules { rules, tls };
    let held = &held.gateways;
    let served =
        gateway::compile(settings, references, policies, held, &ingress, certificates, findings);
    (served, dns_tls)
}
