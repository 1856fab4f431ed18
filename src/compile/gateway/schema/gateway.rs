//! GatewayClass, Gateway, the listeners of both owners.

use super::{Checked, is_section_name};
use crate::manifest::gateway::{
    FrontendTlsConfig, GatewayAddress, GatewayClassSpec, GatewaySpec, Listener, RouteNamespaces,
};

pub(super) fn class(spec: &GatewayClassSpec, checked: &mut Checked<'_, '_>) {
    let name = &*spec.controller_name;
    let parts = name.split_once('/');
    if !parts.is_some_and(|(domain, path)| is_section_name(domain) && !path.is_empty()) {
        let message = format!("{name:?} is no name of a controller such as example.com/name");
        checked.warn("spec.controllerName", &message);
    }
}

pub(super) fn gateway(spec: &GatewaySpec, checked: &mut Checked<'_, '_>) {
    checked.at_most(16, "spec.addresses", spec.addresses.len());
    let is_named = |it: &&GatewayAddress| it.value.as_deref().is_some_and(|it| !it.is_empty());
    let named: Vec<_> = spec.addresses.iter().filter(is_named).collect();
    checked.distinct(&named, "spec.addresses", "", "the address is there twice");
    if spec.default_scope.as_deref().is_some_and(|it| it != "None") {
        checked.note("spec.defaultScope", "rutter has no default Gateways: routes name theirs");
    }
    let from = ["All", "Selector", "Same", "None"];
    namespaces(&spec.allowed_listeners.namespaces, &from, "spec.allowedListeners", checked);
    infrastructure(spec, checked);
    frontend(spec, checked);
    listeners(&spec.listeners, checked);
}

fn infrastructure(spec: &GatewaySpec, checked: &mut Checked<'_, '_>) {
    let written = &spec.infrastructure;
    checked.at_most(8, "spec.infrastructure.labels", written.labels.len());
    checked.at_most(16, "spec.infrastructure.annotations", written.annotations.len());
    for (name, value) in &written.labels {
        let field = format!("spec.infrastructure.labels.{name}");
        if !is_qualified(name) {
            checked.warn(&field, &format!("{name:?} is no name of a label"));
        }
        if !value.is_empty() && !is_label_part(value) {
            checked.warn(&field, &format!("{value:?} is no value of a label"));
        }
    }
    for name in written.annotations.keys().filter(|name| !is_qualified(name)) {
        let field = format!("spec.infrastructure.annotations.{name}");
        checked.warn(&field, &format!("{name:?} is no name of an annotation"));
    }
}

fn frontend(spec: &GatewaySpec, checked: &mut Checked<'_, '_>) {
    let Some(frontend) = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else { return };
    validation(&frontend.default, "spec.tls.frontend.default", checked);
    let field = "spec.tls.frontend.perPort";
    for (place, port) in frontend.per_port.iter().enumerate() {
        validation(&port.tls, &format!("{field}[{place}].tls"), checked);
    }
    let ports: Vec<_> = frontend.per_port.iter().map(|it| it.port).collect();
    checked.at_most(64, field, ports.len());
    checked.distinct(&ports, field, ".port", "the port is there twice: the first counts");
    let sets = &spec.allowed_listeners.namespaces.from;
    if sets.as_deref().is_some_and(|from| from != "None") {
        return; // a ListenerSet may have the port
    }
    for (place, port) in ports.iter().enumerate() {
        if !spec.listeners.iter().any(|it| it.port == *port) {
            let message = format!("the Gateway has no listener on port {port}");
            checked.note(&format!("{field}[{place}].port"), &message);
        }
    }
}

fn validation(config: &FrontendTlsConfig, field: &str, checked: &mut Checked<'_, '_>) {
    let Some(validation) = &config.validation else { return };
    let field = format!("{field}.validation");
    let authorities = &validation.ca_certificate_refs;
    checked.at_least_one(&format!("{field}.caCertificateRefs"), authorities.len());
    checked.at_most(16, &format!("{field}.caCertificateRefs"), authorities.len());
    let known = ["AllowValidOnly", "AllowInsecureFallback"];
    checked.one_of(&known, &format!("{field}.mode"), validation.mode.as_deref());
}

pub(super) fn listeners(listeners: &[Listener], checked: &mut Checked<'_, '_>) {
    checked.at_most(64, "spec.listeners", listeners.len());
    for (place, listener) in listeners.iter().enumerate() {
        let field = format!("spec.listeners[{place}]");
        if !is_section_name(&listener.name) {
            let message = format!("{:?} is no name of a listener", listener.name);
            checked.warn(&format!("{field}.name"), &message);
        }
        let allowed = &listener.allowed_routes;
        let from = ["All", "Selector", "Same"];
        namespaces(&allowed.namespaces, &from, &format!("{field}.allowedRoutes"), checked);
        checked.at_most(8, &format!("{field}.allowedRoutes.kinds"), allowed.kinds.len());
        let certificates = listener.tls.iter().map(|tls| tls.certificate_refs.len()).sum();
        checked.at_most(64, &format!("{field}.tls.certificateRefs"), certificates);
        if &*listener.protocol == "TLS" && listener.tls.as_ref().is_some_and(|it| it.mode.is_none())
        {
            let message = "protocol TLS needs a mode: Terminate is taken";
            checked.warn(&format!("{field}.tls.mode"), message);
        }
    }
}

/// Who may attach. What is unknown allows nobody.
fn namespaces(
    written: &RouteNamespaces,
    known: &[&str],
    field: &str,
    checked: &mut Checked<'_, '_>,
) {
    let field = format!("{field}.namespaces");
    checked.one_of(known, &format!("{field}.from"), written.from.as_deref());
    if written.from.as_deref() == Some("Selector") && written.selector.is_none() {
        checked.note(&format!("{field}.from"), "there is no selector: no namespace is allowed");
    }
    let requirements = written.selector.iter().flat_map(|it| &it.match_expressions);
    for (place, requirement) in requirements.enumerate() {
        let field = format!("{field}.selector.matchExpressions[{place}].operator");
        let known = ["In", "NotIn", "Exists", "DoesNotExist"];
        checked.one_of(&known, &field, Some(&requirement.operator));
    }
}

/// The name of a label or annotation, with or without a prefix.
fn is_qualified(name: &str) -> bool {
    let (prefix, name) = match name.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, name),
    };
    prefix.is_none_or(is_section_name) && is_label_part(name)
}

fn is_label_part(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_end = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric());
    let has_ends = is_end(text.bytes().next()) && is_end(text.bytes().last());
    text.len() <= 63 && has_ends && text.bytes().all(inside)
}
