//! Requests of HTTP/2 as `exchange` takes them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::response::Kind;
use super::{Active, Shared, Upload};
use crate::balance::Rng;
use crate::life;
use crate::observe::RequestRecord;
use crate::plane::Limits;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::exchange::{Client, Exchange};
use crate::plane::l7::forwarded::{Options, Request};
use crate::plane::l7::h1::{BodyLength, Name, Outgoing, ProtocolError, Verb, parse_length};
use crate::plane::l7::respond::OwnAnswer;
use crate::plane::l7::route::{Target, canonical_host};
use crate::snapshot::{HttpListener, Reason};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

/// Understands a request and decides about it; also whether trailers may go on.
pub(super) fn begin<'a, B: http_body::Body>(
    shared: &Shared,
    listener: &HttpListener,
    parts: &'a http::request::Parts,
    body: &B,
    kind: Kind,
    record: &mut RequestRecord,
) -> Result<(Box<Exchange>, bool), OwnAnswer> {
    let method = if kind.is_websocket { "GET" } else { parts.method.as_str() };
    let path = path_of(parts);
    check_size(method, path, &parts.headers, &shared.server.local.limits)?;
    let classify = |(name, value): (&'a HeaderName, &'a HeaderValue)| {
        let name = name.as_str().as_bytes();
        (Name::of(name), name, value.as_bytes().trim_ascii())
    };
    let mut fields: Vec<_> = parts.headers.iter().map(classify).collect();
    // `http` takes it for a letter of a name of HTTP/2; HTTP/1 has no such name
    if fields.iter().any(|(_, name, _)| memchr::memchr(b'"', name).is_some()) {
        return Err(Reason::BadRequest.into());
    }
    let key;
    if kind.is_websocket {
        key = new_websocket_key(&mut shared.server.local.rng.borrow_mut());
        fields.retain(|(_, name, _)| *name != WEBSOCKET_KEY);
        fields.push((Name::Other, WEBSOCKET_KEY, key.as_bytes()));
    }
    let fields = fields.iter().copied();
    let mut options = Options::of(fields.clone());
    options.upgrade = kind.is_websocket.then_some(b"websocket");
    check_length(fields.clone())?;
    let authority = read_authority(parts)?;
    let host = canonical_host(authority).ok_or(Reason::BadRequest)?;
    let target = match path {
        "*" => Target::parse(path, method),
        _ if path.starts_with('/') => Target::at(None, path),
        _ => None,
    };
    let request = Request {
        verb: Verb::of(method.as_bytes()),
        method,
        authority,
        host: &host,
        target: &target.ok_or(Reason::BadRequest)?,
        length: length_of(body, kind),
        options: &options,
        fields,
    };
    let Shared { server, identity, .. } = shared;
    let exchange = Exchange::begin(server, identity, listener, &request, record)?;
    Ok((exchange, options.trailers))
}

/// What a request has may be so large. `h2` counts bytes of all fields only, and a byte of HPACK can
/// be a field.
fn check_size(method: &str, path: &str, fields: &HeaderMap, limits: &Limits) -> Result<(), Reason> {
    let is_too_large = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() > limits.field_bytes
    };
    if method.len() > limits.method_bytes {
        return Err(Reason::MethodTooLong);
    }
    if fields.len() > limits.head_fields || fields.iter().any(is_too_large) {
        return Err(Reason::HeadersTooLarge);
    }
    if path.len() > limits.target_bytes {
        return Err(Reason::UriTooLong);
    }
    Ok(())
}

/// How long a body is, as its client says or its end shows. What follows a WebSocket's request is none.
fn length_of<B: http_body::Body>(body: &B, kind: Kind) -> BodyLength {
    match body.size_hint().exact() {
        _ if kind.is_websocket => BodyLength::Exact(0),
        Some(length) => BodyLength::Exact(length),
        None if body.is_end_stream() => BodyLength::Exact(0),
        None => BodyLength::Chunked,
    }
}

/// `Content-Length` is one plain number, if it is there at all: the codec that counts DATA by it also
/// takes an empty one, and several that are equal.
fn check_length<'a>(
    fields: impl Iterator<Item = (Name, &'a [u8], &'a [u8])>,
) -> Result<(), Reason> {
    let mut lengths = fields.filter(|(name, _, _)| *name == Name::ContentLength);
    let plain = lengths.next().is_none_or(|(_, _, value)| parse_length(value).is_some());
    if plain && lengths.next().is_none() { Ok(()) } else { Err(Reason::BadRequest) }
}

/// `:path`.
pub(super) fn path_of(parts: &http::request::Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

/// `:authority`, or `Host` where it is left out; if both are there they must agree.
fn read_authority(parts: &http::request::Parts) -> Result<&str, Reason> {
    let mut hosts = parts.headers.get_all(http::header::HOST).iter();
    let host =
        hosts.next().map(|host| host.to_str().map_err(|_| Reason::BadRequest)).transpose()?;
    if hosts.next().is_some() {
        return Err(Reason::BadRequest);
    }
    match (parts.uri.authority(), host) {
        (Some(authority), Some(host)) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(Reason::BadRequest)
        }
        (Some(authority), _) => Ok(authority.as_str()),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Reason::BadRequest),
    }
}

/// The request's body and the timer of its stream.
pub(super) struct Http2Client<B> {
    pub(super) body: B,
    pub(super) trailers: bool,
    pub(super) bytes: u64,
    pub(super) active: Active,
}

impl<B: Upload> Client for Http2Client<B> {
    fn take_buffered(&mut self, _: &mut Outgoing) -> Result<bool, Reason> {
        Ok(false)
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Outgoing,
    ) -> Poll<Result<bool, Reason>> {
        while request.unsent() == 0 {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
                return Poll::Ready(end(request, &HeaderMap::new()).map(|()| true));
            };
            let frame = frame.map_err(|_| Reason::ClientClosed)?;
            match frame.into_data() {
                Ok(data) => {
                    self.active.shared.activity.note(life::now());
                    self.bytes = self.bytes.saturating_add(data.len() as u64);
                    request.data(&data);
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().ok().filter(|_| self.trailers);
                    let trailers = trailers.unwrap_or_default();
                    return Poll::Ready(end(request, &trailers).map(|()| true));
                }
            }
        }
        Poll::Ready(Ok(false))
    }

    /// The exchange is dropped when the stream ends.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn window(&self) -> usize {
        let Shared { server, .. } = &*self.active.shared;
        if self.body.is_end_stream() { 0 } else { server.local.limits.h2_stream_window as usize }
    }

    fn deadline(&mut self) -> &mut Deadline {
        self.active.deadline()
    }
}

/// Ends a request's body with these trailers.
pub(super) fn end(request: &mut Outgoing, trailers: &HeaderMap) -> Result<(), Reason> {
    let mut section = Vec::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            section.extend_from_slice(part);
        }
    }
    section.extend_from_slice(b"\r\n");
    request.end(&section).map_err(ProtocolError::request_reason)
}

/// What an endpoint is asked to prove that it knows WebSockets with (RFC 6455 section 4.1), which HTTP/2
/// has no need of.
fn new_websocket_key(rng: &mut Rng) -> String {
    let bytes = [rng.next_u64(), rng.next_u64()].map(u64::to_ne_bytes);
    BASE64.encode(bytes.concat())
}

const WEBSOCKET_KEY: &[u8] = b"sec-websocket-key";
