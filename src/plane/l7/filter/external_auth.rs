//! External authorization (GEP-1494): another server is asked whether a request may go on.
//!
//! A pure protocol in both directions: [`write()`] makes the question out of the request, as the
//! client sent it, and [`verdict`] reads the answer. The exchange asks it before the request goes
//! to its endpoint or to a mirror. Preflights are answered before.
//!
//! It fails closed: without an answer, or with one that breaks its protocol, the request is
//! answered 503; the API does not say which status, and 403 would blame the client for what is
//! not its fault. A reference that leads nowhere is the 500 of any backend.

mod grpc;
mod http;
mod messages;

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::header::{HeaderName, HeaderValue};
use bytes::Bytes;

use super::{Changes, may_change, written};
use crate::plane::l7::Identity;
use crate::plane::l7::forwarded::{Request, write_request};
use crate::plane::l7::h1::{BodyLength, Name, Outgoing, Verb};
use crate::plane::l7::respond::OwnAnswer;
use crate::snapshot::{
    ExternalAuth, ExternalAuthProtocol, HeaderModifier, Protocol, Reason, Target,
};

/// A request, as it is told to authorization servers: before the filters changed it.
#[derive(Debug)]
pub(in crate::plane::l7) struct Question {
    /// How long the body is.
    pub(in crate::plane::l7) length: BodyLength,
    /// Whether the client waits for 100 before it sends the body.
    pub(in crate::plane::l7) expects_continue: bool,
    verb: Verb,
    method: String,
    /// Path and query.
    target: String,
    host: String,
    scheme: &'static str,
    protocol: &'static str,
    id: String,
    client: SocketAddr,
    server: SocketAddr,
    /// The head for an endpoint: what belongs to one hop is not in it, what rutter adds is.
    head: Vec<u8>,
}

impl Question {
    /// Tells of a request.
    pub(in crate::plane::l7) fn of<'a, F>(
        request: &Request<'a, F>,
        identity: &Identity,
        id: &str,
        protocol: &'static str,
    ) -> Self
    where
        F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
    {
        let mut head = Outgoing::new(Vec::new());
        write_request(&mut head, request, identity, id, &Changes::default());
        Self {
            length: request.length,
            expects_continue: request.options.expects_continue,
            verb: request.verb,
            method: request.method.to_owned(),
            target: format!("{}{}", request.target.matched(), request.target.query),
            host: request.authority.to_owned(),
            scheme: if identity.is_secure { "https" } else { "http" },
            protocol,
            id: id.to_owned(),
            client: identity.client,
            server: identity.key.addr,
            head: head.bytes,
        }
    }

    /// Lower-case names and values of the fields that a server is told.
    fn fields(&self) -> impl Iterator<Item = (String, &[u8])> {
        let fields = written(&self.head);
        let fields = fields.map(|(name, value)| (String::from_utf8_lossy(name), value));
        fields.filter(|(name, _)| may_change(name)).map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            (name, value)
        })
    }
}

/// The authorization server, with the version of HTTP that its protocol needs.
pub(in crate::plane::l7) fn target(auth: &ExternalAuth) -> Result<Target, Reason> {
    let target = auth.target.as_ref().map_err(|failure| failure.reason)?;
    Ok(match auth.protocol {
        ExternalAuthProtocol::Grpc => Target { protocol: Protocol::Http2, ..target.clone() },
        ExternalAuthProtocol::Http { .. } => target.clone(),
    })
}

/// Writes the request to the authorization server, and says what its method means. `None`: there
/// is none, as its path would lead out of the prefix.
pub(in crate::plane::l7) fn write(
    out: &mut Outgoing,
    auth: &ExternalAuth,
    question: &Question,
    body: &[u8],
) -> Option<Verb> {
    match &auth.protocol {
        ExternalAuthProtocol::Grpc => Some(grpc::write(out, auth, question, body)),
        ExternalAuthProtocol::Http { path_prefix, .. } => {
            http::write(out, path_prefix, &auth.allowed_headers, question, body)
        }
    }
}

/// What the authorization server answered.
#[derive(Debug, Default)]
pub(in crate::plane::l7) struct Answer {
    pub(in crate::plane::l7) status: u16,
    /// Lower-case names and values, in order.
    pub(in crate::plane::l7) fields: Vec<(String, String)>,
    pub(in crate::plane::l7) body: Vec<u8>,
    /// The lines behind the body.
    pub(in crate::plane::l7) trailer: Vec<u8>,
}

/// What becomes of the request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::plane::l7) enum Verdict {
    /// It goes on.
    Allowed(Grant),
    /// This is the answer to it.
    Denied(OwnAnswer),
}

/// Reads the answer; one that breaks the protocol allows nothing.
pub(in crate::plane::l7) fn verdict(
    auth: &ExternalAuth,
    answer: &Answer,
) -> Result<Verdict, Reason> {
    match &auth.protocol {
        ExternalAuthProtocol::Grpc => grpc::verdict(answer).ok_or(Reason::AuthUnavailable),
        ExternalAuthProtocol::Http { allowed_response_headers, .. } => {
            Ok(http::verdict(answer, allowed_response_headers))
        }
    }
}

/// What is changed in a request that may go on, and in its response.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::plane::l7) struct Grant {
    pub(in crate::plane::l7) request: Vec<Change>,
    /// Fields that the request loses.
    pub(in crate::plane::l7) remove: Vec<Arc<str>>,
    pub(in crate::plane::l7) response: Vec<Change>,
}

/// A change of one field (Envoy `HeaderValueOption`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::plane::l7) struct Change {
    name: Arc<str>,
    value: Arc<str>,
    when: When,
}

/// What becomes of fields of the name that are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// They stay.
    Append,
    /// They stay, and nothing is added.
    Absent,
    /// They are replaced.
    Overwrite,
    /// They are replaced; where there is none nothing is added.
    Present,
}

impl Change {
    /// A change of a field that may be changed. `None`: it is no field.
    fn new(name: &str, value: &str, when: When) -> Option<Self> {
        HeaderName::from_bytes(name.as_bytes()).ok()?;
        HeaderValue::from_str(value).ok()?;
        Some(Self { name: name.into(), value: value.into(), when })
    }

    fn is_allowed(&self) -> bool {
        may_change(&self.name)
    }
}

/// The changes of a head that has these fields.
pub(in crate::plane::l7) fn modifier(
    changes: &[Change],
    has: impl Fn(&str) -> bool,
) -> HeaderModifier {
    let mut modifier = HeaderModifier::default();
    for Change { name, value, when } in changes {
        let given = modifier.set.iter().chain(&modifier.add).any(|(known, _)| known == name);
        let field = (name.clone(), value.clone());
        match when {
            When::Append => modifier.add.push(field),
            When::Absent if !given && !has(name) => modifier.add.push(field),
            When::Present if has(name) => modifier.set.push(field),
            When::Overwrite => modifier.set.push(field),
            When::Absent | When::Present => {}
        }
    }
    modifier
}

/// A refusal: the answer of the authorization server, as far as it is not of its own hop.
fn denied(status: u16, fields: impl Iterator<Item = (String, String)>, body: Vec<u8>) -> OwnAnswer {
    let status = if (200..=599).contains(&status) { status } else { 403 };
    let mut answer = OwnAnswer { reason: Some(Reason::AuthDenied), ..OwnAnswer::new(status) };
    for (name, value) in fields {
        let own = matches!(Name::of(name.as_bytes()), Name::Server | Name::Date);
        if may_change(&name) && !own {
            answer = answer.field(name, value);
        }
    }
    if !matches!(status, 204 | 205 | 304) {
        answer.body = Bytes::from(body);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_changed_by_whether_they_are_there() {
        let rows = [
            (When::Append, true, "a=1 +", ""),
            (When::Append, false, "a=1 +", ""),
            (When::Absent, true, "", ""),
            (When::Absent, false, "a=1 +", ""),
            (When::Overwrite, true, "", "a=1"),
            (When::Overwrite, false, "", "a=1"),
            (When::Present, true, "", "a=1"),
            (When::Present, false, "", ""),
        ];
        for (when, there, add, set) in rows {
            let change = Change::new("a", "1", when).expect("it must be a field");
            let modifier = modifier(&[change], |_| there);
            assert_eq!(modifier.add.len(), usize::from(!add.is_empty()), "{when:?} {there}");
            assert_eq!(modifier.set.len(), usize::from(!set.is_empty()), "{when:?} {there}");
        }
        for (name, value) in [("a b", "1"), ("a", "1\r\nb: 2"), (":path", "/"), ("", "1")] {
            assert_eq!(Change::new(name, value, When::Append), None, "{name} {value}");
        }
    }
}
