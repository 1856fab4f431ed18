//! Responses as hyper sends them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use tokio::time::Instant;

use super::grpc::{is_grpc, translate};
use super::request::Http2Client;
use crate::observe::RequestRecord;
use crate::plane::l7::exchange::Exchange;
use crate::plane::l7::filter::change_map;
use crate::plane::l7::forwarded::Options;
use crate::plane::l7::h1::{
    BodyLength, Decoder, Name, ProtocolError, ResponseHead, Verb, response_length, trailer_fields,
};
use crate::plane::l7::respond::{OwnAnswer, SERVER};
use crate::snapshot::Reason;

/// What a request says about the answers that it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    verb: Verb,
    is_grpc: bool,
}

impl Kind {
    pub(super) fn of<B>(request: &http::Request<B>) -> Self {
        let verb = Verb::of(request.method().as_str().as_bytes());
        Self { verb, is_grpc: is_grpc(request.headers()) }
    }
}

/// The response as hyper sends it.
pub(super) fn respond(
    mut exchange: Exchange,
    response: ResponseHead,
    client: Http2Client,
    mut record: RequestRecord,
    kind: Kind,
) -> Response<Answer> {
    let converted = match &mut exchange.upstream {
        Some(carrier) => {
            let buffer = &mut carrier.connection.buffer;
            let head = buffer.filled().get(..response.len).unwrap_or_default();
            let converted = convert(&response, head, kind.verb);
            buffer.consume(response.len);
            converted
        }
        None => Err(Reason::Internal),
    };
    let (mut answer, body, persistent) = match converted {
        Ok(converted) => converted,
        Err(reason) => return answer_itself(reason, record, kind),
    };
    change_map(answer.headers_mut(), &exchange.route.response_modifiers());
    record.status = response.status;
    let mut relayed = Relayed { exchange, client, record, body, persistent };
    relayed.release_if_done();
    answer.map(|()| Answer::Relayed(Box::new(relayed)))
}

/// The head of a response, how its body comes, and whether the endpoint keeps its connection.
fn convert(
    response: &ResponseHead,
    head: &[u8],
    verb: Verb,
) -> Result<(Response<()>, Decoder, bool), Reason> {
    let length = response_length(response, head, verb).map_err(ProtocolError::response_reason)?;
    let status = StatusCode::from_u16(response.status).ok().filter(|it| it.as_u16() >= 200);
    let fields = response.fields.iter().map(|it| (it.known, it.name(head), it.value(head)));
    let options = Options::of(fields.clone());
    let mut answer = Response::new(());
    *answer.status_mut() = status.ok_or(Reason::UpstreamProtocol)?;
    let headers = answer.headers_mut();
    headers.reserve(response.fields.len());
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
    Ok((answer, Decoder::new(length), persistent))
}

/// An answer of rutter's own.
pub(super) fn answer_itself(
    own: impl Into<OwnAnswer>,
    mut record: RequestRecord,
    kind: Kind,
) -> Response<Answer> {
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
pub(super) enum Answer {
    /// A text of rutter's own.
    Own(Bytes),
    /// What an endpoint sends. Boxed: hyper moves bodies about.
    Relayed(Box<Relayed>),
}

/// A response on its way, and what is left of its request.
pub(super) struct Relayed {
    exchange: Exchange,
    client: Http2Client,
    record: RequestRecord,
    body: Decoder,
    persistent: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Own(text) if text.is_empty() => Poll::Ready(None),
            Self::Own(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Relayed(relayed) => relayed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_empty(),
            Self::Relayed(relayed) => relayed.is_over() && relayed.body.trailer().len() <= 2,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Own(text) => http_body::SizeHint::with_exact(text.len() as u64),
            Self::Relayed(_) => http_body::SizeHint::default(),
        }
    }
}

impl Relayed {
    /// The next piece of the body; the request's goes on beside it.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_over() {
            return Poll::Ready(self.take_trailers().map(|fields| Ok(Frame::trailers(fields))));
        }
        if let Err(reason) = self.poll_piece_upload(cx) {
            return self.fail(reason);
        }
        let Some(carrier) = &mut self.exchange.upstream else { return Poll::Ready(None) };
        let server = self.client.active.0.server.clone();
        let mut scratch = server.scratch.borrow_mut();
        let mut data = Vec::new();
        let polled =
            carrier.connection.poll_body(cx, &mut self.body, &mut scratch, &mut |it, _| {
                data.extend_from_slice(it);
                false
            });
        drop(scratch);
        match polled {
            Poll::Ready(Err(error)) => return self.fail(error.reason()),
            Poll::Pending => {
                if self.exchange.poll_overdue(cx).is_pending() {
                    ready!(self.client.deadline.poll_passed(cx));
                }
                return self.fail(Reason::ResponseTimeout);
            }
            Poll::Ready(Ok(_)) => {}
        }
        let now = Instant::now();
        self.client.active.0.activity.note();
        self.client.deadline.set(now, server.limits.upstream_stall);
        self.record.response_bytes = self.record.response_bytes.saturating_add(data.len() as u64);
        self.release_if_done();
        if data.is_empty() {
            return Poll::Ready(self.take_trailers().map(|fields| Ok(Frame::trailers(fields))));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(data)))))
    }

    fn poll_piece_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Reason> {
        match self.exchange.poll_upload(cx, &mut self.client) {
            Poll::Ready(Err(reason)) => Err(reason),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }

    fn is_over(&self) -> bool {
        self.body.is_done()
    }

    /// Gives the connection back as soon as the response is complete.
    fn release_if_done(&mut self) {
        if self.is_over() {
            self.record.request_bytes = self.client.bytes;
            self.exchange.release(self.persistent, &self.body);
        }
    }

    fn take_trailers(&mut self) -> Option<HeaderMap> {
        let mut fields = HeaderMap::new();
        let section = self.body.trailer().to_vec();
        self.body = Decoder::new(BodyLength::Exact(0));
        let _ = trailer_fields(&section, |name, value| {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
                fields.append(name, value);
            }
        });
        (!fields.is_empty()).then_some(fields)
    }

    fn fail(&mut self, reason: Reason) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.record.reason = Some(reason);
        self.exchange.upstream = None;
        Poll::Ready(Some(Err(Broken(reason))))
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if !self.is_over() && self.record.reason.is_none() {
            self.record.reason = Some(Reason::ClientClosed);
        }
    }
}

/// A response that ended early: the stream is reset, so that nobody takes it for complete.
#[derive(Debug, thiserror::Error)]
#[error("response ended early: {0}")]
pub(super) struct Broken(Reason);
