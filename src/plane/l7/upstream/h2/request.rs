//! A request as HTTP/2 has it.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use ::h2::SendStream;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, TE};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{Method, Request, Uri};

use crate::plane::l7::h1::{
    BodyLength, Decoder, Name, ProtocolError, RequestHead, request_length, trailer_fields,
};
use crate::plane::l7::window::poll_room;

/// What is known about the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) is_tls: bool,
    /// Takes the place of a host that the client did not name, as HTTP/1.0 allows.
    pub(super) endpoint: SocketAddr,
}

/// Reads a request head, and says how long the body behind it is.
pub(super) fn convert(
    bytes: &[u8],
    way: Way,
) -> Result<(Request<()>, BodyLength, RequestHead), ProtocolError> {
    let head = RequestHead::parse_own(bytes)?;
    let length = request_length(&head, bytes)?;
    let mut request = Request::new(());
    let method = Method::from_bytes(head.method(bytes).as_bytes());
    *request.method_mut() = method.map_err(|_| ProtocolError::Head)?;
    let mut host = None;
    let fields = request.headers_mut();
    fields.reserve(head.fields.len());
    for field in &head.fields {
        let (name, value) = (field.name(bytes), field.value(bytes));
        match field.known {
            Name::Host => host = Some(value).filter(|host| !host.is_empty()),
            // the only thing that it may say (RFC 9113 section 8.2.2)
            Name::Te => drop(fields.insert(TE, HeaderValue::from_static("trailers"))),
            Name::Connection | Name::HopByHop | Name::TransferEncoding | Name::Upgrade => {}
            Name::ContentLength
            | Name::Cookie
            | Name::Date
            | Name::Expect
            | Name::Forwarded
            | Name::RequestId
            | Name::Server
            | Name::Underscore
            | Name::Other => append(fields, name, value)?,
        }
    }
    let mut parts = Parts::default();
    parts.scheme = Some(if way.is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(match host {
        Some(host) => Authority::try_from(host).map_err(|_| ProtocolError::Head)?,
        None => Authority::try_from(way.endpoint.to_string()).map_err(|_| ProtocolError::Head)?,
    });
    parts.path_and_query = Some(path(head.target(bytes))?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|_| ProtocolError::Head)?;
    Ok((request, length, head))
}

/// Path and query; what HTTP/1 lets through and `http` does not is percent-encoded.
fn path(target: &str) -> Result<PathAndQuery, ProtocolError> {
    // `http` takes `#` for the beginning of a fragment, and drops it
    if let (false, Ok(path)) = (target.contains('#'), PathAndQuery::try_from(target)) {
        return Ok(path);
    }
    let mut encoded = String::with_capacity(target.len());
    for byte in target.bytes() {
        if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded += &format!("%{byte:02X}");
        }
    }
    PathAndQuery::try_from(encoded).map_err(|_| ProtocolError::Head)
}

fn append(fields: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), ProtocolError> {
    let name = HeaderName::from_bytes(name).map_err(|_| ProtocolError::Head)?;
    fields.append(name, HeaderValue::from_bytes(value).map_err(|_| ProtocolError::Head)?);
    Ok(())
}

/// A request's body on its way.
#[derive(Debug)]
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    /// Takes the body out of the bytes of HTTP/1.
    body: Decoder,
    /// What the endpoint's window has no room for yet.
    waiting: Bytes,
}

impl Upload {
    /// The bytes of HTTP/1 are our own, and were measured where they came from.
    pub(super) fn new(stream: SendStream<Bytes>, length: BodyLength) -> Self {
        Self { stream, body: Decoder::new(length, usize::MAX), waiting: Bytes::new() }
    }

    pub(super) fn holds_back(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes more of the body; nothing may be waiting.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let mut data = Vec::with_capacity(bytes.len());
        let mut used = 0;
        while used < bytes.len() && !self.body.is_done() {
            let rest = bytes.get(used..).unwrap_or_default();
            let (length, place) = self.body.decode(rest)?;
            data.extend_from_slice(rest.get(place).unwrap_or_default());
            used += length;
        }
        self.waiting = Bytes::from(data);
        Ok(())
    }

    /// Sends what is waiting, as far as the windows are open, and the end: `true` when that is
    /// sent too.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let trailers = self.trailers().map_err(io::Error::other)?;
        while !self.waiting.is_empty() {
            let room = ready!(poll_room(&mut self.stream, self.waiting.len(), cx))?
                .min(self.waiting.len());
            let piece = self.waiting.split_to(room);
            let is_last = self.waiting.is_empty() && self.body.is_done() && trailers.is_empty();
            self.stream.send_data(piece, is_last).map_err(io::Error::other)?;
            if is_last {
                return Poll::Ready(Ok(true));
            }
        }
        if !self.body.is_done() {
            return Poll::Ready(Ok(false));
        }
        let ended = match trailers.is_empty() {
            true => self.stream.send_data(Bytes::new(), true),
            false => self.stream.send_trailers(trailers),
        };
        Poll::Ready(ended.map(|()| true).map_err(io::Error::other))
    }

    fn trailers(&self) -> Result<HeaderMap, ProtocolError> {
        let mut fields = HeaderMap::new();
        trailer_fields(self.body.trailer(), |name, value| {
            // both were read strictly
            let _ = append(&mut fields, name.as_bytes(), value);
        })?;
        Ok(fields)
    }
}
