//! Authorization by gRPC: `envoy.service.auth.v3.Authorization/Check`.

use std::collections::BTreeMap;

use prost::Message;

use super::messages::{
    AttributeContext, AttributeRequest, BoolValue, CheckRequest, CheckResponse, DeniedHttpResponse,
    HeaderValueOption, HttpRequest, OkHttpResponse, Peer,
};
use super::{Answer, Change, Grant, Question, Verdict, When, denied};
use crate::plane::l7::filter::written;
use crate::plane::l7::h1::{BodyLength, Outgoing, Verb};
use crate::snapshot::ExternalAuth;

/// Writes the call.
pub(super) fn write(
    out: &mut Outgoing,
    auth: &ExternalAuth,
    question: &Question,
    body: &[u8],
) -> Verb {
    let message = check_request(auth, question, body).encode_to_vec();
    let host = auth.target.as_ref().map(|target| target.backend.id.service.clone());
    let host = host.map(|it| format!("{}.{}", it.name, it.namespace)).unwrap_or_default();
    out.bytes.extend_from_slice(b"POST ");
    out.bytes.extend_from_slice(METHOD.as_bytes());
    out.bytes.extend_from_slice(b" HTTP/1.1\r\n");
    out.field(b"Host", host.as_bytes());
    out.field(b"Content-Type", b"application/grpc");
    out.field(b"User-Agent", b"rutter");
    out.field(b"TE", b"trailers");
    out.field(b"Connection", b"TE");
    out.line(format_args!("Content-Length: {}\r\n", message.len().saturating_add(PREFIX)));
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    out.bytes.push(0);
    out.bytes.extend_from_slice(&length.to_be_bytes());
    out.bytes.extend_from_slice(&message);
    Verb::Idempotent
}

fn check_request(auth: &ExternalAuth, question: &Question, body: &[u8]) -> CheckRequest {
    let size = match question.length {
        BodyLength::Exact(length) => i64::try_from(length).unwrap_or(-1),
        BodyLength::Chunked | BodyLength::UntilClose if body.is_empty() => -1,
        BodyLength::Chunked | BodyLength::UntilClose => i64::try_from(body.len()).unwrap_or(-1),
    };
    let text = std::str::from_utf8(body);
    let http = HttpRequest {
        id: question.id.clone(),
        method: question.method.clone(),
        headers: headers(auth, question),
        path: question.target.clone(),
        host: question.host.clone(),
        scheme: question.scheme.to_owned(),
        size,
        protocol: question.protocol.to_owned(),
        body: text.unwrap_or_default().to_owned(),
        raw_body: if text.is_ok() { Vec::new() } else { body.to_vec() },
    };
    let attributes = AttributeContext {
        source: Some(Peer::at(question.client)),
        destination: Some(Peer::at(question.server)),
        request: Some(AttributeRequest { http: Some(http) }),
    };
    CheckRequest { attributes: Some(attributes) }
}

/// The fields of the list, or all; several of a name are joined as the RFC says.
fn headers(auth: &ExternalAuth, question: &Question) -> BTreeMap<String, String> {
    let allowed = &auth.allowed_headers;
    let mut headers = BTreeMap::<String, String>::new();
    for (name, value) in question.fields() {
        if !allowed.is_empty() && !allowed.iter().any(|allowed| **allowed == *name) {
            continue;
        }
        let value = String::from_utf8_lossy(value);
        match headers.get_mut(&name) {
            Some(known) => *known = format!("{known},{value}"),
            None => drop(headers.insert(name, value.into_owned())),
        }
    }
    headers
}

/// Reads the answer to the call. `None`: it is none, or one that breaks the protocol.
pub(super) fn verdict(answer: &Answer) -> Option<Verdict> {
    if answer.status != 200 || !is_ok(answer) {
        return None;
    }
    let (prefix, message) = answer.body.split_first_chunk::<PREFIX>()?;
    let [0, length @ ..] = *prefix else { return None };
    if u32::from_be_bytes(length) as usize != message.len() {
        return None;
    }
    let response = CheckResponse::decode(message).ok()?;
    if response.status.is_some_and(|status| status.code != 0) {
        let denial = response.denied_response.unwrap_or_default();
        return Some(Verdict::Denied(refusal(denial)?));
    }
    let OkHttpResponse { headers, headers_to_remove, response_headers_to_add } =
        response.ok_response.unwrap_or_default();
    Some(Verdict::Allowed(Grant {
        request: changes(headers)?,
        remove: headers_to_remove.into_iter().map(Into::into).collect(),
        response: changes(response_headers_to_add)?,
    }))
}

/// Whether the call succeeded; `grpc-status` is a trailer, or a field if there is nothing else. An
/// answer that ends without it was cut short.
fn is_ok(answer: &Answer) -> bool {
    let fields = answer.fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let head = [b"\r\n", answer.trailer.as_slice()].concat();
    let mut told = fields.chain(written(&head));
    let status = told.find(|(name, _)| name.eq_ignore_ascii_case(b"grpc-status"));
    status.is_some_and(|(_, status)| status == b"0")
}

fn refusal(denial: DeniedHttpResponse) -> Option<super::OwnAnswer> {
    let DeniedHttpResponse { status, headers, body } = denial;
    let status = status.and_then(|status| u16::try_from(status.code).ok()).unwrap_or(403);
    let mut fields: Vec<(String, String)> = Vec::new();
    for change in changes(headers)? {
        let is = |(name, _): &(String, String)| name.eq_ignore_ascii_case(&change.name);
        let (name, value) = ((*change.name).to_owned(), (*change.value).to_owned());
        match change.when {
            When::Append => fields.push((name, value)),
            When::Absent if !fields.iter().any(is) => fields.push((name, value)),
            When::Overwrite => {
                fields.retain(|field| !is(field));
                fields.push((name, value));
            }
            // nothing is there before
            When::Absent | When::Present => {}
        }
    }
    let typed = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !typed && !body.is_empty() {
        fields.push(("content-type".to_owned(), "text/plain".to_owned()));
    }
    Some(denied(status, fields.into_iter(), body.into_bytes()))
}

/// The changes of fields that may be changed. `None`: one of them is no field.
fn changes(options: Vec<HeaderValueOption>) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    for option in options {
        let header = option.header.unwrap_or_default();
        let raw = String::from_utf8(header.raw_value).ok()?;
        let value = if header.value.is_empty() { raw } else { header.value };
        let pseudo = header.key.starts_with(':');
        if pseudo || (value.is_empty() && !option.keep_empty_value) {
            continue;
        }
        // without either field an old value is replaced, as the messages document it
        let when = match (option.append, option.append_action) {
            (Some(BoolValue { value: true }), _) => When::Append,
            (Some(BoolValue { value: false }), _) => When::Overwrite,
            (None, 1) => When::Absent,
            (None, 3) => When::Present,
            (None, _) => When::Overwrite,
        };
        changes.push(Change::new(&header.key.to_ascii_lowercase(), &value, when)?);
    }
    changes.retain(Change::is_allowed);
    Some(changes)
}

const METHOD: &str = "/envoy.service.auth.v3.Authorization/Check";
/// In front of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

#[cfg(test)]
mod tests;
