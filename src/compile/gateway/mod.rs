//! Gateway API → listeners, rules, statuses.
//!
//! In: GatewayClasses, Gateways, ListenerSets, routes of every kind, policies. Out: [`Served`], of
//! which `listeners` makes sockets, and the status of every object of the group in the findings.
//! Called by `compile`.
//!
//! What policies say of Services ([`ServicePolicies`]) is read before, because Ingresses go by it too.
//! The way: whose [`class`] it is → [`gateways`] and their addresses → [`listener`]s, those of
//! [`listener_sets`] too → [`conflicts`] between them → [`terminate`] (certificates) → [`attach`]
//! (which route to which listener) → rules ([`http_route`], [`grpc_route`]) and ways
//! ([`stream_route`]) → [`sockets`] → [`statuses`].
//!
//! Invariant: whatever is wrong becomes a [`Verdict`], which is both a condition and a finding.
//! Invariant: precedence is creation time, then namespace/name, then place in the object; where
//! two claim the same, the first keeps it.
//! Invariant: nothing is searched for among all Gateways, listeners or routes: there may be ten
//! thousand of each ([`hosts`] finds what intersects).

mod allowed;
mod attach;
mod class;
mod conflicts;
mod cors;
mod duration;
mod external_auth;
mod features;
mod filters;
mod gateways;
mod grpc_route;
mod hosts;
mod http_route;
mod infrastructure;
mod listener;
mod listener_sets;
mod matches;
mod policies;
mod routes;
mod schema;
mod service_policies;
mod session;
mod sockets;
mod statuses;
mod stream_route;
mod targets;
mod terminate;
mod traffic_policies;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::manifest::ObjectKey;
use crate::snapshot::SocketKey;
use crate::store::Objects;

use super::references::References;
use super::report::Findings;
use super::settings::Settings;
use super::tls::Certificates;

pub(super) use service_policies::ServicePolicies;
pub(super) use sockets::{IngressRules, Sockets};

pub(super) use duration::parse as parse_duration;
use gateways::OwnGateway;
use listener::OwnListener;
use listener_sets::OwnListenerSet;

/// Why something is not as its user wants it: reason and message of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    reason: &'static str,
    message: String,
}

impl Verdict {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl From<(&'static str, String)> for Verdict {
    fn from((reason, message): (&'static str, String)) -> Self {
        Self { reason, message }
    }
}

/// What the steps share.
struct Context<'a, 'b, 'c> {
    objects: &'a Objects,
    settings: &'b Settings,
    references: &'b References<'a>,
    certificates: &'b mut Certificates<'c>,
    findings: &'b mut Findings,
}

/// What Gateways come to.
pub(super) struct Served {
    /// What listens.
    pub(super) sockets: Sockets,
    /// For the next compilation.
    pub(super) addresses: BTreeMap<ObjectKey, Vec<IpAddr>>,
}

/// Gateways, their listeners, and what is attached to them. `ingress`: where Ingress listens.
pub(super) fn compile<'a>(
    settings: &Settings,
    references: &References<'a>,
    policies: ServicePolicies<'a>,
    held: &BTreeMap<ObjectKey, Vec<IpAddr>>,
    ingress: &IngressRules,
    certificates: &mut Certificates<'_>,
    findings: &mut Findings,
) -> Served {
    let objects = references.objects();
    let mut context = Context { objects, settings, references, certificates, findings };
    schema::check(&mut context);
    let classes = class::Classes::new(objects, references);
    let mut gateways = gateways::collect(&classes, held, &mut context);
    let sets = listener_sets::collect(&gateways, &mut context);
    let mut listeners = listener::collect(&gateways, &sets, &mut context);
    conflicts::resolve(&mut listeners, &gateways, &ingress.sockets(settings), &mut context);
    terminate::resolve(&mut listeners, &mut gateways, &mut context);
    let routes = routes::compile(&gateways, &sets, &mut listeners, policies, &mut context);
    context.findings.infrastructure(infrastructure::services(&gateways, &listeners));
    statuses::report(&classes, &gateways, &sets, &listeners, &routes, &mut context);
    let addresses = gateways.iter().map(|it| (it.key.clone(), it.addresses.clone())).collect();
    Served { sockets: sockets::build(&gateways, &listeners, ingress, &context), addresses }
}

/// Where the listeners of a Gateway are.
fn socket_keys(gateway: &OwnGateway<'_>, listener: &OwnListener<'_>) -> Vec<SocketKey> {
    let Some(protocol) = listener.protocol else { return Vec::new() };
    let transport = protocol.transport();
    let at = |ip: &IpAddr| SocketKey { transport, addr: (*ip, listener.port).into() };
    gateway.listens_at().iter().map(at).collect()
}

/// A Gateway or a ListenerSet, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Gateway(usize),
    Set(usize),
}

impl Owner {
    fn name(self, gateways: &[OwnGateway<'_>], sets: &[OwnListenerSet<'_>]) -> String {
        let key = match self {
            Self::Gateway(place) => gateways.get(place).map(|it| it.key),
            Self::Set(place) => sets.get(place).map(|it| it.key),
        };
        key.map(ToString::to_string).unwrap_or_default()
    }
}
