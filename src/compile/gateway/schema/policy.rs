//! Grants and policies.

use std::time::Duration;

use super::super::duration;
use super::{Checked, filter, is_section_name};
use crate::manifest::gateway::{
    BackendTlsPolicySpec, BackendTrafficPolicySpec, ReferenceGrantSpec, SubjectAltName,
};

pub(super) fn grant(spec: &ReferenceGrantSpec, checked: &mut Checked<'_, '_>) {
    for (field, length) in [("spec.from", spec.from.len()), ("spec.to", spec.to.len())] {
        checked.at_least_one(field, length);
        checked.at_most(16, field, length);
    }
    for (place, from) in spec.from.iter().enumerate() {
        let field = format!("spec.from[{place}]");
        if from.kind.is_empty() || from.namespace.is_empty() {
            checked.warn(&field, "kind and namespace are needed: this grants nothing");
        }
    }
    for (place, _) in spec.to.iter().enumerate().filter(|(_, to)| to.kind.is_empty()) {
        checked.warn(&format!("spec.to[{place}]"), "the kind is needed: this grants nothing");
    }
}

pub(super) fn backend_tls(spec: &BackendTlsPolicySpec, checked: &mut Checked<'_, '_>) {
    checked.at_least_one("spec.targetRefs", spec.target_refs.len());
    checked.at_most(16, "spec.targetRefs", spec.target_refs.len());
    checked.distinct(&spec.target_refs, "spec.targetRefs", "", "the target is there twice");
    let validation = &spec.validation;
    let field = "spec.validation.caCertificateRefs";
    checked.at_most(8, field, validation.ca_certificate_refs.len());
    if !validation.hostname.is_empty() && !is_section_name(&validation.hostname) {
        let message = format!("{:?} is no exact name of a host", validation.hostname);
        checked.warn("spec.validation.hostname", &message);
    }
    let field = "spec.validation.subjectAltNames";
    checked.at_most(5, field, validation.subject_alt_names.len());
    for (place, name) in validation.subject_alt_names.iter().enumerate() {
        alternative(name, &format!("{field}[{place}]"), checked);
    }
}

fn alternative(name: &SubjectAltName, field: &str, checked: &mut Checked<'_, '_>) {
    if name.hostname.is_some() && name.uri.is_some() {
        let message = format!("type {} has one field: the other is not looked at", name.kind);
        checked.warn(field, &message);
    }
    let uri = name.uri.as_deref().filter(|_| &*name.kind == "URI");
    if let Some(uri) = uri.filter(|it| !it.contains("://")) {
        let message = format!("{uri:?} is no URI such as spiffe://cluster.local/ns/a");
        checked.warn(&format!("{field}.uri"), &message);
    }
}

pub(super) fn traffic(spec: &BackendTrafficPolicySpec, checked: &mut Checked<'_, '_>) {
    checked.at_least_one("spec.targetRefs", spec.target_refs.len());
    checked.at_most(16, "spec.targetRefs", spec.target_refs.len());
    if let Some(session) = &spec.session_persistence {
        filter::session(session, "spec.sessionPersistence", checked);
    }
    let Some(constraint) = &spec.retry_constraint else { return };
    let field = "spec.retryConstraint";
    let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
    let budget = duration::parse(&constraint.budget.interval).filter(|it| !it.is_zero());
    if budget.is_some_and(|it| it < second || it > hour) {
        let message = "the interval is at least one second and at most one hour";
        checked.warn(&format!("{field}.budget.interval"), message);
    }
    let rate = &constraint.min_retry_rate;
    if duration::parse(&rate.interval).is_some_and(|it| it > hour) {
        let message = "the interval is at most one hour";
        checked.warn(&format!("{field}.minRetryRate.interval"), message);
    }
    if rate.count == 0 || rate.count > 1_000_000 {
        let message = "the count is at least 1 and at most 1000000";
        checked.warn(&format!("{field}.minRetryRate.count"), message);
    }
}
