//! `sessionPersistence` (GEP-1619).

use std::sync::Arc;

use super::filters::is_token;
use super::{Context, duration};
use crate::compile::allocate::stable_hash;
use crate::compile::report::Subject;
use crate::manifest::Code;
use crate::manifest::gateway::SessionPersistence as Written;
use crate::snapshot::{HeaderModifier, SessionCarrier, SessionPersistence};

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
    let name = match &written.session_name {
        None => default_name(subject, field),
        Some(name) if !is_token(name) => {
            return refuse(".sessionName", format!("{name:?} is no name of a cookie or field"));
        }
        Some(name) if carrier == SessionCarrier::Header && !can_carry(name) => {
            return refuse(".sessionName", format!("the field {name} has a meaning of its own"));
        }
        Some(name) => name.clone(),
    };
    Some(Arc::new(SessionPersistence { name, carrier, absolute_timeout }))
}

/// One for each rule or policy: of two rules that a client asks at the same time each sets its own
/// cookie, and none takes that of the other away. It stays as long as the object and the place in
/// it do.
fn default_name(subject: Subject<'_>, field: &str) -> Arc<str> {
    format!("rutter-{:016x}", stable_hash(&format!("{} {field}", subject.reference()))).into()
}

/// Whether a field of this name can carry a token: one with a meaning of its own cannot.
fn can_carry(name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    !HeaderModifier::is_reserved(name) && !is("cookie") && !is("set-cookie")
}
