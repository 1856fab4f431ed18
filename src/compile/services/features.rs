//! Fields that say something about a Service as a whole: bad values, and what is not honoured.

use ipnet::IpNet;

use crate::manifest::Code;
use crate::manifest::service::{Service, ServiceSpec};

use super::Exposed;
use crate::compile::address::parse_ip;
use crate::compile::report::{Findings, Subject};

pub(super) fn check(
    service: &Service,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    let spec = &service.spec;
    check_values(spec, subject, findings);
    check_external_name(spec, exposed, subject, findings);
    check_addresses(spec, subject, findings);
    if exposed >= Exposed::ClusterIp {
        report_not_carried(service, exposed, subject, findings);
    }
}

fn check_values(spec: &ServiceSpec, subject: Subject<'_>, findings: &mut Findings) {
    let policies = &["Cluster", "Local"];
    let distributions = &["PreferClose", "PreferSameZone", "PreferSameNode"];
    let rows: [(&str, _, &[&str]); 4] = [
        ("spec.sessionAffinity", &spec.session_affinity, &["None", "ClientIP"]),
        ("spec.externalTrafficPolicy", &spec.external_traffic_policy, policies),
        ("spec.internalTrafficPolicy", &spec.internal_traffic_policy, policies),
        ("spec.trafficDistribution", &spec.traffic_distribution, distributions),
    ];
    for (field, value, allowed) in rows {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            subject.one_of(findings, field, value, allowed);
        }
    }
}

fn check_external_name(
    spec: &ServiceSpec,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    if exposed != Exposed::ExternalName {
        return;
    }
    let field = "spec.externalName";
    match spec.external_name.as_deref().filter(|name| !name.is_empty()) {
        None => findings.push(subject.error(Code::BadValue, field, "the external name is missing")),
        Some(name) if parse_ip(name.trim_end_matches('.')).is_some() => {
            let message = format!("{name} is an address, not a name, and gives no record");
            let help = "leave the selector away and write an EndpointSlice with this address";
            findings.push(subject.error(Code::BadValue, field, message).help(help));
        }
        Some(_) => {}
    }
}

fn check_addresses(spec: &ServiceSpec, subject: Subject<'_>, findings: &mut Findings) {
    for (place, written) in spec.external_ips.iter().enumerate() {
        if parse_ip(written).is_none() {
            let field = format!("spec.externalIPs[{place}]");
            let message = format!("{written:?} is no IP address");
            findings.push(subject.error(Code::BadValue, &field, message));
        }
    }
    for (place, written) in spec.load_balancer_source_ranges.iter().enumerate() {
        if written.trim().parse::<IpNet>().is_err() {
            let field = format!("spec.loadBalancerSourceRanges[{place}]");
            let message = format!("{written:?} is no CIDR");
            findings.push(subject.error(Code::BadValue, &field, message));
        }
    }
    if let Some(written) = spec.load_balancer_ip.as_deref().filter(|ip| !ip.is_empty())
        && parse_ip(written).is_none()
    {
        let message = format!("{written:?} is no IP address");
        findings.push(subject.error(Code::BadValue, "spec.loadBalancerIP", message));
    }
}

/// What rutter does not honour yet. Each changes who gets which traffic, so each is said aloud;
/// `loadBalancerSourceRanges` most of all, since without them everyone gets in.
fn report_not_carried(
    service: &Service,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    let spec = &service.spec;
    let is = |value: &Option<_>, wanted: &str| {
        value.as_ref().is_some_and(|value: &std::sync::Arc<str>| **value == *wanted)
    };
    let is_outside = exposed >= Exposed::NodePort || !spec.external_ips.is_empty();
    let topology = service.metadata.annotation("service.kubernetes.io/topology-mode");
    let rows = [
        (
            is_outside && is(&spec.external_traffic_policy, "Local"),
            "spec.externalTrafficPolicy",
            "externalTrafficPolicy Local is not honoured: endpoints of every node are used",
        ),
        (
            is(&spec.internal_traffic_policy, "Local"),
            "spec.internalTrafficPolicy",
            "internalTrafficPolicy Local is not honoured: endpoints of every node are used",
        ),
        (
            exposed == Exposed::LoadBalancer && !spec.load_balancer_source_ranges.is_empty(),
            "spec.loadBalancerSourceRanges",
            "loadBalancerSourceRanges are not honoured: every client is let in",
        ),
    ];
    for (_, field, message) in rows.into_iter().filter(|(applies, ..)| *applies) {
        findings.push(subject.warning(Code::NotCarried, field, message));
    }
    let wishes = [
        (spec.traffic_distribution.is_some(), "spec.trafficDistribution"),
        (topology.is_some_and(|mode| mode.eq_ignore_ascii_case("auto")), "metadata.annotations"),
    ];
    for (_, field) in wishes.into_iter().filter(|(applies, _)| *applies) {
        let message = "topology is not honoured: endpoints of every zone and node are used";
        findings.push(subject.note(Code::NotCarried, field, message));
    }
}
