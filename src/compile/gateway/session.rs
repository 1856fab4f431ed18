//! `sessionPersistence` (GEP-1619).

use std::sync::Arc;

use super::filters::is_token;
use super::{Context, duration};
use crate::compile::report::Subject;
use crate::manifest::Code;
use crate::manifest::gateway::SessionPersistence as Written;
use crate::snapshot::{SessionCarrier, SessionPersistence};

/// What is written at `field`. `None`: it cannot be used, which is a finding.
pub(super) fn compile(
    written: &Written,
    subject: Subject<'_>,
    field: &str,
    context: &mut Context<'_, '_, '_>,
) -> Option<Arc<SessionPersistence>> {
    let mut refuse = |part: &str, message: String| {
        let field = format!("{field}{part}");
        context.findings.push(subject.error(Code::BadValue, &field, message));
        None
    };
    let absolute_timeout = match written.absolute_timeout.as_deref() {
        None => None,
        Some(text) => match duration::parse(text) {
            Some(timeout) => Some(timeout),
            None => return refuse(".absoluteTimeout", format!("{text:?} is no duration")),
        },
    };
    let cookie = written.cookie_config.clone().unwrap_or_default();
    let permanent = match cookie.lifetime_type.as_deref().unwrap_or("Session") {
        "Session" => false,
        "Permanent" if absolute_timeout.is_some() => true,
        "Permanent" => {
            let message = "a permanent cookie needs absoluteTimeout".to_owned();
            return refuse(".absoluteTimeout", message);
        }
        kind => {
            let message = format!("{kind:?} is none of Session, Permanent");
            return refuse(".cookieConfig.lifetimeType", message);
        }
    };
    let carrier = match written.kind.as_deref().unwrap_or("Cookie") {
        "Cookie" => SessionCarrier::Cookie { path: "/".into(), permanent },
        "Header" => SessionCarrier::Header,
        kind => return refuse(".type", format!("{kind:?} is none of Cookie, Header")),
    };
    let name = written.session_name.clone().filter(|it| !it.is_empty());
    let name = name.unwrap_or_else(|| DEFAULT_NAME.into());
    if !is_token(&name) {
        return refuse(".sessionName", format!("{name:?} is no name of a cookie or field"));
    }
    Some(Arc::new(SessionPersistence { name, carrier, absolute_timeout }))
}

const DEFAULT_NAME: &str = "rutter-session";
