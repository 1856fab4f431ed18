//! Listeners that claim the same: the first by precedence keeps it.
//!
//! On one address and port there can be HTTP, or TLS (HTTPS beside what is not looked into), or
//! one TCP or UDP listener; HTTP and TLS listeners are told apart by host. Gateways that share
//! an address (the wildcard) share its ports too.

use std::collections::BTreeMap;

use super::gateways::OwnGateway;
use super::hosts::HostIndex;
use super::listener::{Class, OwnListener};
use super::{Context, Verdict, socket_keys};
use crate::manifest::{Code, Finding};
use crate::snapshot::{HostMatch, SocketKey};

/// Who has a socket.
#[derive(Debug, Default)]
struct Socket {
    class: Option<Class>,
    /// The first of its listeners; none where Ingress alone listens.
    first: Option<usize>,
    /// Its listeners by host; those of TCP and UDP are for every host.
    by_host: BTreeMap<HostMatch, usize>,
}

/// Decides for every listener. `ingress`: the sockets that Ingress has, with what they speak.
pub(super) fn resolve(
    listeners: &mut [OwnListener<'_>],
    gateways: &[OwnGateway<'_>],
    ingress: &[(SocketKey, Class)],
    context: &mut Context<'_, '_, '_>,
) {
    let mut sockets: BTreeMap<SocketKey, Socket> = BTreeMap::new();
    for (key, class) in ingress {
        sockets.entry(*key).or_default().class = Some(*class);
    }
    for place in 0..listeners.len() {
        let Some(listener) = listeners.get(place).filter(|it| it.is_accepted()) else { continue };
        let Some((gateway, protocol)) = gateways.get(listener.gateway).zip(listener.protocol)
        else {
            continue;
        };
        let keys = socket_keys(gateway, listener);
        let claim = |key: &SocketKey| check(key, sockets.get(key)?, listener, listeners);
        let conflict = keys.iter().find_map(claim);
        if let Some((verdict, finding)) = conflict {
            context.findings.push(finding);
            if let Some(listener) = listeners.get_mut(place) {
                listener.is_conflicted = verdict.reason != PORT_UNAVAILABLE;
                listener.refused = Some(verdict);
            }
            continue;
        }
        for key in keys {
            let socket = sockets.entry(key).or_default();
            socket.class = Some(protocol.class());
            socket.first.get_or_insert(place);
            socket.by_host.insert(listener.host.clone(), place);
        }
    }
    overlaps(listeners, &sockets, context);
}

/// Why a listener cannot have a part of a socket.
fn check(
    key: &SocketKey,
    socket: &Socket,
    listener: &OwnListener<'_>,
    listeners: &[OwnListener<'_>],
) -> Option<(Verdict, Finding)> {
    let class = listener.protocol?.class();
    if socket.class.is_some_and(|taken| taken != class) {
        let first = socket.first.and_then(|place| listeners.get(place));
        return Some(conflict(key, listener, first, "ProtocolConflict", ".protocol"));
    }
    let same = listeners.get(*socket.by_host.get(&listener.host)?)?;
    Some(conflict(key, listener, Some(same), "HostnameConflict", ".hostname"))
}

fn conflict(
    key: &SocketKey,
    listener: &OwnListener<'_>,
    other: Option<&OwnListener<'_>>,
    reason: &'static str,
    part: &str,
) -> (Verdict, Finding) {
    let who = match other {
        Some(other) => format!(
            "listener {:?} of {} ({})",
            other.spec.name,
            other.subject.named(),
            other.spec.protocol
        ),
        None => "Ingress".to_owned(),
    };
    let host = match (&listener.host, reason) {
        (HostMatch::Any, "HostnameConflict") => " for every host".to_owned(),
        (host, "HostnameConflict") => format!(" for host {host}"),
        _ => String::new(),
    };
    let message = format!("{key}{host} is taken by {who}");
    // within a Gateway it is a conflict; between Gateways the port is not to be had
    let is_own = other.is_some_and(|other| other.gateway == listener.gateway);
    let reason = if is_own { reason } else { PORT_UNAVAILABLE };
    let field = format!("{}{part}", listener.field);
    let field = if is_own && listener.spec.hostname.is_none() { &listener.field } else { &field };
    let mut finding = listener.subject.error(Code::Conflict, field, message.as_str());
    if !is_own {
        let help = "give each Gateway an address of its own: --gateway-pool, or spec.addresses";
        finding.help = Some(help.to_owned());
    }
    (Verdict::new(reason, message), finding)
}

/// HTTPS listeners of a socket whose hosts overlap: a connection may be used for a host that
/// belongs to another listener, which is answered with 421 (GEP-3567).
fn overlaps(
    listeners: &mut [OwnListener<'_>],
    sockets: &BTreeMap<SocketKey, Socket>,
    context: &mut Context<'_, '_, '_>,
) {
    for socket in sockets.values().filter(|it| it.class == Some(Class::Tls)) {
        let mut index = HostIndex::default();
        socket.by_host.iter().for_each(|(host, place)| *index.entry(host) = *place);
        for (host, place) in &socket.by_host {
            let other = index.intersecting(host).find(|other| *other != place);
            let verdict = other.and_then(|other| listeners.get(*other)).map(|other| {
                let message = format!(
                    "its hosts overlap with those of listener {:?} of {}; requests for hosts of \
                     another listener are answered with 421",
                    other.spec.name,
                    other.subject.named()
                );
                Verdict::new("OverlappingHostnames", message)
            });
            let Some((verdict, listener)) = verdict.zip(listeners.get_mut(*place)) else {
                continue;
            };
            if listener.overlaps.is_none() {
                let (field, message) = (&listener.field, verdict.message.as_str());
                context.findings.push(listener.subject.note(Code::Overlap, field, message));
                listener.overlaps = Some(verdict);
            }
        }
    }
}

const PORT_UNAVAILABLE: &str = "PortUnavailable";
