//! Fields that say something about a Service as a whole: bad values, and what is not honoured.

use ipnet::IpNet;

use crate::manifest::Code;
use crate::manifest::service::{Service, ServiceSpec};

use super::Exposed;
use crate::compile::address::parse_ip;
use crate::compile::report::{Findings, Subject};
use crate::compile::settings::Settings;

pub(super) fn check(
    service: &Service,
    exposed: Exposed,
    settings: &Settings,
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    let spec = &service.spec;
    check_values(spec, subject, findings);
    check_external_name(spec, exposed, subject, findings);
    check_addresses(spec, subject, findings);
    if exposed >= Exposed::ClusterIp {
        check_health_port(spec, exposed, subject, findings);
        report_not_carried(service, settings, subject, findings);
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

/// A port for health checks where nobody checks, as the API server refuses it.
fn check_health_port(
    spec: &ServiceSpec,
    exposed: Exposed,
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    let Some(written) = spec.health_check_node_port.filter(|port| *port != 0) else { return };
    let field = "spec.healthCheckNodePort";
    if u16::try_from(written).is_err() {
        let message = format!("{written} is no port: 1 to 65535");
        findings.push(subject.error(Code::BadValue, field, message));
    } else if exposed != Exposed::LoadBalancer
        || spec.external_traffic_policy.as_deref() != Some("Local")
    {
        let message = "only LoadBalancers with externalTrafficPolicy Local are checked for health";
        findings.push(subject.error(Code::BadValue, field, message));
    }
}

/// What rutter does not honour. Each changes who gets which traffic, so each is said aloud.
fn report_not_carried(
    service: &Service,
    settings: &Settings,
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    let spec = &service.spec;
    if !settings.external_ips && !spec.external_ips.is_empty() {
        let message = "external addresses are switched off (--external-ips)";
        findings.push(subject.warning(Code::NotCarried, "spec.externalIPs", message));
    }
    let topology = service.metadata.annotation("service.kubernetes.io/topology-mode");
    let is_automatic = topology.is_some_and(|mode| mode.eq_ignore_ascii_case("auto"));
    if is_automatic && !spec.selector.is_empty() {
        let message = "Pods get no hints by this annotation; those of EndpointSlices are honoured";
        let help = "say spec.trafficDistribution: PreferSameZone instead";
        let finding = subject.note(Code::NotCarried, "metadata.annotations", message);
        findings.push(finding.help(help));
    }
}
