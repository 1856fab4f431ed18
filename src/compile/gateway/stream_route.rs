//! TLSRoute, TCPRoute, UDPRoute → frontends.
//!
//! A TCP or UDP listener has one way: that of its oldest route. A TLS listener has one for each
//! host, again that of the oldest route.

use std::sync::Arc;

use super::attach::merged;
use super::http_route::Compiled;
use super::listener::{OwnListener, Protocol};
use super::routes::{Compiler, by_age};
use super::targets::{Carried, share_with_client};
use crate::compile::report::Subject;
use crate::manifest::gateway::TlsRouteSpec;
use crate::manifest::{Code, Kind, Metadata};
use crate::snapshot::{Exposure, Frontend, Transport, WeightedBackend};

/// Attaches and compiles them.
pub(super) fn compile<'a>(
    compiler: &mut Compiler<'a, '_, '_, '_>,
    listeners: &mut [OwnListener<'a>],
) {
    let objects = compiler.context.objects;
    for (key, stored) in by_age(objects.tls_routes.iter(), |it| &it.metadata) {
        let subject = Subject::new(Kind::TlsRoute, key, stored);
        let route = (&stored.object.metadata, &stored.object.spec);
        add(compiler, Kind::TlsRoute, subject, route, listeners);
    }
    for (key, stored) in by_age(objects.tcp_routes.iter(), |it| &it.metadata) {
        let subject = Subject::new(Kind::TcpRoute, key, stored);
        let route = (&stored.object.metadata, &stored.object.spec);
        add(compiler, Kind::TcpRoute, subject, route, listeners);
    }
    for (key, stored) in by_age(objects.udp_routes.iter(), |it| &it.metadata) {
        let subject = Subject::new(Kind::UdpRoute, key, stored);
        let route = (&stored.object.metadata, &stored.object.spec);
        add(compiler, Kind::UdpRoute, subject, route, listeners);
    }
}

fn add<'a>(
    compiler: &mut Compiler<'a, '_, '_, '_>,
    kind: Kind,
    subject: Subject<'a>,
    (metadata, spec): (&'a Metadata, &'a TlsRouteSpec),
    listeners: &mut [OwnListener<'a>],
) {
    check(compiler, kind, subject, spec);
    let hostnames = if kind == Kind::TlsRoute { spec.hostnames.as_slice() } else { &[] };
    let parents = compiler.attach(kind, subject, &spec.parent_refs, hostnames, listeners);
    if parents.is_empty() {
        return;
    }
    let attachments = merged(&parents);
    // TLS towards backends is for what is decrypted here; findings are the same either way
    let raw = Carried::Raw(if kind == Kind::UdpRoute { Transport::Udp } else { Transport::Tcp });
    let shares = shares(compiler, raw, kind, subject, spec);
    let ends_here = |it: &OwnListener<'_>| it.protocol == Some(Protocol::TlsTerminate);
    let mut attached = attachments.iter().filter_map(|it| listeners.get(it.listener));
    let decrypted = attached.any(ends_here).then(|| {
        let known = compiler.context.findings.len();
        let shares = self::shares(compiler, Carried::TlsTerminated, kind, subject, spec);
        compiler.context.findings.truncate(known);
        shares
    });
    for attachment in &attachments {
        let Some(listener) = listeners.get_mut(attachment.listener) else { continue };
        listener.attached += 1;
        let of_listener = if ends_here(listener) { decrypted.as_ref() } else { None };
        let mut shares = of_listener.unwrap_or(&shares).clone();
        let client = compiler.gateways.get(listener.gateway);
        let client = client.and_then(|it| it.client_certificate.as_ref()?.as_ref().ok());
        if let Some(client) = client {
            shares.iter_mut().for_each(|share| share_with_client(share, client));
        }
        let frontend = Arc::new(Frontend {
            owner: subject.reference(),
            exposure: Exposure::Gateway,
            origin: subject.origin().clone(),
            shares,
            policy: Arc::default(),
        });
        for host in &attachment.hosts {
            if listener.hold(host, &frontend.owner) {
                listener.ways.push((host.clone(), frontend.clone()));
            }
        }
    }
    let compiled = Compiled::default();
    compiler.conclude(subject, metadata, parents, &attachments, listeners, &compiled);
}

/// Rules of the CRD.
fn check(
    compiler: &mut Compiler<'_, '_, '_, '_>,
    kind: Kind,
    subject: Subject<'_>,
    spec: &TlsRouteSpec,
) {
    let message = match spec.rules.len() {
        0 => "the route has no rule: connections are refused",
        1 => return check_hosts(compiler, kind, subject, spec),
        _ => "the route has several rules: only the first is served",
    };
    compiler.context.findings.push(subject.error(Code::BadValue, "spec.rules", message));
}

fn check_hosts(
    compiler: &mut Compiler<'_, '_, '_, '_>,
    kind: Kind,
    subject: Subject<'_>,
    spec: &TlsRouteSpec,
) {
    if kind != Kind::TlsRoute && !spec.hostnames.is_empty() {
        let message = format!("a {kind} has no hostnames: connections are told apart by port");
        compiler.context.findings.push(subject.error(
            Code::UnknownField,
            "spec.hostnames",
            message,
        ));
    }
}

fn shares<'a>(
    compiler: &mut Compiler<'a, '_, '_, '_>,
    carried: Carried,
    kind: Kind,
    subject: Subject<'a>,
    spec: &TlsRouteSpec,
) -> Vec<WeightedBackend> {
    let Some(rule) = spec.rules.first() else { return Vec::new() };
    let field = "spec.rules[0]";
    let refs = &rule.backend_refs;
    compiler.targets.shares(refs, carried, kind, subject, field, compiler.context)
}
