//! A client that speaks HTTP/1.
//!
//! Requests one after the other, pipelined or not. The bytes behind a head stay in the buffer:
//! they are the body, the next request, or (after 101) the first bytes of another protocol.

mod relay;
mod reply;
mod request;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use self::relay::Relay;
use super::h2;
use crate::life::{self, Shed};
use crate::observe::RequestRecord;
use crate::plane::Limits;
use crate::plane::l7::buffer::Buffer;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::exchange::Exchange;
use crate::plane::l7::h1::{Decoder, HeadEnd, ProtocolError, RequestHead, is_token};
use crate::plane::l7::respond::Delivery;
use crate::plane::l7::{Identity, Server, http_listener};
use crate::plane::tls::Stream;
use crate::snapshot::Reason;

/// Serves a connection to its end.
pub(crate) async fn serve(server: &Rc<Server>, stream: Stream, identity: Identity) {
    let mut session = Session::new(server, stream, identity);
    let mut drained = pin!(server.drained.notified());
    loop {
        let next = poll_fn(|cx| {
            let next = session.poll_next(cx);
            // there is more than one reason to look, and none to wait for one with a request at hand
            if next.is_pending() && drained.as_mut().poll(cx).is_ready() {
                drained.set(server.drained.notified());
                let _ = drained.as_mut().poll(cx);
                return session.poll_next(cx);
            }
            next
        });
        let next = next.await;
        let after = match next {
            // boxed, so that an idle connection takes no more memory than waiting needs
            Next::Request(head) => Box::pin(session.exchange(head)).await,
            Next::Preface => return Box::pin(session.go_on_with_h2()).await,
            Next::Foreign => session.turn_away(),
            Next::Refused(reason) => Box::pin(session.refuse(reason)).await,
            // TLS says goodbye, so that nobody takes the end for an attack
            Next::Closed => After::Close,
        };
        match after {
            After::Keep => session.wait_for_next(),
            After::Close => return Box::pin(session.linger()).await,
            After::Abort => return,
        }
    }
}

/// A connection and where it is in its requests.
struct Session {
    server: Rc<Server>,
    stream: Stream,
    deadline: Deadline,
    identity: Identity,
    buffer: Buffer,
    head_end: HeadEnd,
    /// Whether an empty line before the head was skipped: there may be one.
    skipped_line: bool,
    /// Whether the deadline is that of a head that has begun.
    head_timed: bool,
    /// Whether the deadline is that of the drain.
    drain_timed: bool,
    /// Whether nothing but the first head may still come: only then can it be HTTP/2.
    first: bool,
    /// The body of the current request, and how much of it there was.
    body: Decoder,
    body_bytes: u64,
    trailers: bool,
}

/// What a client sends next.
enum Next {
    Request(RequestHead),
    /// HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    Preface,
    /// No version of HTTP: whoever sends it understands no answer of HTTP/1, or expects none (RFC 9113
    /// section 3.4).
    Foreign,
    Refused(Reason),
    Closed,
}

/// What becomes of the connection after an exchange.
enum After {
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
            deadline: Deadline::after(server.local.limits.head_time),
            head_end: HeadEnd::default(),
            skipped_line: false,
            head_timed: false,
            drain_timed: false,
            first: true,
            body: Decoder::Exact(0),
            body_bytes: 0,
            trailers: false,
            server: server.clone(),
        }
    }

    /// Reads the next head; the only place where a connection is idle.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            match self.parse_head() {
                Ok(Some(next)) => return Poll::Ready(next),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Next::Refused(error.request_reason())),
            }
            let begun = !self.buffer.is_empty();
            match self.buffer.poll_fill(cx, &mut self.stream) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Next::Closed),
                Poll::Pending if begun => {
                    self.time_head();
                    ready!(self.deadline.poll_passed(cx));
                    return Poll::Ready(Next::Refused(Reason::RequestTimeout));
                }
                Poll::Pending => {
                    self.time_drain();
                    ready!(self.deadline.poll_passed(cx));
                    if self.drain_timed && !self.server.draining.get() {
                        self.server.local.overload.count(Shed::IdleConnection, 1);
                    }
                    return Poll::Ready(Next::Closed);
                }
            }
        }
    }

    /// The drain has begun, or memory is short: a client cannot know and may have sent a request already, which
    /// closing at once would lose.
    fn time_drain(&mut self) {
        if self.server.is_closing() && !std::mem::replace(&mut self.drain_timed, true) {
            self.deadline.set(life::now(), self.server.local.limits.drain_idle);
        }
    }

    /// The first bytes of a request are there: the rest of its head has to come in time.
    fn time_head(&mut self) {
        if !std::mem::replace(&mut self.head_timed, true) {
            self.deadline.set(life::now(), self.server.local.limits.head_time);
        }
    }

    /// The next head, if all of it is there. What is refused is refused for the same reason however its
    /// bytes were split on the way.
    fn parse_head(&mut self) -> Result<Option<Next>, ProtocolError> {
        if !self.skipped_line {
            // one empty line in front is left over from an old client's body (RFC 9112 2.2)
            match self.buffer.filled() {
                b"\r" => return Ok(None),
                [b'\r', b'\n', ..] => {
                    self.buffer.consume(2);
                    self.skipped_line = true;
                }
                _ => {}
            }
        }
        let parsed = self.parse_whole_head();
        if !matches!(parsed, Ok(Some(Next::Request(_) | Next::Preface))) {
            check_line(self.buffer.filled(), &self.server.local.limits)?;
        }
        parsed
    }

    /// The head that begins the buffer, if all of it is there.
    fn parse_whole_head(&mut self) -> Result<Option<Next>, ProtocolError> {
        let limits = &self.server.local.limits;
        let filled = self.buffer.filled();
        let Some(end) = self.head_end.find_within(limits.head_bytes, filled)? else {
            return Ok(None);
        };
        let head = filled.get(..end).unwrap_or_default();
        let is_first = std::mem::take(&mut self.first);
        if is_first && head == PREFACE_HEAD {
            return Ok(Some(Next::Preface));
        }
        if is_first && !is_http(head) {
            return Ok(Some(Next::Foreign));
        }
        self.head_end = HeadEnd::default();
        self.head_timed = false;
        self.skipped_line = false;
        RequestHead::parse(head, limits).map(|head| Some(Next::Request(head)))
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
            None => Err(Reason::Draining.into()),
        };
        drop((head, listener));
        match begun {
            Ok(mut exchange) => self.forward(&mut exchange, delivery, &mut record).await,
            Err(answer) => Box::pin(self.answer_itself(answer, delivery, &mut record)).await,
        }
    }

    /// Carries a request to an endpoint and the response back.
    async fn forward(
        &mut self,
        exchange: &mut Exchange,
        mut delivery: Delivery,
        record: &mut RequestRecord,
    ) -> After {
        if exchange.awaits_authorization()
            && let Err(answer) = Box::pin(self.authorize(exchange, record)).await
        {
            return Box::pin(self.answer_itself(answer, delivery, record)).await;
        }
        loop {
            let response = match exchange.answer(self, record).await {
                Ok(response) => response,
                Err(reason) => return Box::pin(self.answer_itself(reason, delivery, record)).await,
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
            delivery.keep &= !delivery.upgrade && !self.is_last(record);
            let relay = Relay::begin(exchange, &response, delivery, self);
            drop(response);
            return match relay {
                Ok(mut relay) => relay.run(exchange, self, record).await,
                Err(reason) => Box::pin(self.answer_itself(reason, delivery, record)).await,
            };
        }
    }

    /// Whether the connection takes no request after this one.
    fn is_last(&self, record: &RequestRecord) -> bool {
        self.server.is_closing() || self.server.is_retired(&self.identity, record.started)
    }

    fn wait_for_next(&mut self) {
        self.drain_timed = false;
        self.deadline.set(life::now(), self.server.local.limits.client_idle);
    }

    async fn go_on_with_h2(self) {
        let Self { server, stream, buffer, identity, .. } = self;
        let read = buffer.filled().to_vec();
        drop(buffer);
        Box::pin(h2::serve(&server, stream, read, identity)).await;
    }
}

/// Whether what has come of a request line, which may be all of it, can be one.
fn check_line(filled: &[u8], limits: &Limits) -> Result<(), ProtocolError> {
    let line = filled.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let method = line.get(..=limits.method_bytes);
    if let Some(method) = method.filter(|method| memchr::memchr(b' ', method).is_none()) {
        let is_token = method.iter().all(|byte| is_token(*byte));
        return Err(if is_token { ProtocolError::MethodTooLong } else { ProtocolError::Head });
    }
    let most = limits.method_bytes.saturating_add(limits.target_bytes);
    if line.len() > most.saturating_add(VERSION_BYTES) {
        return Err(ProtocolError::TargetTooLong);
    }
    Ok(())
}

/// Whether the first line is of some HTTP, or nothing that could be of anything else; 0.9 has no version,
/// and knows GET alone.
fn is_http(head: &[u8]) -> bool {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.is_empty() || line.starts_with(b"GET") || memchr::memmem::find(line, b"HTTP/").is_some()
}

/// The head that HTTP/2 with prior knowledge begins with.
const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";
/// What a request line has beside method and target before it ends: a space, ` HTTP/1.1` and a CR.
const VERSION_BYTES: usize = 11;
