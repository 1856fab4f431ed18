//! The annotation that says what ports speak, where `appProtocol` does not.

use crate::manifest::Code;
use crate::manifest::service::Service;
use crate::snapshot::AppProtocol;

use super::CheckedPort;
use crate::compile::report::{Findings, Subject};

/// `rutter.dev/app-protocol: h2c`, or for some of the ports `web=h2c, 8443=https`. It counts more than
/// `appProtocol`, which charts of others leave out. What makes no sense is a finding, and the rest holds.
pub(super) fn apply(
    service: &Service,
    ports: &mut [CheckedPort],
    subject: Subject<'_>,
    findings: &mut Findings,
) {
    let Some(written) = service.metadata.annotation(ANNOTATION) else { return };
    let field = format!("metadata.annotations.{ANNOTATION}");
    for item in written.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (port, name) = match item.split_once('=') {
            Some((port, name)) => (Some(port.trim()), name.trim()),
            None => (None, item),
        };
        let wrong = match named(name) {
            None => format!("{name:?} is none of http, h2c, grpc, https"),
            Some(protocol) => {
                let meant =
                    ports.iter_mut().filter(|it| port.is_none_or(|port| it.is_called(port)));
                if meant.map(|it| it.app_protocol = protocol).count() > 0 {
                    continue;
                }
                format!("there is no port {:?}", port.unwrap_or_default())
            }
        };
        let help = "it is like h2c for all ports, or web=h2c, 8443=https for some";
        findings.push(subject.error(Code::BadValue, &field, wrong).help(help));
    }
}

/// KEP-3726; gRPC is HTTP/2. Of other names nothing is known.
pub(super) fn named(name: &str) -> Option<AppProtocol> {
    match name {
        "kubernetes.io/h2c" | "h2c" | "grpc" => Some(AppProtocol::H2c),
        "https" | "kubernetes.io/wss" => Some(AppProtocol::Https),
        "http" | "kubernetes.io/ws" => Some(AppProtocol::Http),
        _ => None,
    }
}

const ANNOTATION: &str = "rutter.dev/app-protocol";
