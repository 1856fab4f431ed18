//! What the CRDs of Gateway API v1.6 refuse although it can be served.
//!
//! A cluster would not take such an object: its schema limits lengths, and its rules in CEL refuse
//! what is ambiguous. Files are served as far as their meaning is clear, so these are warnings. What
//! cannot be served at all is an error of the file that compiles it, and is not said here again.

mod filter;
mod gateway;
mod policy;
mod route;

use super::Context;
use crate::compile::report::{Findings, Subject};
use crate::manifest::{Code, Kind};

/// Checks every object of the group.
pub(super) fn check(context: &mut Context<'_, '_, '_>) {
    let objects = context.objects;
    let findings = &mut *context.findings;
    for (key, stored) in &objects.gateway_classes {
        let subject = Subject::new(Kind::GatewayClass, key, stored);
        gateway::class(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.gateways {
        let subject = Subject::new(Kind::Gateway, key, stored);
        gateway::gateway(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.listener_sets {
        let subject = Subject::new(Kind::ListenerSet, key, stored);
        gateway::listeners(&stored.object.spec.listeners, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.http_routes {
        let subject = Subject::new(Kind::HttpRoute, key, stored);
        route::http(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.grpc_routes {
        let subject = Subject::new(Kind::GrpcRoute, key, stored);
        route::grpc(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.tls_routes {
        let subject = Subject::new(Kind::TlsRoute, key, stored);
        route::tls(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.tcp_routes {
        let subject = Subject::new(Kind::TcpRoute, key, stored);
        route::stream(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.udp_routes {
        let subject = Subject::new(Kind::UdpRoute, key, stored);
        route::stream(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.reference_grants {
        let subject = Subject::new(Kind::ReferenceGrant, key, stored);
        policy::grant(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.backend_tls_policies {
        let subject = Subject::new(Kind::BackendTlsPolicy, key, stored);
        policy::backend_tls(&stored.object.spec, &mut Checked { subject, findings });
    }
    for (key, stored) in &objects.backend_traffic_policies {
        let subject = Subject::new(Kind::BackendTrafficPolicy, key, stored);
        policy::traffic(&stored.object.spec, &mut Checked { subject, findings });
    }
}

/// The object that is checked.
struct Checked<'a, 'f> {
    subject: Subject<'a>,
    findings: &'f mut Findings,
}

impl Checked<'_, '_> {
    /// What a cluster does not take.
    fn warn(&mut self, field: &str, message: &str) {
        let message = format!("{message}; a cluster refuses this");
        self.findings.push(self.subject.warning(Code::BadValue, field, message));
    }

    /// What is not as its user expects.
    fn note(&mut self, field: &str, message: &str) {
        self.findings.push(self.subject.warning(Code::BadValue, field, message));
    }

    /// A list that is too long.
    fn at_most(&mut self, limit: usize, field: &str, length: usize) {
        if length > limit {
            let name = last(field);
            self.warn(field, &format!("{name} has {length} entries where at most {limit} may be"));
        }
    }

    /// A list that needs an entry.
    fn at_least_one(&mut self, field: &str, length: usize) {
        if length == 0 {
            self.warn(field, &format!("{} is empty or missing", last(field)));
        }
    }

    /// A value that is none of `known`.
    fn one_of(&mut self, known: &[&str], field: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.subject.one_of(self.findings, field, value, known);
        }
    }

    /// The first entry that is equal to an earlier one.
    fn distinct<T: PartialEq>(&mut self, entries: &[T], field: &str, part: &str, what: &str) {
        let is_known = |place: usize| {
            let entry = entries.get(place);
            entries.iter().take(place).any(|earlier| Some(earlier) == entry)
        };
        if let Some(place) = (0..entries.len()).find(|place| is_known(*place)) {
            self.warn(&format!("{field}[{place}]{part}"), what);
        }
    }
}

/// `hostnames` of `spec.hostnames`.
fn last(field: &str) -> &str {
    field.rsplit_once('.').map_or(field, |(_, last)| last)
}

/// The name of a section: a listener or a rule (DNS-1123 subdomain).
fn is_section_name(name: &str) -> bool {
    let of_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        let has_ends = !label.starts_with('-') && !label.ends_with('-');
        !label.is_empty() && has_ends && label.bytes().all(of_label)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The name of a header field (RFC 9110 5.1), as the CRDs have it for query parameters too.
fn is_field_name(name: &str) -> bool {
    let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(of_name)
}
