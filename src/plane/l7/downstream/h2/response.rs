//! Responses as HTTP/2 and HTTP/3 have them.

use std::task::{Context, Poll, ready};

use super::grpc::{is_grpc, translate};
use super::ongoing::Final;
use super::{Ongoing, Upload};
use crate::life;
use crate::observe::RequestRecord;
use crate::plane::l7::compress::{Compressor, settle};
use crate::plane::l7::filter::change_map;
use crate::plane::l7::forwarded::Options;
use crate::plane::l7::h1::{
    BodyLength, Decoder, Name, ProtocolError, ResponseHead, Verb, response_length, trailer_fields,
};
use crate::plane::l7::respond::{OwnAnswer, SERVER};
use crate::snapshot::Reason;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::Frame;

/// What a request says about the answers that it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    verb: Verb,
    is_grpc: bool,
    /// Whether it asks for a WebSocket on its stream (RFC 8441).
    pub(super) is_websocket: bool,
}

impl Kind {
    pub(super) fn of(request: &http::request::Parts) -> Self {
        let protocol = request.extensions.get::<::h2::ext::Protocol>();
        let is_websocket = request.method == Method::CONNECT
            && protocol.is_some_and(|it| it.as_str().eq_ignore_ascii_case("websocket"));
        let method = if is_websocket { "GET" } else { request.method.as_str() };
        let verb = Verb::of(method.as_bytes());
        Self { verb, is_grpc: is_grpc(&request.headers), is_websocket }
    }
}

/// The response as it is sent.
pub(super) fn respond<B>(mut ongoing: Box<Ongoing<B>>, response: &ResponseHead) -> Final<B> {
    let kind = ongoing.kind;
    let converted = match &mut ongoing.exchange.upstream {
        Some(carrier) => {
            let buffer = &mut carrier.connection.buffer;
            let head = buffer.filled().get(..response.len).unwrap_or_default();
            let converted = convert(response, head, kind.verb);
            buffer.consume(response.len);
            converted
        }
        None => Err(Reason::Internal),
    };
    let (mut answer, length, persistent) = match converted {
        Ok(converted) => converted,
        Err(reason) => return answer_itself(reason, ongoing.record, kind),
    };
    let body = Decoder::new(length, ongoing.exchange.server().local.limits.trailer_bytes);
    let compressor = ongoing.exchange.compressor.take();
    if compressor.is_some() {
        answer.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    change_map(answer.headers_mut(), &ongoing.exchange.route.response_modifiers());
    ongoing.record.status = response.status;
    // an endpoint that was asked for another protocol is asked for nothing else
    let persistent = persistent && !kind.is_websocket;
    let mut relayed = Box::new(Relayed { ongoing, body, compressor, persistent });
    relayed.release_if_done();
    answer.map(|()| Answer::Relayed(relayed))
}

/// The head of a response, how long its body is, and whether the endpoint keeps its connection.
fn convert(
    response: &ResponseHead,
    head: &[u8],
    verb: Verb,
) -> Result<(Response<()>, BodyLength, bool), Reason> {
    let length = response_length(response, head, verb).map_err(ProtocolError::response_reason)?;
    let status = StatusCode::from_u16(response.status).ok().filter(|it| it.as_u16() >= 200);
    let fields = response.fields.iter().map(|it| (it.known, it.name(head), it.value(head)));
    let options = Options::of(fields.clone());
    let mut answer = Response::new(());
    *answer.status_mut() = status.ok_or(Reason::UpstreamProtocol)?;
    let headers = answer.headers_mut();
    // with one of ours
    headers.reserve(response.fields.len() + 1);
    for (known, name, value) in fields.clone() {
        let hop = matches!(
            known,
            Name::Connection | Name::HopByHop | Name::Te | Name::TransferEncoding | Name::Upgrade
        );
        let no_length = known == Name::ContentLength && response.status == 204;
        if hop || no_length || options.nominate(fields.clone(), name) {
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| Reason::UpstreamProtocol)?;
        let value = HeaderValue::from_bytes(value).map_err(|_| Reason::UpstreamProtocol)?;
        headers.append(name, value);
    }
    let server = headers.entry(http::header::SERVER);
    server.or_insert(HeaderValue::from_static(SERVER));
    let persistent = if response.minor == 0 { options.keep_alive } else { !options.close };
    Ok((answer, length, persistent))
}

/// An interim response, or the one that opens a stream for another protocol.
pub(super) fn interim(response: &ResponseHead, head: &[u8]) -> Option<Response<()>> {
    let mut interim = Response::new(());
    *interim.status_mut() = StatusCode::from_u16(response.status).ok()?;
    for field in &response.fields {
        let name = field.name(head);
        let is_hop = matches!(
            field.known,
            Name::Connection
                | Name::ContentLength
                | Name::HopByHop
                | Name::TransferEncoding
                | Name::Upgrade
        );
        if is_hop || name.eq_ignore_ascii_case(b"sec-websocket-accept") {
            continue;
        }
        let name = HeaderName::from_bytes(name).ok()?;
        interim.headers_mut().append(name, HeaderValue::from_bytes(field.value(head)).ok()?);
    }
    Some(interim)
}

/// An answer of rutter's own.
pub(super) fn answer_itself<B>(
    own: impl Into<OwnAnswer>,
    mut record: RequestRecord,
    kind: Kind,
) -> Response<Answer<B>> {
    let own = own.into();
    let own = if kind.is_grpc { translate(own) } else { own };
    record.reason = own.reason;
    record.status = own.status;
    let text = if kind.verb == Verb::Head { Bytes::new() } else { own.body };
    record.response_bytes = text.len() as u64;
    let mut answer = Response::new(Answer::Own(text));
    *answer.status_mut() =
        StatusCode::from_u16(own.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(http::header::SERVER, HeaderValue::from_static(SERVER));
    for (name, value) in own.fields {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    answer
}

/// The body of a response.
pub(in crate::plane::l7::downstream) enum Answer<B> {
    /// A text of rutter's own.
    Own(Bytes),
    /// What an endpoint sends. Boxed: it is large.
    Relayed(Box<Relayed<B>>),
}

/// A response on its way, and what is left of its request.
pub(in crate::plane::l7::downstream) struct Relayed<B> {
    ongoing: Box<Ongoing<B>>,
    body: Decoder,
    compressor: Option<Compressor>,
    persistent: bool,
}

impl<B: Upload> Answer<B> {
    /// The next piece of the body, of about so many bytes at most.
    pub(in crate::plane::l7::downstream) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self {
            Self::Own(text) if text.is_empty() => Poll::Ready(None),
            Self::Own(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Relayed(relayed) => relayed.poll_frame(cx, most),
        }
    }

    /// Notes why it ends early.
    pub(in crate::plane::l7::downstream) fn note(&mut self, reason: Reason) {
        if let Self::Relayed(relayed) = self {
            relayed.ongoing.record.reason = Some(reason);
        }
    }

    /// Whether nothing follows.
    pub(in crate::plane::l7::downstream) fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_empty(),
            Self::Relayed(relayed) => relayed.is_over() && relayed.body.trailer().len() <= 2,
        }
    }
}

impl<B: Upload> Relayed<B> {
    /// The next piece of the body; the request's goes on beside it.
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_over() {
            return Poll::Ready(self.take_trailers().map(|fields| Ok(Frame::trailers(fields))));
        }
        if let Err(reason) = self.poll_piece_upload(cx) {
            return self.fail(reason);
        }
        let Ongoing { exchange, client, record, .. } = &mut *self.ongoing;
        let server = exchange.server().clone();
        let Some(carrier) = &mut exchange.upstream else { return Poll::Ready(None) };
        let mut scratch = server.scratch.borrow_mut();
        let most = most.min(scratch.len());
        let room = scratch.get_mut(..most).unwrap_or_default();
        let mut data = Vec::new();
        let compressor = &mut self.compressor;
        let polled = carrier.connection.poll_body(cx, &mut self.body, room, &mut |it, _| {
            let mut gather = |it: &[u8]| data.extend_from_slice(it);
            match compressor {
                Some(compressor) => compressor.data(it, gather),
                None => gather(it),
            }
            false
        });
        drop(scratch);
        let gather = |it: &[u8]| data.extend_from_slice(it);
        if settle(compressor, &polled, gather).is_err() {
            return self.fail(Reason::Internal);
        }
        match polled {
            Poll::Ready(Err(error)) => return self.fail(error.reason()),
            Poll::Ready(Ok(false)) if data.is_empty() => {
                // it is all within the compressor: the next piece after others had their turn
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Pending if data.is_empty() && exchange.poll_shed(cx, client, 0).is_ready() => {
                return self.fail(Reason::Overloaded);
            }
            Poll::Pending if data.is_empty() => {
                if exchange.poll_overdue(cx).is_pending() {
                    ready!(client.active.deadline().poll_passed(cx));
                }
                return self.fail(Reason::ResponseTimeout);
            }
            Poll::Ready(Ok(_)) | Poll::Pending => {}
        }
        let now = life::now();
        client.active.shared.activity.note(now);
        client.active.deadline().set(now, server.local.limits.upstream_stall);
        record.response_bytes = record.response_bytes.saturating_add(data.len() as u64);
        self.release_if_done();
        if data.is_empty() {
            return Poll::Ready(self.take_trailers().map(|fields| Ok(Frame::trailers(fields))));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(data)))))
    }

    /// Goes on with the request alone.
    pub(in crate::plane::l7::downstream) fn poll_piece_upload(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Result<(), Reason> {
        let Ongoing { exchange, client, .. } = &mut *self.ongoing;
        match exchange.poll_upload(cx, client) {
            Poll::Ready(Err(reason)) => Err(reason),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

impl<B> Relayed<B> {
    fn is_over(&self) -> bool {
        self.body.is_done()
    }

    /// Gives the connection back as soon as the response is complete.
    fn release_if_done(&mut self) {
        if self.is_over() {
            let Ongoing { exchange, .. } = &mut *self.ongoing;
            exchange.release(self.persistent, &self.body);
        }
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        let section = self.body.trailer().to_vec();
        self.body = Decoder::new(BodyLength::Exact(0), 0);
        let _ = trailer_fields(&section, |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        });
        (!fields.is_empty()).then_some(fields)
    }

    fn fail(&mut self, reason: Reason) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.ongoing.record.reason = Some(reason);
        self.ongoing.exchange.upstream = None;
        Poll::Ready(Some(Err(Broken(reason))))
    }
}

impl<B> Drop for Relayed<B> {
    fn drop(&mut self) {
        let is_over = self.is_over();
        self.ongoing.record.request_bytes = self.ongoing.client.bytes;
        let reason = &mut self.ongoing.record.reason;
        if std::thread::panicking() {
            *reason = Some(Reason::Internal);
        } else if !is_over && reason.is_none() {
            *reason = Some(Reason::ClientClosed);
        }
    }
}

/// A response that ended early: the stream is reset, so that nobody takes it for complete.
#[derive(Debug, thiserror::Error)]
#[error("response ended early: {0}")]
pub(in crate::plane::l7::downstream) struct Broken(Reason);

impl Broken {
    /// Whether the client has ended it, which shows in its request.
    pub(super) fn is_by_client(&self) -> bool {
        self.0 == Reason::ClientClosed
    }
}
