//! Requests of HTTP/2 as `exchange` takes them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use http_body::Body as _;
use hyper::body::Incoming;

use super::{Active, Shared};
use crate::observe::RequestRecord;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::exchange::{Client, Exchange};
use crate::plane::l7::forwarded::{Options, Request};
use crate::plane::l7::h1::{BodyLength, Name, Outgoing, ProtocolError, Verb};
use crate::plane::l7::respond::OwnAnswer;
use crate::plane::l7::route::{Target, canonical_host};
use crate::snapshot::{HttpListener, Reason};

/// Understands a request and decides about it; also whether trailers may go on.
pub(super) fn begin<'a>(
    shared: &Shared,
    listener: &HttpListener,
    parts: &'a http::request::Parts,
    body: &Incoming,
    record: &mut RequestRecord,
) -> Result<(Exchange, bool), OwnAnswer> {
    let method = parts.method.as_str();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    record.method = method.to_owned();
    record.target = path.to_owned();
    if parts.headers.len() > MAX_FIELDS {
        return Err(Reason::HeadersTooLarge.into());
    }
    let classify = |(name, value): (&'a HeaderName, &'a HeaderValue)| {
        let name = name.as_str().as_bytes();
        (Name::of(name), name, value.as_bytes().trim_ascii())
    };
    let fields: Vec<_> = parts.headers.iter().map(classify).collect();
    let fields = fields.iter().copied();
    let mut options = Options::of(fields.clone());
    options.upgrade = None;
    let authority = read_authority(parts)?;
    let host = canonical_host(authority).ok_or(Reason::BadRequest)?;
    if path.len() > shared.server.limits.target_bytes {
        return Err(Reason::UriTooLong.into());
    }
    let target = match path {
        "*" => Target::parse(path, method),
        _ => Target::at(None, path),
    };
    let length = match body.size_hint().exact() {
        Some(length) => BodyLength::Exact(length),
        None if body.is_end_stream() => BodyLength::Exact(0),
        None => BodyLength::Chunked,
    };
    let request = Request {
        verb: Verb::of(method.as_bytes()),
        method,
        authority,
        host: &host,
        target: &target.ok_or(Reason::BadRequest)?,
        length,
        options: &options,
        fields,
    };
    let Shared { server, identity, .. } = shared;
    let exchange = Exchange::begin(server, identity, listener, &request, record)?;
    Ok((exchange, options.trailers))
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
pub(super) struct Http2Client {
    pub(super) body: Incoming,
    pub(super) trailers: bool,
    pub(super) bytes: u64,
    pub(super) deadline: Deadline,
    pub(super) active: Active,
}

impl Client for Http2Client {
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
                    self.active.0.activity.note();
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

    /// hyper drops the exchange when the stream ends.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

/// Ends a request's body with these trailers.
fn end(request: &mut Outgoing, trailers: &HeaderMap) -> Result<(), Reason> {
    let mut section = Vec::new();
    for (name, value) in trailers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            section.extend_from_slice(part);
        }
    }
    section.extend_from_slice(b"\r\n");
    request.end(&section).map_err(ProtocolError::request_reason)
}

/// Fields of a request; hyper counts bytes only, and a byte of HPACK can be a field.
const MAX_FIELDS: usize = 100;
