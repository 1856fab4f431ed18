//! A client that speaks HTTP/2, by hyper.
//!
//! hyper reads frames and keeps the flow control; every request of it takes the same way as one
//! of HTTP/1. hyper runs a task a stream; dropping it (a reset, a connection that ends) drops the
//! exchange and with it the upstream connection.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::life;
use crate::observe::RequestRecord;
use crate::plane::l7::connection::Stream;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::exchange::{Client, Exchange};
use crate::plane::l7::forwarded::{Options, Request};
use crate::plane::l7::h1::{
    BodyLength, Decoder, Name, Outgoing, ProtocolError, ResponseHead, Verb, response_length,
    trailer_fields,
};
use crate::plane::l7::respond::{SERVER, failure_body, failure_field};
use crate::plane::l7::route::{Target, canonical_host};
use crate::plane::l7::{Identity, Server, http_listener};
use crate::snapshot::Reason;

/// Serves a connection to its end. `read` is what was read of it already.
pub(crate) async fn serve(server: &Rc<Server>, stream: Stream, read: Vec<u8>, identity: Identity) {
    let io = TokioIo::new(Rewound { read, stream });
    let shared = Rc::new(Shared { server: server.clone(), identity, activity: Activity::new() });
    let connection = builder(server).serve_connection(
        io,
        hyper::service::service_fn(|request| {
            let shared = shared.clone();
            async move { Ok::<_, std::convert::Infallible>(answer(shared, request).await) }
        }),
    );
    let mut connection = pin!(connection);
    let mut drained = pin!(server.drained.notified());
    let mut idle = Deadline::after(server.limits.client_idle);
    let mut closing = server.draining.get();
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while !closing {
            if drained.as_mut().poll(cx).is_pending() {
                ready!(idle.poll_passed(cx));
                let rest = shared.activity.idle_time_left(server.limits.client_idle);
                if !rest.is_zero() {
                    idle.set(Instant::now(), rest);
                    continue;
                }
            }
            closing = true;
        }
        connection.as_mut().graceful_shutdown();
        connection.as_mut().poll(cx).map(|_| ())
    })
    .await;
}

fn builder(server: &Server) -> hyper::server::conn::http2::Builder<LocalTasks> {
    let limits = &server.limits;
    let mut builder = hyper::server::conn::http2::Builder::new(LocalTasks);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(true)
        .max_concurrent_streams(limits.h2_streams)
        .initial_stream_window_size(limits.h2_stream_window)
        .initial_connection_window_size(limits.h2_connection_window)
        .adaptive_window(false)
        .max_frame_size(16 * 1024)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .header_table_size(4096)
        .max_send_buf_size(limits.h2_send_buffer)
        .max_pending_accept_reset_streams(limits.h2_pending_resets)
        .max_local_error_reset_streams(limits.h2_error_resets)
        .keep_alive_interval(limits.h2_ping_interval)
        .keep_alive_timeout(limits.h2_ping_time);
    builder
}

/// What the streams of a connection share.
struct Shared {
    server: Rc<Server>,
    identity: Identity,
    activity: Activity,
}

/// How many streams there are, and since when there are none.
struct Activity {
    streams: Cell<usize>,
    since: Cell<Instant>,
}

impl Activity {
    fn new() -> Self {
        Self { streams: Cell::new(0), since: Cell::new(Instant::now()) }
    }

    /// How much of the idle time is left; all of it while there are streams.
    fn idle_time_left(&self, idle: std::time::Duration) -> std::time::Duration {
        match self.streams.get() {
            0 => idle.saturating_sub(self.since.get().elapsed()),
            _ => idle,
        }
    }
}

/// Counts a stream as long as it lives.
struct Active(Rc<Shared>);

impl Active {
    fn begin(shared: Rc<Shared>) -> Self {
        let streams = &shared.activity.streams;
        streams.set(streams.get().saturating_add(1));
        Self(shared)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Activity { streams, since } = &self.0.activity;
        streams.set(streams.get().saturating_sub(1));
        since.set(Instant::now());
    }
}

/// One request and its response.
async fn answer(shared: Rc<Shared>, request: http::Request<Incoming>) -> Response<Answer> {
    let server = shared.server.clone();
    let snapshot = server.local.snapshot.load();
    let listener = http_listener(&snapshot, shared.identity.key).cloned();
    drop(snapshot);
    let name = listener.as_ref().map(|listener| listener.name.clone()).unwrap_or_default();
    let mut record = server.record(&shared.identity, name, "HTTP/2");
    let verb = Verb::of(request.method().as_str().as_bytes());
    let Some(listener) = listener else { return fail(Reason::Draining, record, verb) };
    let (parts, body) = request.into_parts();
    let begun = begin(&shared, &listener, &parts, &body, &mut record);
    drop(parts);
    let (mut exchange, trailers) = match begun {
        Ok(begun) => begun,
        Err(reason) => return fail(reason, record, verb),
    };
    let mut client = Http2Client {
        deadline: Deadline::after(server.limits.upstream_stall),
        body,
        trailers,
        bytes: 0,
        active: Active::begin(shared),
    };
    loop {
        match exchange.answer(&mut client, &mut record).await {
            // hyper has no way to send interim responses but 100, which it sends by itself
            Ok(response) if response.is_interim() => {
                if let Some(carrier) = &mut exchange.upstream {
                    carrier.connection.buffer.consume(response.len);
                }
            }
            Ok(response) => return respond(exchange, response, client, record, verb),
            Err(reason) => {
                record.request_bytes = client.bytes;
                return fail(reason, record, verb);
            }
        }
    }
}

/// Understands a request and decides about it; also whether trailers may go on.
fn begin<'a>(
    shared: &Shared,
    listener: &crate::snapshot::HttpListener,
    parts: &'a http::request::Parts,
    body: &Incoming,
    record: &mut RequestRecord,
) -> Result<(Exchange, bool), Reason> {
    if parts.headers.len() > MAX_FIELDS {
        return Err(Reason::HeadersTooLarge);
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
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if path.len() > shared.server.limits.target_bytes {
        return Err(Reason::UriTooLong);
    }
    let method = parts.method.as_str();
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
        (Some(authority), Some(host)) if authority.as_str() != host => Err(Reason::BadRequest),
        (Some(authority), _) => Ok(authority.as_str()),
        (None, Some(host)) => Ok(host),
        (None, None) => Err(Reason::BadRequest),
    }
}

/// The request's body and the timer of its stream.
struct Http2Client {
    body: Incoming,
    trailers: bool,
    bytes: u64,
    deadline: Deadline,
    active: Active,
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

/// The response as hyper sends it.
fn respond(
    mut exchange: Exchange,
    response: ResponseHead,
    client: Http2Client,
    mut record: RequestRecord,
    verb: Verb,
) -> Response<Answer> {
    let converted = match &mut exchange.upstream {
        Some(carrier) => {
            let buffer = &mut carrier.connection.buffer;
            let head = buffer.filled().get(..response.len).unwrap_or_default();
            let converted = convert(&response, head, verb);
            buffer.consume(response.len);
            converted
        }
        None => Err(Reason::Internal),
    };
    let (answer, body, persistent) = match converted {
        Ok(converted) => converted,
        Err(reason) => return fail(reason, record, verb),
    };
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
fn fail(reason: Reason, mut record: RequestRecord, verb: Verb) -> Response<Answer> {
    record.reason = Some(reason);
    record.status = reason.status();
    let text = if verb == Verb::Head { String::new() } else { failure_body(reason) };
    let mut answer = Response::new(Answer::Own(Bytes::from(text)));
    *answer.status_mut() =
        StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = answer.headers_mut();
    headers.insert(http::header::SERVER, HeaderValue::from_static(SERVER));
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(http::header::CONTENT_TYPE, plain);
    if let Some((name, value)) = failure_field(reason) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// The body of a response.
enum Answer {
    /// A text of rutter's own.
    Own(Bytes),
    /// What an endpoint sends. Boxed: hyper moves bodies about.
    Relayed(Box<Relayed>),
}

/// A response on its way, and what is left of its request.
struct Relayed {
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
                ready!(self.client.deadline.poll_passed(cx));
                return self.fail(Reason::ResponseTimeout);
            }
            Poll::Ready(Ok(_)) => {}
        }
        let now = Instant::now();
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
struct Broken(Reason);

/// Runs hyper's tasks on this thread.
#[derive(Clone, Copy, Debug)]
struct LocalTasks;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalTasks {
    fn execute(&self, future: F) {
        life::spawn_local("h2-stream", future);
    }
}

/// A stream of which something was read already.
struct Rewound {
    read: Vec<u8>,
    stream: Stream,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let length = this.read.len().min(buf.remaining());
        buf.put_slice(this.read.get(..length).unwrap_or_default());
        this.read.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Fields of a request; hyper counts bytes only, and a byte of HPACK can be a field.
const MAX_FIELDS: usize = 100;
