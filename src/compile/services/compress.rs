//! The annotation by which a Service says in which codings its responses may be sent.

use crate::manifest::Code;
use crate::manifest::service::Service;
use crate::snapshot::ContentCodings;

use crate::compile::report::{Findings, Subject};

/// `rutter.dev/compress`: `on`, `off`, or codings with commas between them. Another value is a
/// finding, and nothing is compressed: whoever writes it may have meant to forbid it.
pub(super) fn parse(
    service: &Service,
    default: ContentCodings,
    subject: Subject<'_>,
    findings: &mut Findings,
) -> ContentCodings {
    let Some(written) = service.metadata.annotation(ANNOTATION) else { return default };
    written.parse().unwrap_or_else(|message: String| {
        let field = format!("metadata.annotations.{ANNOTATION}");
        let help = "responses are not compressed until it is one of them";
        findings.push(subject.error(Code::BadValue, &field, message).help(help));
        ContentCodings::default()
    })
}

const ANNOTATION: &str = "rutter.dev/compress";
