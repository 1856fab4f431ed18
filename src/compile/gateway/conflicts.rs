//! Listeners that claim the same: the first by precedence keeps it.
//!
//! On one address and port there can be HTTP, or TLS (HTTPS beside what is not looked into), or
//! one TCP or UDP listener; HTTP and TLS listeners are told apart by host. Gateways that share
//! an address (the wildcard) share its ports too.

use std::collections::BTreeMap;

use super::gateways::OwnGateway;
use super::listener::{Class, OwnListener};
use super::{Context, Verdict, socket_keys};
use crate::manifest::{Code, Finding};
use crate::snapshot::{HostMatch, SocketKey};

/// Who has a socket.
#[derive(Debug, Default)]
struct Socket {
    /// By place; empty where Ingress alone listens.
    listeners: Vec<usize>,
    class: Option<Class>,
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
            socket.listeners.push(place);
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
    let others = socket.listeners.iter().filter_map(|place| listeners.get(*place));
    if socket.class.is_some_and(|taken| taken != class) {
        let first = others.clone().next();
        return Some(conflict(key, listener, first, "ProtocolConflict", ".protocol"));
    }
    let is_shared = matches!(class, Class::Http | Class::Tls);
    let same = others.clone().find(|other| !is_shared || other.host == listener.host)?;
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
        for place in &socket.listeners {
            let Some(listener) = listeners.get(*place) else { continue };
            let others = socket.listeners.iter().filter(|other| *other != place);
            let mut others = others.filter_map(|other| listeners.get(*other));
            let found = others.find(|other| intersects(&other.host, &listener.host));
            let verdict = found.map(|other| {
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

/// Whether some host is in both.
pub(super) fn intersects(one: &HostMatch, other: &HostMatch) -> bool {
    intersection(one, other).is_some()
}

/// The hosts that are in both (Gateway API, `HTTPRoute.spec.hostnames`).
pub(super) fn intersection(one: &HostMatch, other: &HostMatch) -> Option<HostMatch> {
    match (one, other) {
        (HostMatch::Any, host) | (host, HostMatch::Any) => Some(host.clone()),
        (HostMatch::Exact(host), any) if any.takes(host) => Some(one.clone()),
        (any, HostMatch::Exact(host)) if any.takes(host) => Some(other.clone()),
        (HostMatch::Exact(_), _) | (_, HostMatch::Exact(_)) => None,
        (
            HostMatch::Suffix(a) | HostMatch::Wildcard(a),
            HostMatch::Suffix(b) | HostMatch::Wildcard(b),
        ) => {
            let is_below = |below: &str, suffix: &str| {
                below == suffix || below.strip_suffix(suffix).is_some_and(|it| it.ends_with('.'))
            };
            match (is_below(a, b), is_below(b, a)) {
                (true, _) => Some(one.clone()),
                (_, true) => Some(other.clone()),
                _ => None,
            }
        }
    }
}

const PORT_UNAVAILABLE: &str = "PortUnavailable";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::gateway::listener::host;

    #[test]
    fn hosts_intersect_as_the_gateway_api_table_says() {
        let rows = [
            ("", "", Some("")),
            ("", "a.example.com", Some("a.example.com")),
            ("a.example.com", "a.example.com", Some("a.example.com")),
            ("a.example.com", "b.example.com", None),
            ("*.example.com", "a.example.com", Some("a.example.com")),
            ("*.example.com", "a.b.example.com", Some("a.b.example.com")),
            ("*.example.com", "example.com", None),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            ("*.example.com", "*.b.example.com", Some("*.b.example.com")),
            ("*.example.com", "*.example.net", None),
            ("*.example.com", "*.anexample.com", None),
            ("*.com", "*", None),
        ];
        for (one, other, expected) in rows {
            let (Ok(one), Ok(other)) = (host(one), host(other)) else {
                assert_eq!(expected, None);
                continue;
            };
            let expected = expected.map(|text| host(text).expect("a host"));
            assert_eq!(intersection(&one, &other), expected, "{one} {other}");
            assert_eq!(intersection(&other, &one), expected, "{other} {one}");
        }
    }
}
