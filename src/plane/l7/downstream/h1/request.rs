//! Requests of HTTP/1 as `exchange` takes them.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::Session;
use crate::observe::{RequestRecord, method_name};
use crate::plane::l7::buffer::READ_BYTES;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::exchange::{Client, Exchange};
use crate::plane::l7::forwarded::{Options, Request};
use crate::plane::l7::h1::{
    BodyLength, Decoder, Name, Outgoing, ProtocolError, RequestHead, Verb, request_length,
};
use crate::plane::l7::respond::{Delivery, OwnAnswer};
use crate::plane::l7::route::{Target, canonical_host};
use crate::snapshot::{HttpListener, Reason};

impl Session {
    /// Understands a request and decides about it. Its head is used up afterwards.
    pub(super) fn begin(
        &mut self,
        head: &RequestHead,
        listener: &HttpListener,
        delivery: &mut Delivery,
        record: &mut RequestRecord,
    ) -> Result<Box<Exchange>, OwnAnswer> {
        let bytes = self.buffer.filled().get(..head.len).unwrap_or_default();
        let (method, target) = (head.method(bytes), head.target(bytes));
        record.method = method_name(method);
        record.target = target.to_owned();
        let fields = head.fields.iter().map(|it| (it.known, it.name(bytes), it.value(bytes)));
        let mut options = Options::of(fields.clone());
        options.upgrade = options.upgrade.filter(|_| head.minor > 0);
        let length = request_length(head, bytes).map_err(ProtocolError::request_reason)?;
        let target = Target::parse(target, method);
        let target = target.ok_or_else(|| refused_target(head.verb))?;
        let (authority, host) = read_host(head, bytes, &target)?;
        delivery.keep = if head.minor == 0 { options.keep_alive } else { !options.close };
        delivery.upgrade = options.upgrade.is_some();
        if delivery.upgrade && length != BodyLength::Exact(0) {
            return Err(Reason::BadRequest.into());
        }
        let request = Request {
            verb: head.verb,
            method,
            authority,
            host: &host,
            target: &target,
            length,
            options: &options,
            fields,
        };
        let begun = Exchange::begin(&self.server, &self.identity, listener, &request, record);
        self.body = Decoder::new(length, self.server.local.limits.trailer_bytes);
        self.body_bytes = 0;
        self.trailers = options.trailers;
        self.buffer.consume(head.len);
        let mut exchange = begun?;
        exchange.gather(self)?;
        Ok(exchange)
    }

    /// Takes the body out of `read`; what comes behind it stays in the buffer.
    fn take_body(&mut self, read: &[u8], request: &mut Outgoing) -> Result<(), Reason> {
        let mut taken = 0;
        while taken < read.len() && !self.body.is_done() {
            let rest = read.get(taken..).unwrap_or_default();
            let (used, data) = self.body.decode(rest).map_err(ProtocolError::request_reason)?;
            let data = rest.get(data).unwrap_or_default();
            self.body_bytes = self.body_bytes.saturating_add(data.len() as u64);
            request.data(data);
            taken += used;
        }
        self.buffer.append(read.get(taken..).unwrap_or_default());
        Ok(())
    }
}

impl Client for Session {
    fn take_buffered(&mut self, request: &mut Outgoing) -> Result<bool, Reason> {
        if !self.body.is_done() && !self.buffer.is_empty() {
            let read = self.buffer.take();
            self.take_body(read.filled(), request)?;
        }
        if self.body.is_done() {
            let trailer = if self.trailers { self.body.trailer() } else { &[] };
            request.end(trailer).map_err(ProtocolError::request_reason)?;
        }
        Ok(self.body.is_done())
    }

    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Outgoing,
    ) -> Poll<Result<bool, Reason>> {
        while request.unsent() == 0 {
            if self.take_buffered(request)? {
                return Poll::Ready(Ok(true));
            }
            if request.unsent() > 0 {
                break;
            }
            let server = self.server.clone();
            let mut scratch = server.scratch.borrow_mut();
            let mut read = ReadBuf::new(self.body.within(&mut scratch));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))
                .map_err(|_| Reason::ClientClosed)?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(Reason::ClientClosed));
            }
            self.take_body(read.filled(), request)?;
        }
        Poll::Ready(Ok(false))
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.buffer.filled().len() < READ_BYTES {
            match ready!(self.buffer.poll_fill(cx, &mut self.stream)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}

impl Delivery {
    pub(super) fn of(head: &RequestHead) -> Self {
        Self { verb: head.verb, minor: head.minor, keep: false, upgrade: false }
    }
}

/// The one host that a request is for, as written and as matched: the target's, if it has one;
/// otherwise that of the one `Host` field, which only HTTP/1.0 may leave out.
fn read_host<'a>(
    head: &RequestHead,
    bytes: &'a [u8],
    target: &Target<'a>,
) -> Result<(&'a str, Cow<'a, str>), Reason> {
    let mut hosts = head.fields.iter().filter(|field| field.known == Name::Host);
    let host = hosts.next().map(|field| field.value(bytes));
    if hosts.next().is_some() || (host.is_none() && head.minor > 0) {
        return Err(Reason::BadRequest);
    }
    let host = host.map(|host| std::str::from_utf8(host).map_err(|_| Reason::BadRequest));
    let host = match host.transpose()? {
        Some(host) => Some((host, canonical_host(host).ok_or(Reason::BadRequest)?)),
        None => None,
    };
    match target.authority {
        Some(authority) => Ok((authority, canonical_host(authority).ok_or(Reason::BadRequest)?)),
        None => Ok(host.unwrap_or_default()),
    }
}

/// CONNECT has a target of its own form; it is refused for what it is.
fn refused_target(verb: Verb) -> Reason {
    if verb == Verb::Connect { Reason::MethodNotAllowed } else { Reason::BadRequest }
}
