//! Listeners of Gateways and ListenerSets, checked one by one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::allowed::allowed_kinds;
use super::gateways::OwnGateway;
use super::hosts::HostIndex;
use super::listener_sets::OwnListenerSet;
use super::{Context, Owner, Verdict};
use crate::compile::ingress;
use crate::compile::report::Subject;
use crate::manifest::gateway::Listener;
use crate::manifest::{Code, Kind, ObjectRef};
use crate::snapshot::{Certificate, ClientAuth, Frontend, HostMatch, Rule, Transport};

/// A listener, and what becomes of it on the way through the compiler.
#[derive(Debug)]
pub(super) struct OwnListener<'a> {
    pub(super) owner: Owner,
    /// The Gateway that opens it.
    pub(super) gateway: usize,
    pub(super) spec: &'a Listener,
    pub(super) subject: Subject<'a>,
    /// `spec.listeners[0]`.
    pub(super) field: String,
    pub(super) port: u16,
    /// `None`: not one that is carried.
    pub(super) protocol: Option<Protocol>,
    pub(super) host: HostMatch,
    /// Which kinds of routes may attach.
    pub(super) kinds: Vec<Kind>,
    /// Why it is not accepted.
    pub(super) refused: Option<Verdict>,
    /// Whether that is because another one has what it claims.
    pub(super) is_conflicted: bool,
    /// Which reference of it leads nowhere.
    pub(super) unresolved: Option<Verdict>,
    /// Why it cannot be served although it is accepted.
    pub(super) unusable: Option<Verdict>,
    /// Another listener of the port takes a part of its hosts.
    pub(super) overlaps: Option<Verdict>,
    pub(super) certificates: Vec<Arc<Certificate>>,
    pub(super) client_auth: Option<Arc<ClientAuth>>,
    /// How many routes have attached.
    pub(super) attached: usize,
    /// The oldest route of each host, by the kind of route.
    pub(super) held: BTreeMap<Kind, HostIndex<Option<(HostMatch, ObjectRef)>>>,
    /// Of HTTPRoutes and GRPCRoutes.
    pub(super) rules: Vec<Arc<Rule>>,
    /// Of TLSRoutes, TCPRoutes, UDPRoutes.
    pub(super) ways: Vec<(HostMatch, Arc<Frontend>)>,
}

impl OwnListener<'_> {
    /// Whether routes may attach.
    pub(super) fn is_accepted(&self) -> bool {
        self.refused.is_none()
    }

    /// Whether it is served.
    pub(super) fn is_programmed(&self) -> bool {
        self.is_accepted() && self.unusable.is_none()
    }

    /// Gives a host to a route. `false`: an older one of that kind has it.
    pub(super) fn hold(&mut self, host: &HostMatch, route: &ObjectRef) -> bool {
        let holder = self.held.entry(route.kind).or_default().entry(host);
        let is_free = holder.is_none();
        holder.get_or_insert_with(|| (host.clone(), route.clone()));
        is_free
    }

    /// A route of another kind that has a part of these hosts, and which part.
    pub(super) fn holder_of_other_kind(
        &self,
        kind: Kind,
        hosts: &[HostMatch],
    ) -> Option<&(HostMatch, ObjectRef)> {
        let others = self.held.iter().filter(|(known, _)| **known != kind);
        let mut others = others.flat_map(|(_, index)| {
            hosts.iter().filter_map(|host| index.intersecting(host).flatten().next())
        });
        others.next()
    }
}

/// The places of the listeners of each Gateway and ListenerSet, in their order.
pub(super) fn by_owner(listeners: &[OwnListener<'_>]) -> BTreeMap<Owner, Vec<usize>> {
    let mut places: BTreeMap<Owner, Vec<usize>> = BTreeMap::new();
    for (place, listener) in listeners.iter().enumerate() {
        places.entry(listener.owner).or_default().push(place);
    }
    places
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Https,
    TlsPassthrough,
    TlsTerminate,
    Tcp,
    Udp,
}

/// What can share a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Http,
    Tls,
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) fn transport(self) -> Transport {
        if self == Self::Udp { Transport::Udp } else { Transport::Tcp }
    }

    pub(super) fn class(self) -> Class {
        match self {
            Self::Http => Class::Http,
            Self::Https | Self::TlsPassthrough | Self::TlsTerminate => Class::Tls,
            Self::Tcp => Class::Tcp,
            Self::Udp => Class::Udp,
        }
    }

    /// Whether connections are told apart by host.
    fn has_hosts(self) -> bool {
        matches!(self.class(), Class::Http | Class::Tls)
    }

    /// Which routes it can carry.
    pub(super) fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Http | Self::Https => &[Kind::HttpRoute, Kind::GrpcRoute],
            Self::TlsPassthrough | Self::TlsTerminate => &[Kind::TlsRoute],
            Self::Tcp => &[Kind::TcpRoute],
            Self::Udp => &[Kind::UdpRoute],
        }
    }
}

/// The listeners of every accepted Gateway, its own first, then those of its ListenerSets.
pub(super) fn collect<'a>(
    gateways: &[OwnGateway<'a>],
    sets: &[OwnListenerSet<'a>],
    context: &mut Context<'a, '_, '_>,
) -> Vec<OwnListener<'a>> {
    let mut all = Vec::new();
    let mut sets_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, set) in sets.iter().enumerate() {
        sets_of.entry(set.gateway).or_default().push(at);
    }
    for (place, gateway) in gateways.iter().enumerate() {
        let mut reader = Reader { gateway: place, refused: gateway.refused.clone(), context };
        let listeners = &gateway.spec().listeners;
        if listeners.is_empty() {
            let finding = gateway.subject().warning(
                Code::BadValue,
                "spec.listeners",
                "the Gateway has no listener",
            );
            reader.context.findings.push(finding);
        }
        all.extend(reader.read(Owner::Gateway(place), listeners, gateway.subject()));
        for at in sets_of.remove(&place).unwrap_or_default() {
            let Some(set) = sets.get(at) else { continue };
            reader.refused = set.refused.clone();
            all.extend(reader.read(Owner::Set(at), &set.spec().listeners, set.subject()));
        }
    }
    all
}

struct Reader<'a, 'b, 'c, 'd> {
    gateway: usize,
    /// Why nothing of the owner is served.
    refused: Option<Verdict>,
    context: &'d mut Context<'a, 'b, 'c>,
}

impl<'a> Reader<'a, '_, '_, '_> {
    fn read(
        &mut self,
        owner: Owner,
        listeners: &'a [Listener],
        subject: Subject<'a>,
    ) -> Vec<OwnListener<'a>> {
        let mut read: Vec<OwnListener<'a>> = Vec::with_capacity(listeners.len());
        for (place, spec) in listeners.iter().enumerate() {
            let field = format!("spec.listeners[{place}]");
            if read.iter().any(|it| it.spec.name == spec.name) {
                let message = format!("the name {:?} is taken by another listener", spec.name);
                let field = format!("{field}.name");
                self.context.findings.push(subject.error(Code::BadValue, &field, message));
                continue;
            }
            read.push(self.listener(owner, spec, subject, field));
        }
        read
    }

    fn listener(
        &mut self,
        owner: Owner,
        spec: &'a Listener,
        subject: Subject<'a>,
        field: String,
    ) -> OwnListener<'a> {
        let mut listener = OwnListener {
            owner,
            gateway: self.gateway,
            spec,
            subject,
            field,
            port: u16::try_from(spec.port).unwrap_or_default(),
            protocol: None,
            host: HostMatch::Any,
            kinds: Vec::new(),
            refused: self.refused.clone(),
            is_conflicted: false,
            unresolved: None,
            unusable: None,
            overlaps: None,
            certificates: Vec::new(),
            client_auth: None,
            attached: 0,
            held: BTreeMap::new(),
            rules: Vec::new(),
            ways: Vec::new(),
        };
        match Self::protocol(&listener) {
            Ok(protocol) => {
                listener.protocol = Some(protocol);
                self.host(&mut listener, protocol);
                allowed_kinds(&mut listener, protocol, self.context);
            }
            Err((field, verdict)) => self.refuse(&mut listener, &field, verdict),
        }
        if listener.port == 0 {
            let message = format!("{} is no port: 1 to 65535", spec.port);
            self.refuse(&mut listener, ".port", Verdict::new("PortUnavailable", message));
        }
        listener
    }

    fn refuse(&mut self, listener: &mut OwnListener<'_>, part: &str, verdict: Verdict) {
        let field = format!("{}{part}", listener.field);
        let finding = listener.subject.error(Code::BadValue, &field, verdict.message.as_str());
        self.context.findings.push(finding);
        listener.refused.get_or_insert(verdict);
    }

    /// What it speaks; the rules of the CRD about `tls`.
    fn protocol(listener: &OwnListener<'_>) -> Result<Protocol, (String, Verdict)> {
        let spec = listener.spec;
        let mode = spec.tls.as_ref().and_then(|tls| tls.mode.as_deref()).unwrap_or("Terminate");
        let unsupported = |part: &str, message: String| {
            Err((part.to_owned(), Verdict::new("UnsupportedValue", message)))
        };
        let protocol = match (&*spec.protocol, mode) {
            ("HTTP", _) => Protocol::Http,
            ("HTTPS", "Terminate") => Protocol::Https,
            ("TLS", "Terminate") => Protocol::TlsTerminate,
            ("TLS", "Passthrough") => Protocol::TlsPassthrough,
            ("TCP", _) => Protocol::Tcp,
            ("UDP", _) => Protocol::Udp,
            ("HTTPS" | "TLS", mode) => {
                let message = format!("the TLS mode of {} cannot be {mode:?}", spec.protocol);
                return unsupported(".tls.mode", message);
            }
            (protocol, _) => {
                let known = ["HTTP", "HTTPS", "TLS", "TCP", "UDP"];
                let message = format!("{protocol:?} is none of {}", known.join(", "));
                let verdict = Verdict::new("UnsupportedProtocol", message);
                return Err((".protocol".to_owned(), verdict));
            }
        };
        match (protocol.class() == Class::Tls, &spec.tls) {
            (true, None) => {
                unsupported("", format!("a listener of protocol {} needs tls", spec.protocol))
            }
            (false, Some(_)) => {
                unsupported(".tls", format!("protocol {} has no TLS", spec.protocol))
            }
            _ => Ok(protocol),
        }
    }

    fn host(&mut self, listener: &mut OwnListener<'_>, protocol: Protocol) {
        let written = listener.spec.hostname.as_deref().unwrap_or_default();
        if !protocol.has_hosts() && !written.is_empty() {
            let message = format!("protocol {} knows no hosts", listener.spec.protocol);
            self.refuse(listener, ".hostname", Verdict::new("UnsupportedValue", message));
            return;
        }
        match host(written) {
            Ok(host) => listener.host = host,
            Err(refused) => {
                let field = format!("{}.hostname", listener.field);
                let finding = refused.finding(listener.subject, &field);
                let verdict = Verdict::new("UnsupportedValue", finding.message.as_str());
                self.context.findings.push(finding);
                listener.refused.get_or_insert(verdict);
            }
        }
    }
}

/// A hostname of the Gateway API: `*.` stands for one label or several.
pub(super) fn host(written: &str) -> Result<HostMatch, ingress::Refused> {
    Ok(match ingress::host(written)? {
        HostMatch::Wildcard(suffix) => HostMatch::Suffix(suffix),
        host @ (HostMatch::Exact(_) | HostMatch::Suffix(_) | HostMatch::Any) => host,
    })
}
