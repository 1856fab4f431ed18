//! The filter `ExternalAuth` (GEP-1494).

use std::sync::Arc;

use super::Context;
use super::filters::{Bad, Place};
use super::targets::{Carried, Targets};
use crate::manifest::gateway::ExternalAuthFilter;
use crate::snapshot::{ExternalAuth, ExternalAuthProtocol};

/// Who is asked, and how. A server that cannot be reached lets nothing pass.
pub(super) fn compile<'a>(
    written: &ExternalAuthFilter,
    field: &str,
    place: Place<'_, '_>,
    targets: &mut Targets<'a>,
    context: &mut Context<'a, '_, '_>,
) -> Result<ExternalAuth, Bad> {
    let part = ".externalAuth";
    let Some(wanted) = &written.backend_ref else {
        return Err((part, "backendRef is missing".to_owned()));
    };
    let lower = |names: &[Arc<str>]| -> Vec<Arc<str>> {
        names.iter().map(|name| name.to_ascii_lowercase().into()).collect()
    };
    let (carried, protocol, allowed_headers) = match &*written.protocol {
        "GRPC" => {
            let grpc = written.grpc.clone().unwrap_or_default();
            (Carried::Grpc, ExternalAuthProtocol::Grpc, lower(&grpc.allowed_headers))
        }
        "HTTP" => {
            let http = written.http.clone().unwrap_or_default();
            let protocol = ExternalAuthProtocol::Http {
                path_prefix: prefix(&http.path)?,
                allowed_response_headers: lower(&http.allowed_response_headers),
            };
            (Carried::Http, protocol, lower(&http.allowed_headers))
        }
        other => return Err((part, format!("the protocol {other:?} is none of GRPC, HTTP"))),
    };
    let size = written.forward_body.as_ref().map(|it| it.max_size).filter(|size| *size != 0);
    let max_body = match size.map(u32::try_from) {
        None => None,
        Some(Ok(size)) => Some(size),
        Some(Err(_)) => return Err((part, "forwardBody.maxSize is no size in bytes".to_owned())),
    };
    let field = format!("{field}.externalAuth.backendRef");
    let (kind, subject) = (place.kind, place.subject);
    let target = targets.target(wanted, carried, kind, subject, &field, context);
    Ok(ExternalAuth { target, protocol, allowed_headers, max_body })
}

/// Without a `/` at its end: the path of the request begins with one.
fn prefix(path: &str) -> Result<Arc<str>, Bad> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@%".contains(&byte);
    if !path.bytes().all(known) || !path.is_empty() && !path.starts_with('/') {
        return Err((".externalAuth", format!("{path:?} is no path")));
    }
    Ok(path.trim_end_matches('/').into())
}
