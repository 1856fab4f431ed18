//! Resolves names to objects: the only place that does.
//!
//! What does not resolve is kept as a value that says why, so that a rule with a missing backend
//! still owns its requests and answers them with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backends::Backends;
use super::endpoints::is_tcp;
use super::services::{CheckedService, ServiceType};
use crate::manifest::core::Secret;
use crate::manifest::ingress::ServiceBackendPort;
use crate::manifest::{Code, ObjectKey, similar};
use crate::snapshot::{Backend, Reason};
use crate::store::{Objects, Stored};

/// Everything that can be referred to.
pub(super) struct References<'a> {
    objects: &'a Objects,
    services: BTreeMap<&'a ObjectKey, (&'a CheckedService<'a>, &'a [Arc<Backend>])>,
}

/// A reference that leads nowhere.
#[derive(Clone, Debug)]
pub(super) struct Unresolved {
    /// What a request that needs it is answered.
    pub(super) reason: Reason,
    /// The finding's code.
    pub(super) code: Code,
    /// The part of the reference that is wrong, below its field: `.name`, `.port`.
    pub(super) part: &'static str,
    /// What is wrong.
    pub(super) message: String,
    /// The remedy.
    pub(super) help: Option<String>,
}

impl<'a> References<'a> {
    /// Indexes the Services; the other kinds are looked up as they are.
    pub(super) fn new(
        objects: &'a Objects,
        services: &'a [CheckedService<'a>],
        backends: &'a Backends,
    ) -> Self {
        let with_backends =
            |(service, backends): (&'a CheckedService<'a>, &'a Vec<Arc<Backend>>)| {
                (&service.key, (service, backends.as_slice()))
            };
        Self { objects, services: services.iter().zip(backends).map(with_backends).collect() }
    }

    /// The backend of a Service port.
    pub(super) fn service_port(
        &self,
        key: &ObjectKey,
        port: &ServiceBackendPort,
    ) -> Result<Arc<Backend>, Unresolved> {
        let (service, backends) = self.services.get(key).ok_or_else(|| self.no_service(key))?;
        if service.exposure == ServiceType::ExternalName {
            return Err(external_name(key));
        }
        let wanted = |(port_of_service, _): &(&super::services::Port, &Arc<Backend>)| {
            let same_name =
                port.name.is_some() && port.name.as_ref() == Some(&port_of_service.name);
            let same_number = port.number == Some(i64::from(port_of_service.number));
            is_tcp(port_of_service) && (same_name || (port.name.is_none() && same_number))
        };
        let found = service.ports.iter().zip(*backends).find(wanted);
        found.map(|(_, backend)| backend.clone()).ok_or_else(|| no_port(service, port))
    }

    /// A Secret.
    pub(super) fn secret(&self, key: &ObjectKey) -> Result<&'a Stored<Secret>, Unresolved> {
        self.objects.secrets.get(key).ok_or_else(|| {
            let message =
                format!("Secret {:?} does not exist in namespace {}", key.name, key.namespace);
            let help = suggestion(key, self.objects.secrets.keys());
            Unresolved {
                reason: Reason::Internal,
                code: Code::MissingSecret,
                part: "",
                message,
                help,
            }
        })
    }

    fn no_service(&self, key: &ObjectKey) -> Unresolved {
        let message =
            format!("Service {:?} does not exist in namespace {}", key.name, key.namespace);
        let help = suggestion(key, self.services.keys().copied());
        Unresolved {
            reason: Reason::NoService,
            code: Code::MissingService,
            part: ".name",
            message,
            help,
        }
    }
}

/// A near name in the same namespace, or the same name elsewhere.
fn suggestion<'a>(key: &ObjectKey, known: impl Iterator<Item = &'a ObjectKey>) -> Option<String> {
    let (mut near, mut elsewhere) = (Vec::new(), BTreeSet::new());
    for candidate in known {
        if candidate.namespace == key.namespace {
            near.push(&*candidate.name);
        } else if candidate.name == key.name {
            elsewhere.insert(&*candidate.namespace);
        }
    }
    if let Some(meant) = similar::closest(&key.name, near) {
        return Some(format!("did you mean {meant:?}?"));
    }
    let namespace = elsewhere.first()?;
    Some(format!("there is one in namespace {namespace}; the reference cannot leave its own"))
}

fn external_name(key: &ObjectKey) -> Unresolved {
    Unresolved {
        reason: Reason::UnsupportedBackend,
        code: Code::UnsupportedBackend,
        part: ".name",
        message: format!(
            "Service {key} is an ExternalName: requests are not sent to names outside"
        ),
        help: Some(
            "use a Service without selector and an EndpointSlice (CVE-2021-25740)".to_owned(),
        ),
    }
}

fn no_port(service: &CheckedService<'_>, port: &ServiceBackendPort) -> Unresolved {
    let wanted = match (&port.name, port.number) {
        (Some(name), _) => format!("named {name:?}"),
        (None, Some(number)) => number.to_string(),
        (None, None) => "without name or number".to_owned(),
    };
    let ports = service.ports.iter().filter(|port| is_tcp(port));
    let known: Vec<String> = ports
        .map(|port| match &*port.name {
            "" => port.number.to_string(),
            name => format!("{} ({name})", port.number),
        })
        .collect();
    let names = service.ports.iter().map(|port| &*port.name);
    let meant = port.name.as_deref().and_then(|name| similar::closest(name, names));
    let help = match meant {
        Some(meant) => format!("did you mean {meant:?}?"),
        None if known.is_empty() => "the Service has no usable TCP port".to_owned(),
        None => format!("it has {}", known.join(", ")),
    };
    Unresolved {
        reason: Reason::NoService,
        code: Code::MissingPort,
        part: ".port",
        message: format!("Service {} has no TCP port {wanted}", service.key),
        help: Some(help),
    }
}
