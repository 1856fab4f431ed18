//! `spec.ports`: numbers, names and protocols that make sense.

use std::sync::{Arc, LazyLock};

use crate::manifest::meta::IntOrString;
use crate::manifest::service::{ServicePort, ServiceSpec};
use crate::manifest::{Code, ObjectKey};
use crate::snapshot::{AppProtocol, BackendId, Transport};

use super::protocol::named;
use super::{CheckedService, Exposed};
use crate::compile::report::{Findings, Subject};

/// A Service port that can be served.
#[derive(Clone, Debug)]
pub(in crate::compile) struct CheckedPort {
    /// `spec.ports[0]`.
    pub(in crate::compile) field: Arc<str>,
    /// Empty where the only port has none; joins the ports of EndpointSlices.
    pub(in crate::compile) name: Arc<str>,
    pub(in crate::compile) number: u16,
    pub(in crate::compile) transport: Transport,
    pub(in crate::compile) app_protocol: AppProtocol,
    pub(in crate::compile) target: Target,
    /// The node port that it names.
    pub(in crate::compile) node_port: Option<u16>,
}

/// Which port of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Target {
    Number(u16),
    Name(Arc<str>),
}

impl CheckedPort {
    /// Whether each request to it is balanced by itself.
    pub(in crate::compile) fn is_by_request(&self, service: &CheckedService<'_>) -> bool {
        service.by_request && self.app_protocol == AppProtocol::H2c
    }

    /// Whether this is its name or number.
    pub(super) fn is_called(&self, name: &str) -> bool {
        *self.name == *name || name.parse() == Ok(self.number)
    }

    pub(in crate::compile) fn backend_id(&self, service: &ObjectKey) -> BackendId {
        let port =
            if self.name.is_empty() { self.number.to_string().into() } else { self.name.clone() };
        BackendId { service: service.clone(), port, transport: self.transport }
    }
}

pub(super) fn parse(
    spec: &ServiceSpec,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Vec<CheckedPort> {
    // The ports of an ExternalName Service mean nothing to a proxy.
    if exposed == Exposed::ExternalName {
        return Vec::new();
    }
    if spec.ports.is_empty() && exposed != Exposed::Headless {
        findings.push(subject.error(Code::BadValue, "spec.ports", "the Service has no port"));
    }
    let mut parser = Parser { exposed, is_one_of_several: spec.ports.len() > 1, subject, findings };
    let mut kept: Vec<CheckedPort> = Vec::with_capacity(spec.ports.len());
    for (place, written) in spec.ports.iter().enumerate() {
        let field = field_of(place);
        let Some(port) = parser.port(&field, written) else { continue };
        if let Some((part, message)) = kept.iter().find_map(|earlier| clash(earlier, &port)) {
            parser.refuse(&field, part, message);
        } else {
            kept.push(port);
        }
    }
    kept
}

/// `spec.ports[0]`; shared, because almost all ports are one of the first.
fn field_of(place: usize) -> Arc<str> {
    static FIRST: LazyLock<[Arc<str>; 8]> = LazyLock::new(|| std::array::from_fn(written));
    fn written(place: usize) -> Arc<str> {
        format!("spec.ports[{place}]").into()
    }
    FIRST.get(place).cloned().unwrap_or_else(|| written(place))
}

/// What two ports of one Service must not share.
fn clash(earlier: &CheckedPort, port: &CheckedPort) -> Option<(&'static str, String)> {
    if earlier.name == port.name {
        return Some(("name", format!("the name {:?} is taken by {}", port.name, earlier.field)));
    }
    let same = (earlier.number, earlier.transport) == (port.number, port.transport);
    same.then(|| ("port", format!("port {} is taken by {}", port.number, earlier.field)))
}

struct Parser<'a, 'b> {
    exposed: Exposed,
    is_one_of_several: bool,
    subject: Subject<'a>,
    findings: &'b mut Findings,
}

impl Parser<'_, '_> {
    fn port(&mut self, field: &Arc<str>, written: &ServicePort) -> Option<CheckedPort> {
        let number = self.number(field, "port", written.port)?;
        let transport = self.transport(field, written)?;
        let name = self.name(field, written)?;
        Some(CheckedPort {
            field: field.clone(),
            name,
            number,
            transport,
            app_protocol: named(written.app_protocol.as_deref().unwrap_or_default())
                .unwrap_or_default(),
            target: self.target(field, written, number)?,
            node_port: self.node_port(field, written),
        })
    }

    fn refuse(&mut self, field: &str, part: &str, message: impl Into<String>) {
        let field = format!("{field}.{part}");
        self.findings.push(self.subject.error(Code::BadValue, &field, message));
    }

    fn number(&mut self, field: &str, part: &str, written: i64) -> Option<u16> {
        let number = u16::try_from(written).ok().filter(|number| *number > 0);
        if number.is_none() {
            self.refuse(field, part, format!("{written} is no port: 1 to 65535"));
        }
        number
    }

    fn transport(&mut self, field: &str, written: &ServicePort) -> Option<Transport> {
        let protocol = written.protocol.as_deref().unwrap_or("TCP");
        let field = || format!("{field}.protocol");
        match protocol {
            "TCP" => Some(Transport::Tcp),
            "UDP" => Some(Transport::Udp),
            "SCTP" => {
                let message = "SCTP is not carried; the port is left out";
                self.findings.push(self.subject.warning(Code::NotCarried, &field(), message));
                None
            }
            _ => {
                self.subject.one_of(self.findings, &field(), protocol, &["TCP", "UDP", "SCTP"]);
                None
            }
        }
    }

    fn name(&mut self, field: &str, written: &ServicePort) -> Option<Arc<str>> {
        let name = written.name.clone().unwrap_or_default();
        if name.is_empty() && self.is_one_of_several {
            self.refuse(field, "name", "each of several ports needs a name");
            return None;
        }
        let is_label =
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !name.starts_with('-')
                && !name.ends_with('-')
                && name.len() <= 63;
        if !is_label {
            let rule = "lower-case letters, digits and `-`, at most 63";
            self.refuse(field, "name", format!("{name:?} is no name of a port: {rule}"));
            return None;
        }
        Some(name)
    }

    fn target(&mut self, field: &str, written: &ServicePort, number: u16) -> Option<Target> {
        match &written.target_port {
            None => Some(Target::Number(number)),
            // The API server's default for what is left away in Go.
            Some(IntOrString::Int(0)) => Some(Target::Number(number)),
            Some(IntOrString::Int(target)) => {
                self.number(field, "targetPort", *target).map(Target::Number)
            }
            Some(IntOrString::String(name)) if name.is_empty() => Some(Target::Number(number)),
            Some(IntOrString::String(name)) if is_iana_name(name) => {
                Some(Target::Name(name.clone()))
            }
            Some(IntOrString::String(name)) => {
                self.refuse(
                    field,
                    "targetPort",
                    format!("{name:?} is neither a port nor the name of one"),
                );
                None
            }
        }
    }

    fn node_port(&mut self, field: &str, written: &ServicePort) -> Option<u16> {
        let number = written.node_port.filter(|number| *number != 0)?;
        if self.exposed < Exposed::NodePort {
            self.refuse(
                field,
                "nodePort",
                "only Services of type NodePort and LoadBalancer have node ports",
            );
            return None;
        }
        let port = self.number(field, "nodePort", number)?;
        if !(30_000..=32_767).contains(&port) {
            let message =
                format!("{port} is outside of 30000-32767, which clusters take by default");
            let field = format!("{field}.nodePort");
            self.findings.push(self.subject.warning(Code::BadValue, &field, message));
        }
        Some(port)
    }
}

/// A service name of IANA (RFC 6335 section 5.1), as the API server checks named target ports.
fn is_iana_name(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= 15
        && name.bytes().all(is_allowed)
        && name.bytes().any(|b| b.is_ascii_lowercase())
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}
