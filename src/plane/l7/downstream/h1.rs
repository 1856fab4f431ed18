//! A client that speaks HTTP/1.
//!
//! Requests one after the other, pipelined or not. The bytes behind a head stay in the buffer:
//! they are the body, the next request, or (after 101) the first bytes of another protocol.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::relay::Relay;
use crate::observe::RequestRecord;
use crate::plane::l7::buffer::{Buffer, READ_BYTES};
use crate::plane::l7::connection::Stream;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::downstream::h2;
use crate::plane::l7::exchange::{Client, Exchange};
use crate::plane::l7::forwarded::{Options, Request};
use crate::plane::l7::h1::{
    BodyLength, Decoder, HeadEnd, Name, Outgoing, ProtocolError, RequestHead, ResponseHead, Verb,
    request_length,
};
use crate::plane::l7::respond::{Delivery, write_failure, write_interim};
use crate::plane::l7::route::{Target, canonical_host};
use crate::plane::l7::{Identity, Server, http_listener, upgrade};
use crate::snapshot::{HttpListener, Reason};

/// Serves a connection to its end.
pub(crate) async fn serve(server: &Rc<Server>, stream: Stream, identity: Identity) {
    let mut session = Session::new(server, stream, identity);
    let mut drained = pin!(server.drained.notified());
    loop {
        let next = poll_fn(|cx| session.poll_next(cx, drained.as_mut())).await;
        let after = match next {
            // boxed, so that an idle connection takes no more memory than waiting needs
            Next::Request(head) => Box::pin(session.exchange(head)).await,
            Next::Preface => return Box::pin(session.go_on_with_h2()).await,
            Next::Refused(reason) => Box::pin(session.refuse(reason)).await,
            Next::Closed => return,
        };
        match after {
            After::Keep => session.wait_for_next(),
            After::Close => return Box::pin(session.linger()).await,
            After::Abort => return,
        }
    }
}

/// A connection and where it is in its requests.
pub(super) struct Session {
    pub(super) server: Rc<Server>,
    pub(super) stream: Stream,
    pub(super) deadline: Deadline,
    identity: Identity,
    buffer: Buffer,
    head_end: HeadEnd,
    /// Whether nothing but the first head may still come: only then can it be HTTP/2.
    first: bool,
    /// The body of the current request, and how much of it there was.
    body: Decoder,
    pub(super) body_bytes: u64,
    trailers: bool,
}

/// What a client sends next.
enum Next {
    Request(RequestHead),
    /// HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    Preface,
    Refused(Reason),
    Closed,
}

/// What becomes of the connection after an exchange.
pub(super) enum After {
    /// It takes the next request.
    Keep,
    /// It is closed once the client has had its answer.
    Close,
    /// It is closed at once: the response was cut short, or the client is gone.
    Abort,
}

impl Session {
    fn new(server: &Rc<Server>, stream: Stream, identity: Identity) -> Self {
        Self {
            stream,
            identity,
            buffer: Buffer::new(server.buffers.clone()),
            deadline: Deadline::after(server.limits.head_time),
            head_end: HeadEnd::default(),
            first: true,
            body: Decoder::Exact(0),
            body_bytes: 0,
            trailers: false,
            server: server.clone(),
        }
    }

    /// Reads the next head; the only place where a connection is idle.
    fn poll_next(&mut self, cx: &mut Context<'_>, drained: Pin<&mut Notified<'_>>) -> Poll<Next> {
        loop {
            match self.parse_head() {
                Ok(Some(next)) => return Poll::Ready(next),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Next::Refused(error.request_reason())),
            }
            let begun = !self.buffer.is_empty();
            match self.buffer.poll_fill(cx, &mut self.stream) {
                Poll::Ready(Ok(1..)) if begun => {}
                Poll::Ready(Ok(1..)) => self.head_begins(),
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Closed),
                Poll::Pending if begun => {
                    ready!(self.deadline.poll_passed(cx));
                    return Poll::Ready(Next::Refused(Reason::RequestTimeout));
                }
                Poll::Pending if self.server.draining.get() => return Poll::Ready(Next::Closed),
                Poll::Pending => {
                    if drained.poll(cx).is_pending() {
                        ready!(self.deadline.poll_passed(cx));
                    }
                    return Poll::Ready(Next::Closed);
                }
            }
        }
    }

    /// The first bytes of a request are there: the rest of its head has to come in time.
    fn head_begins(&mut self) {
        let complete = self.buffer.filled().ends_with(b"\r\n\r\n");
        if !complete {
            self.deadline.set(Instant::now(), self.server.limits.head_time);
        }
    }

    /// The next head, if all of it is there.
    fn parse_head(&mut self) -> Result<Option<Next>, ProtocolError> {
        if self.head_end.is_new() && self.buffer.filled().starts_with(b"\r\n") {
            // one empty line in front is left over from an old client's body (RFC 9112 2.2)
            self.buffer.consume(2);
        }
        let limits = &self.server.limits;
        let filled = self.buffer.filled();
        let Some(end) = self.head_end.find(filled)? else {
            if self.head_end.in_first_line() && filled.len() > limits.target_bytes + METHOD_BYTES {
                return Err(ProtocolError::TargetTooLong);
            }
            let full = filled.len() >= limits.head_bytes;
            return if full { Err(ProtocolError::HeadTooLarge) } else { Ok(None) };
        };
        let head = filled.get(..end).unwrap_or_default();
        if std::mem::take(&mut self.first) && head == PREFACE_HEAD {
            return Ok(Some(Next::Preface));
        }
        if end > limits.head_bytes {
            return Err(ProtocolError::HeadTooLarge);
        }
        self.head_end = HeadEnd::default();
        RequestHead::parse(head, limits.target_bytes).map(|head| Some(Next::Request(head)))
    }

    /// One request and its response.
    async fn exchange(&mut self, head: RequestHead) -> After {
        let snapshot = self.server.local.snapshot.load();
        let listener = http_listener(&snapshot, self.identity.key).cloned();
        drop(snapshot);
        let name = listener.as_ref().map(|listener| listener.name.clone()).unwrap_or_default();
        let protocol = if head.minor == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut record = self.server.record(&self.identity, name, protocol);
        let mut delivery = Delivery::of(&head);
        let begun = match &listener {
            Some(listener) => self.begin(&head, listener, &mut delivery, &mut record),
            None => Err(Reason::Draining),
        };
        drop((head, listener));
        match begun {
            Ok(mut exchange) => self.forward(&mut exchange, delivery, &mut record).await,
            Err(reason) => Box::pin(self.fail(reason, delivery, &mut record)).await,
        }
    }

    /// Understands a request and decides about it. Its head is used up afterwards.
    fn begin(
        &mut self,
        head: &RequestHead,
        listener: &HttpListener,
        delivery: &mut Delivery,
        record: &mut RequestRecord,
    ) -> Result<Exchange, Reason> {
        let bytes = self.buffer.filled().get(..head.len).unwrap_or_default();
        let fields = head.fields.iter().map(|it| (it.known, it.name(bytes), it.value(bytes)));
        let options = Options::of(fields.clone());
        let length = request_length(head, bytes).map_err(ProtocolError::request_reason)?;
        let target = Target::parse(head.target(bytes), head.method(bytes));
        let target = target.ok_or_else(|| refused_target(head.verb))?;
        let (authority, host) = read_host(head, bytes, &target)?;
        delivery.keep = if head.minor == 0 { options.keep_alive } else { !options.close };
        delivery.upgrade = head.minor > 0 && options.upgrade.is_some();
        if delivery.upgrade && length != BodyLength::Exact(0) {
            return Err(Reason::BadRequest);
        }
        let request = Request {
            verb: head.verb,
            method: head.method(bytes),
            authority,
            host: &host,
            target: &target,
            length,
            options: &options,
            fields,
        };
        let begun = Exchange::begin(&self.server, &self.identity, listener, &request, record);
        self.body = Decoder::new(length);
        self.body_bytes = 0;
        self.trailers = options.trailers;
        self.buffer.consume(head.len);
        let mut exchange = begun?;
        exchange.gather(self)?;
        Ok(exchange)
    }

    async fn forward(
        &mut self,
        exchange: &mut Exchange,
        mut delivery: Delivery,
        record: &mut RequestRecord,
    ) -> After {
        loop {
            let response = match exchange.answer(self, record).await {
                Ok(response) => response,
                Err(reason) => return Box::pin(self.fail(reason, delivery, record)).await,
            };
            if response.status == 101 && delivery.upgrade {
                return Box::pin(self.switch(exchange, response, record)).await;
            }
            if response.is_interim() {
                if !Box::pin(self.pass_interim(exchange, &response, delivery)).await {
                    return After::Abort;
                }
                continue;
            }
            // bytes sent ahead of a refused upgrade are no request: both sides are closed
            delivery.keep &= !delivery.upgrade && !self.server.draining.get();
            let relay = Relay::begin(exchange, &response, delivery, self);
            drop(response);
            return match relay {
                Ok(mut relay) => relay.run(exchange, self, record).await,
                Err(reason) => Box::pin(self.fail(reason, delivery, record)).await,
            };
        }
    }

    /// Answers in the place of an endpoint.
    pub(super) async fn fail(
        &mut self,
        reason: Reason,
        mut delivery: Delivery,
        record: &mut RequestRecord,
    ) -> After {
        record.reason = Some(reason);
        record.request_bytes = self.body_bytes;
        if reason == Reason::ClientClosed {
            return After::Abort;
        }
        // what is left of a body is not read as a request
        let whole = self.body.is_done() && !delivery.upgrade;
        delivery.keep &= whole && !closes(reason) && !self.server.draining.get();
        let mut out = Outgoing::new(self.server.buffers.take());
        write_failure(&mut out, reason, &delivery, &self.server.clock);
        record.status = reason.status();
        match self.send(out).await {
            true if delivery.keep => After::Keep,
            true => After::Close,
            false => After::Abort,
        }
    }

    /// Answers what is no request.
    async fn refuse(&mut self, reason: Reason) -> After {
        let mut record = self.server.record(&self.identity, Arc::default(), "HTTP/1.1");
        let delivery = Delivery { verb: Verb::Other, minor: 1, keep: false, upgrade: false };
        self.fail(reason, delivery, &mut record).await
    }

    /// Passes an interim response on; clients of HTTP/1.0 do not know them. `false`: the client
    /// is gone.
    async fn pass_interim(
        &mut self,
        exchange: &mut Exchange,
        response: &ResponseHead,
        delivery: Delivery,
    ) -> bool {
        let out = self.interim_head(exchange, response);
        delivery.minor == 0 || self.send(out).await
    }

    /// Tells the client that the protocol changes, and carries the other one to its end.
    async fn switch(
        &mut self,
        exchange: &mut Exchange,
        response: ResponseHead,
        record: &mut RequestRecord,
    ) -> After {
        record.status = response.status;
        let out = self.interim_head(exchange, &response);
        let Some(carrier) = exchange.upstream.take() else { return After::Abort };
        if self.send(out).await {
            let ahead =
                std::mem::replace(&mut self.buffer, Buffer::new(self.server.buffers.clone()));
            upgrade::run(&self.server, &mut self.stream, ahead, carrier, record).await;
        }
        After::Abort
    }

    fn interim_head(&self, exchange: &mut Exchange, response: &ResponseHead) -> Outgoing {
        let mut out = Outgoing::new(self.server.buffers.take());
        if let Some(carrier) = &mut exchange.upstream {
            let buffer = &mut carrier.connection.buffer;
            let head = buffer.filled().get(..response.len).unwrap_or_default();
            write_interim(&mut out, response, head);
            buffer.consume(response.len);
        }
        out
    }

    /// Sends all of it; `false` if the client is gone or takes too long.
    async fn send(&mut self, mut out: Outgoing) -> bool {
        self.deadline.set(Instant::now(), self.server.limits.client_stall);
        let sent = poll_fn(|cx| {
            if let Poll::Ready(sent) = out.poll_flush(cx, &mut self.stream) {
                return Poll::Ready(sent.is_ok());
            }
            self.deadline.poll_passed(cx).map(|()| false)
        });
        let sent = sent.await;
        self.server.buffers.give_back(std::mem::take(&mut out.bytes));
        sent
    }

    fn wait_for_next(&mut self) {
        self.deadline.set(Instant::now(), self.server.limits.client_idle);
    }

    /// Closes so that the client gets to read the answer: our side first, then what it is still
    /// sending is read and dropped, up to a limit. To close with unread bytes would reset the
    /// connection and take the answer back.
    async fn linger(mut self) {
        let limits = &self.server.limits;
        self.deadline.set(Instant::now(), limits.linger_time);
        let mut left = limits.linger_bytes;
        let mut shut = false;
        poll_fn(|cx| {
            if !shut {
                shut = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
            }
            loop {
                self.buffer.consume(usize::MAX);
                match self.buffer.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(length @ 1..)) if length <= left => left -= length,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.deadline.poll_passed(cx),
                }
            }
        })
        .await;
    }

    async fn go_on_with_h2(self) {
        let Self { server, stream, buffer, identity, .. } = self;
        let read = buffer.filled().to_vec();
        drop(buffer);
        Box::pin(h2::serve(&server, stream, read, identity)).await;
    }
}

impl Client for Session {
    fn take_buffered(&mut self, request: &mut Outgoing) -> Result<bool, Reason> {
        while !self.body.is_done() && !self.buffer.is_empty() {
            let filled = self.buffer.filled();
            let (used, data) = self.body.decode(filled).map_err(ProtocolError::request_reason)?;
            let data = filled.get(data).unwrap_or_default();
            self.body_bytes = self.body_bytes.saturating_add(data.len() as u64);
            request.data(data);
            self.buffer.consume(used);
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
            if request.unsent() == 0 {
                match ready!(self.buffer.poll_fill(cx, &mut self.stream)) {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return Poll::Ready(Err(Reason::ClientClosed)),
                }
            }
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
    fn of(head: &RequestHead) -> Self {
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

/// Whether a connection ends with this answer: nobody knows where the next request begins.
fn closes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadRequest
            | Reason::UriTooLong
            | Reason::HeadersTooLarge
            | Reason::MethodNotAllowed
            | Reason::RequestTimeout
            | Reason::Draining
    )
}

/// The head that HTTP/2 with prior knowledge begins with.
const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// What a request line has beside its target.
const METHOD_BYTES: usize = 64;
