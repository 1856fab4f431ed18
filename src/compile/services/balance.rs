//! The annotation by which requests of a Service are balanced, each by itself, and not connections.

use crate::manifest::Code;
use crate::manifest::service::Service;
use crate::snapshot::AppProtocol;

use super::CheckedPort;
use super::policy::CheckedPolicy;
use crate::compile::report::{Findings, Subject};

/// `rutter.dev/balance: request`, where it can be done: some port must speak HTTP/2 in the clear
/// (`appProtocol` h2c or grpc), and no policy may keep clients with their endpoint or node.
pub(super) fn by_request(
    service: &Service,
    ports: &[CheckedPort],
    policy: &CheckedPolicy,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> bool {
    let Some(written) = service.metadata.annotation(ANNOTATION) else { return false };
    let field = format!("metadata.annotations.{ANNOTATION}");
    let obstacle = match written {
        "connection" => return false,
        "request" if !ports.iter().any(|it| it.app_protocol == AppProtocol::H2c) => {
            "no port has appProtocol kubernetes.io/h2c or grpc"
        }
        "request" if policy.keeps_clients() => {
            "sessionAffinity or internalTrafficPolicy: Local says where all of a client's go"
        }
        "request" => return true,
        _ => {
            let message = format!("{written:?} is none of connection, request");
            let help = "connections are balanced, as where nothing is said";
            findings.push(subject.error(Code::BadValue, &field, message).help(help));
            return false;
        }
    };
    let message = format!("requests are not balanced: {obstacle}");
    findings.push(subject.warning(Code::NotCarried, &field, message));
    false
}

const ANNOTATION: &str = "rutter.dev/balance";
