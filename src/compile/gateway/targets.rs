//! `backendRefs` → targets: the Service port, and how its endpoints are spoken to.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Context, ServicePolicies, Verdict};
use crate::compile::references::Referrer;
use crate::compile::report::Subject;
use crate::manifest::gateway::BackendRef;
use crate::manifest::{Code, Kind, ObjectKey};
use crate::snapshot::{
    Action, AppProtocol, Certificate, Failure, Filter, Protocol, Reason, Target, Transport,
    UpstreamTls, WeightedBackend,
};

/// What the backends of a route carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    Http,
    Grpc,
    /// Bytes that were decrypted here.
    TlsTerminated,
    /// Bytes as they came.
    Raw(Transport),
}

/// Resolves the backends of one route after the other.
#[derive(Debug)]
pub(super) struct Targets<'a> {
    pub(super) policies: ServicePolicies<'a>,
    /// The Services that the route leads to, and the first of its references that leads nowhere.
    used: BTreeSet<ObjectKey>,
    unresolved: Option<Verdict>,
}

/// What the references of a route came to.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) services: BTreeSet<ObjectKey>,
    pub(super) unresolved: Option<Verdict>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(policies: ServicePolicies<'a>) -> Self {
        Self { policies, used: BTreeSet::new(), unresolved: None }
    }

    /// What came of the references since the last time.
    pub(super) fn take(&mut self) -> Resolved {
        Resolved { services: std::mem::take(&mut self.used), unresolved: self.unresolved.take() }
    }

    /// The shares of a rule, each with the filters of its own.
    pub(super) fn shares(
        &mut self,
        refs: &[BackendRef],
        carried: Carried,
        kind: Kind,
        subject: Subject<'_>,
        field: &str,
        context: &mut Context<'a, '_, '_>,
    ) -> Vec<WeightedBackend> {
        let mut shares = Vec::with_capacity(refs.len());
        for (place, wanted) in refs.iter().enumerate() {
            let field = format!("{field}.backendRefs[{place}]");
            let weight = wanted.weight.unwrap_or(1);
            let weight = u32::try_from(weight).unwrap_or_else(|_| {
                let message = format!("{weight} is no weight");
                let field = format!("{field}.weight");
                context.findings.push(subject.error(Code::BadValue, &field, message));
                0
            });
            let target = self.target(wanted, carried, kind, subject, &field, context);
            shares.push(WeightedBackend { target, weight, filters: Vec::new() });
        }
        shares
    }

    /// One target; what is wrong with it is a finding, and the status of the route.
    pub(super) fn target(
        &mut self,
        wanted: &BackendRef,
        carried: Carried,
        kind: Kind,
        subject: Subject<'_>,
        field: &str,
        context: &mut Context<'a, '_, '_>,
    ) -> Result<Target, Failure> {
        let from = Referrer { kind, namespace: &subject.key().namespace };
        let transport = match carried {
            Carried::Raw(transport) => transport,
            Carried::Http | Carried::Grpc | Carried::TlsTerminated => Transport::Tcp,
        };
        let found = context.references.route_backend(from, wanted, transport, context.findings);
        let backend = found.map_err(|unresolved| {
            context.findings.push(unresolved.finding(subject, field));
            self.unresolved.get_or_insert_with(|| unresolved.verdict().into());
            unresolved.failure()
        })?;
        let service = backend.id.service.clone();
        self.used.insert(service.clone());
        let mut target = Target::plain(backend);
        self.policies.shape(&mut target);
        if carried == Carried::Grpc {
            target.protocol = Protocol::Http2;
        }
        if let Carried::Raw(_) = carried {
            return Ok(target);
        }
        self.policies.secure(&mut target)?;
        let speaks_https = target.backend.app_protocol == AppProtocol::Https;
        if speaks_https && target.tls.is_none() && carried != Carried::TlsTerminated {
            return Err(self.needs_policy(&service, subject, field, context));
        }
        Ok(target)
    }

    /// TLS without knowing whom to trust is none.
    fn needs_policy(
        &mut self,
        service: &ObjectKey,
        subject: Subject<'_>,
        field: &str,
        context: &mut Context<'a, '_, '_>,
    ) -> Failure {
        let message = format!(
            "the port of Service {service} speaks HTTPS, and no BackendTLSPolicy is for it"
        );
        let finding = subject.error(Code::UnsupportedBackend, field, message.as_str());
        let help = "write a BackendTLSPolicy with its hostname and authorities";
        context.findings.push(finding.help(help));
        let verdict = Verdict::new("UnsupportedProtocol", message.as_str());
        self.unresolved.get_or_insert(verdict);
        Failure { reason: Reason::InvalidBackend, detail: message.into() }
    }
}

/// The same action for a Gateway that shows a certificate to backends that ask.
pub(super) fn with_client(action: &mut Action, certificate: &Arc<Certificate>) {
    if let Action::Forward(shares) = action {
        shares.iter_mut().for_each(|share| share_with_client(share, certificate));
    }
}

/// The same share for a Gateway that shows a certificate to backends that ask.
pub(super) fn share_with_client(share: &mut WeightedBackend, certificate: &Arc<Certificate>) {
    if let Ok(target) = &mut share.target {
        target_with_client(target, certificate);
    }
    filters_with_client(&mut share.filters, certificate);
}

/// The same filters for such a Gateway.
pub(super) fn filters_with_client(filters: &mut [Filter], certificate: &Arc<Certificate>) {
    for filter in filters {
        match filter {
            Filter::Mirror(mirror) => target_with_client(&mut mirror.target, certificate),
            Filter::ExternalAuth(auth) => {
                if let Ok(target) = &mut auth.target {
                    target_with_client(target, certificate);
                }
            }
            Filter::RequestHeaders(_)
            | Filter::ResponseHeaders(_)
            | Filter::Rewrite(_)
            | Filter::Redirect(_)
            | Filter::Cors(_) => {}
        }
    }
}

fn target_with_client(target: &mut Target, certificate: &Arc<Certificate>) {
    if let Some(tls) = &mut target.tls {
        let client = Some(certificate.clone());
        *tls = Arc::new(UpstreamTls { client, ..UpstreamTls::clone(tls) });
    }
}
