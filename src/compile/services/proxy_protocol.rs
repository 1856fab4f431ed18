//! The annotation by which a Service has its endpoints told who the client is.

use crate::manifest::Code;
use crate::manifest::service::Service;
use crate::snapshot::ProxyProtocol;

use crate::compile::report::{Findings, Subject};

/// `rutter.dev/proxy-protocol`: `v1` or `v2`. Another value is a finding, and nothing is told: the
/// endpoints of who errs here see the node, as without it.
pub(super) fn parse(
    service: &Service,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> Option<ProxyProtocol> {
    let written = service.metadata.annotation(ANNOTATION)?;
    let field = format!("metadata.annotations.{ANNOTATION}");
    match written {
        "v1" => Some(ProxyProtocol::V1),
        "v2" => Some(ProxyProtocol::V2),
        _ => {
            let message = format!("{written:?} is none of v1, v2");
            let help = "endpoints are told nothing of their clients until it is one of them";
            findings.push(subject.error(Code::BadValue, &field, message).help(help));
            None
        }
    }
}

const ANNOTATION: &str = "rutter.dev/proxy-protocol";
