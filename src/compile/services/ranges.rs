//! The annotation by which a Service has whole ranges of ports at its addresses.

use std::sync::Arc;

use crate::manifest::service::Service;
use crate::manifest::{Code, ObjectKey};
use crate::snapshot::{BackendId, Transport};

use super::{CheckedPort, Exposed};
use crate::compile::report::{Findings, Subject};

/// Ports that lead to the same ports of the endpoints, beside those of `spec.ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::compile) struct PortRange {
    pub(in crate::compile) transport: Transport,
    pub(in crate::compile) first: u16,
    pub(in crate::compile) last: u16,
}

impl PortRange {
    /// Every port of it that the Service has not given to something else.
    pub(in crate::compile) fn ports<'a>(
        &self,
        named: &'a [CheckedPort],
    ) -> impl Iterator<Item = u16> + use<'a> {
        let transport = self.transport;
        let is_named = move |number: &u16| {
            named.iter().any(|it| (it.number, it.transport) == (*number, transport))
        };
        (self.first..=self.last).filter(move |number| !is_named(number))
    }

    pub(in crate::compile) fn backend_id(&self, service: &ObjectKey) -> BackendId {
        let port = match self.first == self.last {
            true => self.first.to_string(),
            false => format!("{}-{}", self.first, self.last),
        };
        BackendId { service: service.clone(), port: port.into(), transport: self.transport }
    }

    /// Where it is written.
    pub(in crate::compile) fn field() -> Arc<str> {
        format!("metadata.annotations.{ANNOTATION}").into()
    }
}

/// `rutter.dev/port-ranges: tcp:30000-30100, udp:5060, udp:all`. What makes no sense is a finding,
/// and the rest is served. Node ports are none of it: those of all Services share one range.
pub(super) fn parse(
    service: &Service,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Vec<PortRange> {
    let Some(written) = service.metadata.annotation(ANNOTATION) else { return Vec::new() };
    let field = PortRange::field();
    if exposed < Exposed::ClusterIp {
        let message = "the Service has no address of its own that could have ports";
        findings.push(subject.warning(Code::NotCarried, &field, message));
        return Vec::new();
    }
    let mut ranges: Vec<PortRange> = Vec::new();
    for item in written.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let wrong = match range(item) {
            None => format!("{item:?} is no range of ports"),
            Some(range) => match ranges.iter().find(|other| overlap(other, &range)) {
                Some(_) => format!("{item:?} overlaps with another range"),
                None => {
                    ranges.push(range);
                    continue;
                }
            },
        };
        let help = "ranges are like tcp:30000-30100, udp:5060 or udp:all, with commas between them";
        findings.push(subject.error(Code::BadValue, &field, wrong).help(help));
    }
    ranges
}

fn range(item: &str) -> Option<PortRange> {
    let (protocol, ports) = item.split_once(':')?;
    let transport = match protocol.trim().to_ascii_lowercase().as_str() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return None,
    };
    let ports = ports.trim();
    let (first, last) = match ports.split_once('-') {
        _ if ports == "all" => (1, u16::MAX),
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(ports)?, port(ports)?),
    };
    (first <= last).then_some(PortRange { transport, first, last })
}

fn port(text: &str) -> Option<u16> {
    text.trim().parse().ok().filter(|number| *number > 0)
}

fn overlap(one: &PortRange, other: &PortRange) -> bool {
    one.transport == other.transport && one.first <= other.last && other.first <= one.last
}

const ANNOTATION: &str = "rutter.dev/port-ranges";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_protocol_and_ports() {
        let row = |text: &str| range(text).map(|it| (it.transport, it.first, it.last));
        for (text, expected) in [
            ("tcp:30000-30100", Some((Transport::Tcp, 30_000, 30_100))),
            ("UDP: 5060", Some((Transport::Udp, 5060, 5060))),
            ("udp:all", Some((Transport::Udp, 1, 65_535))),
            ("tcp:7-7", Some((Transport::Tcp, 7, 7))),
            ("tcp:8-7", None),
            ("tcp:0-7", None),
            ("tcp:1-65536", None),
            ("sctp:1-7", None),
            ("30000-30100", None),
            ("tcp:", None),
        ] {
            assert_eq!(row(text), expected, "{text}");
        }
    }
}
