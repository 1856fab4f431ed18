//! What TLS ends with: certificates of listeners, what is asked of clients, and the certificate
//! that a Gateway shows to backends.

use std::sync::Arc;

use super::gateways::OwnGateway;
use super::listener::{OwnListener, Protocol};
use super::{Context, Owner, Verdict};
use crate::compile::references::{Referrer, Unresolved};
use crate::compile::report::Subject;
use crate::compile::tls::{Order, authorities, is_asked, joined};
use crate::manifest::gateway::{FrontendTlsValidation, ObjectReference};
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::{Certificate, ClientAuth, ClientAuthMode};

/// Resolves all of it.
pub(super) fn resolve(
    listeners: &mut [OwnListener<'_>],
    gateways: &mut [OwnGateway<'_>],
    context: &mut Context<'_, '_, '_>,
) {
    for listener in listeners.iter_mut() {
        let ends_here = matches!(listener.protocol, Some(Protocol::Https | Protocol::TlsTerminate));
        if !ends_here || listener.refused.is_some() {
            continue;
        }
        certificates(listener, context);
        if let Some(gateway) = gateways.get(listener.gateway) {
            client_auth(listener, gateway, context);
        }
    }
    for gateway in gateways.iter_mut().filter(|it| it.refused.is_none()) {
        gateway.client_certificate = client_certificate(gateway, context);
    }
}

/// Some certificates may be missing; without any the listener cannot be served.
fn certificates(listener: &mut OwnListener<'_>, context: &mut Context<'_, '_, '_>) {
    let Some(tls) = &listener.spec.tls else { return };
    let kind = match listener.owner {
        Owner::Gateway(_) => Kind::Gateway,
        Owner::Set(_) => Kind::ListenerSet,
    };
    let owner = listener.subject;
    order(listener, context);
    let mut found = Vec::new();
    for (place, wanted) in tls.certificate_refs.iter().enumerate() {
        let field = format!("{}.tls.certificateRefs[{place}]", listener.field);
        let from = Referrer { kind, namespace: &owner.key().namespace };
        match certificate(from, wanted, owner, &field, context) {
            Ok(certificate) => found.push(certificate),
            Err(verdict) => listener.unresolved = Some(verdict),
        }
    }
    if tls.certificate_refs.is_empty() {
        let message = "the listener has no certificate";
        let field = format!("{}.tls.certificateRefs", listener.field);
        context.findings.push(owner.error(Code::BadValue, &field, message));
        listener.unresolved = Some(Verdict::new("InvalidCertificateRef", message));
    }
    for certificate in &found {
        check_cover(listener, certificate, context);
    }
    if let (true, Some(verdict)) = (found.is_empty(), &listener.unresolved) {
        listener.unusable = Some(Verdict::new("Invalid", verdict.message.as_str()));
    }
    listener.certificates = found;
}

/// Where the owner of the listener asks for it, orders what its Secrets lack. Those of other
/// namespaces are for others to fill.
fn order(listener: &OwnListener<'_>, context: &mut Context<'_, '_, '_>) {
    let owner = listener.subject;
    let metadata = match listener.owner {
        Owner::Gateway(_) => context.references.gateway(owner.key()).map(|it| &it.object.metadata),
        Owner::Set(_) => context.references.listener_set(owner.key()).map(|it| &it.object.metadata),
    };
    let asks = metadata.is_some_and(|metadata| is_asked(metadata, owner, context.findings));
    let refs = listener.spec.tls.iter().flat_map(|tls| &tls.certificate_refs);
    for wanted in refs.filter(|_| asks) {
        let namespace = wanted.namespace.as_ref().unwrap_or_else(|| &owner.key().namespace);
        let secret = ObjectKey { namespace: namespace.clone(), name: wanted.name.clone() };
        if *namespace == owner.key().namespace && !context.references.is_written(&secret) {
            let field = format!("{}.hostname", listener.field);
            let order = Order { secret: &secret, subject: owner, field: &field };
            context.certificates.order(order, &listener.host, context.findings);
        }
    }
}

fn check_cover(
    listener: &OwnListener<'_>,
    certificate: &Certificate,
    context: &mut Context<'_, '_, '_>,
) {
    if crate::compile::tls::covers(certificate, &listener.host) {
        return;
    }
    // a certificate without DNS names is for clients that know it
    if certificate.names.is_empty() {
        return;
    }
    let message = format!(
        "the certificate of Secret {} does not cover {}; it is for {}",
        certificate.secret,
        listener.host,
        certificate.names.join(", ")
    );
    let field = format!("{}.hostname", listener.field);
    context.findings.push(listener.subject.warning(Code::UncoveredHost, &field, message));
}

fn certificate(
    from: Referrer<'_>,
    wanted: &ObjectReference,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> Result<Arc<Certificate>, Verdict> {
    let found = context.references.certificate(from, wanted, context.findings);
    let (key, stored) = found.map_err(|unresolved| {
        let namespace = wanted.namespace.as_ref().unwrap_or(from.namespace).clone();
        let secret = ObjectKey { namespace, name: wanted.name.clone() };
        let finding = unresolved.finding(subject, field);
        context.findings.push(context.certificates.softened(&secret, finding));
        Verdict::from(unresolved.verdict())
    })?;
    let read = context.certificates.read(key, stored, context.findings);
    read.ok_or_else(|| {
        let message = format!("Secret {key} holds no usable certificate and key");
        context.findings.push(subject.error(Code::BadCertificate, field, message.as_str()));
        Verdict::new("InvalidCertificateRef", message)
    })
}

fn report(
    unresolved: &Unresolved,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> Verdict {
    context.findings.push(unresolved.finding(subject, field));
    unresolved.verdict().into()
}

/// What the Gateway asks of clients on the port of a listener (GEP-91).
fn client_auth(
    listener: &mut OwnListener<'_>,
    gateway: &OwnGateway<'_>,
    context: &mut Context<'_, '_, '_>,
) {
    let frontend = gateway.spec().tls.as_ref().and_then(|tls| tls.frontend.as_ref());
    let Some(frontend) = frontend.filter(|_| listener.protocol == Some(Protocol::Https)) else {
        return;
    };
    let ports = frontend.per_port.iter().enumerate();
    let of_port = ports.clone().find(|(_, it)| it.port == i64::from(listener.port));
    let (field, config) = match of_port {
        Some((place, it)) => (format!("spec.tls.frontend.perPort[{place}].tls"), &it.tls),
        None => ("spec.tls.frontend.default".to_owned(), &frontend.default),
    };
    let Some(validation) = &config.validation else { return };
    let field = format!("{field}.validation");
    match client_authorities(validation, gateway, &field, context) {
        (Some(auth), unresolved) => {
            listener.client_auth = Some(Arc::new(auth));
            listener.unresolved = unresolved.or_else(|| listener.unresolved.take());
        }
        (None, unresolved) => {
            let message = "no authority of clients can be used";
            listener.unresolved = unresolved.or_else(|| listener.unresolved.take());
            listener.refused = Some(Verdict::new("NoValidCACertificate", message));
        }
    }
}

fn client_authorities(
    validation: &FrontendTlsValidation,
    gateway: &OwnGateway<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> (Option<ClientAuth>, Option<Verdict>) {
    let subject = gateway.subject();
    let mode = match validation.mode.as_deref().unwrap_or("AllowValidOnly") {
        "AllowInsecureFallback" => ClientAuthMode::AllowInsecureFallback,
        // also if it is neither, of which `schema` tells
        _ => ClientAuthMode::AllowValidOnly,
    };
    let from = Referrer { kind: Kind::Gateway, namespace: &gateway.key.namespace };
    let (mut bundles, mut unresolved) = (Vec::new(), None);
    for (place, wanted) in validation.ca_certificate_refs.iter().enumerate() {
        let field = format!("{field}.caCertificateRefs[{place}]");
        match bundle(from, wanted, subject, &field, context) {
            Ok(bundle) => bundles.push(bundle),
            Err(verdict) => {
                // the kind has a word of its own for listeners
                let reason = match verdict.reason {
                    "InvalidKind" => "InvalidCACertificateKind",
                    reason => reason,
                };
                unresolved = Some(Verdict { reason, ..verdict });
            }
        }
    }
    (joined(bundles).map(|authorities| ClientAuth { authorities, mode }), unresolved)
}

/// The authorities of one reference.
pub(super) fn bundle(
    from: Referrer<'_>,
    wanted: &ObjectReference,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> Result<crate::snapshot::CaBundle, Verdict> {
    let found = context.references.authorities(from, wanted, context.findings);
    let source = found.map_err(|unresolved| report(&unresolved, subject, field, context))?;
    authorities(source).map_err(|message| {
        context.findings.push(subject.error(Code::BadCertificate, field, message.as_str()));
        Verdict::new("InvalidCACertificateRef", message)
    })
}

/// What a Gateway shows to backends that ask (GEP-3155).
fn client_certificate(
    gateway: &OwnGateway<'_>,
    context: &mut Context<'_, '_, '_>,
) -> Option<Result<Arc<Certificate>, Verdict>> {
    let backend = gateway.spec().tls.as_ref()?.backend.as_ref()?;
    let wanted = backend.client_certificate_ref.as_ref()?;
    let from = Referrer { kind: Kind::Gateway, namespace: &gateway.key.namespace };
    let field = "spec.tls.backend.clientCertificateRef";
    Some(certificate(from, wanted, gateway.subject(), field, context).map_err(|verdict| {
        let reason = match verdict.reason {
            "InvalidCertificateRef" => "InvalidClientCertificateRef",
            reason => reason,
        };
        Verdict { reason, ..verdict }
    }))
}
