//! From request to answer, the same for HTTP/1.1 and HTTP/2.
//!
//! | target | answer |
//! |---|---|
//! | bare `GET /` | the pod's name as text, unless `Accept` asks for JSON |
//! | `/ws` | WebSocket echo |
//! | `/body` | the request body, as it comes in |
//! | `/chunked?count=&interval=` | `count` chunks (10), no length |
//! | `/trailers` | a body with the trailer `X-Echo-Trailer` |
//! | `/sse?count=&interval=` | server-sent events, one in 100 ms, until the client leaves |
//! | `/health` | `OK` |
//! | `/status/NNN` | that status, no body |
//! | `/retry/…?uuid=&succeedAfter=&responseCode=&delayRetry=` | failures first: see [`retry`] |
//! | `/gateway_api_conformance.….GrpcEcho/…`, `/grpc.health.v1.Health/Check` over HTTP/2 | gRPC: see [`grpc`] |
//! | anything else | the request as seen, as JSON |
//!
//! Every target takes the [`Wishes`] of the query, and the last takes `X-Echo-Set-Header:
//! Name:Value,…` for fields of the answer.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{SendError, Sender};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName,
    HeaderValue, SERVER, TRAILER,
};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::body::{Body, awaited, mirrored, text, whole, written};
use super::plain::wants_json;
use super::seen::Seen;
use super::wishes::Wishes;
use super::{Connection, grpc, retry};
use crate::echo::journal::Asked;
use crate::echo::websocket;
use crate::life::Drain;

/// The `Server` of every answer; conformance wants one.
pub(super) const SERVER_NAME: &str = "rutter-echo";

/// There is no answer: the connection ends instead.
#[derive(Debug, thiserror::Error)]
#[error("no answer was wanted")]
pub(super) struct NoAnswer;

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    connection: Rc<Connection>,
) -> Result<Response<Body>, NoAnswer> {
    // held until the head is out; hyper's graceful shutdown waits for the body
    let _held = connection.drain.guard();
    record(&request, &connection);
    let mut response = match Wishes::parse(request.uri().query().unwrap_or_default()) {
        Ok(wishes) => fulfil(request, &connection, &wishes).await?,
        Err(refused) => text(StatusCode::BAD_REQUEST, &refused.to_string()),
    };
    response.headers_mut().insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    Ok(response)
}

fn record(request: &Request<Incoming>, connection: &Connection) {
    let identity = &connection.pod.identity;
    connection.pod.journal.record(Asked {
        namespace: identity.namespace.clone(),
        pod: identity.pod.clone(),
        method: request.method().to_string(),
        target: target(request).to_owned(),
        client: connection.client,
    });
}

/// Path and query.
fn target<B>(request: &Request<B>) -> &str {
    request.uri().path_and_query().map_or("*", |target| target.as_str())
}

async fn fulfil(
    request: Request<Incoming>,
    connection: &Connection,
    wishes: &Wishes,
) -> Result<Response<Body>, NoAnswer> {
    if !wishes.delay.is_zero() {
        tokio::time::sleep(wishes.delay).await;
    }
    let can_close = request.version() < Version::HTTP_2;
    let mut response = dispatch(request, connection, wishes).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    if let Some(status) = wishes.status {
        *response.status_mut() = status;
    }
    if wishes.close && can_close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn dispatch(
    request: Request<Incoming>,
    connection: &Connection,
    wishes: &Wishes,
) -> Result<Response<Body>, NoAnswer> {
    if let Some(size) = wishes.size {
        return Ok(filler(size));
    }
    Ok(match request.uri().path() {
        "/ws" => websocket::upgrade(request, connection.drain.clone()),
        "/body" => body(request).await,
        "/chunked" => chunked(wishes),
        "/trailers" => trailers(),
        "/sse" => events(wishes, connection.drain.clone()),
        "/health" => text(StatusCode::OK, "OK"),
        path if path.starts_with("/status/") => status(path),
        path if path.starts_with("/retry/") => match retry::attempt(&request, connection).await? {
            Some(failure) => failure,
            None => seen(request, connection).await?,
        },
        _ if grpc::is_call(&request) => grpc::answer(request, connection).await,
        _ if is_bare(&request) && !connection.pod.json => {
            text(StatusCode::OK, &connection.pod.identity.pod)
        }
        _ => seen(request, connection).await?,
    })
}

/// What `/status/NNN` says; 400 for what is no final status.
fn status(path: &str) -> Response<Body> {
    let code = path.strip_prefix("/status/").filter(|code| code.len() == 3);
    let code = code.and_then(|code| code.parse::<StatusCode>().ok());
    let mut response = Response::new(whole(Bytes::new()));
    *response.status_mut() =
        code.filter(|code| !code.is_informational()).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

/// The plain path's question once more, for connections that left it.
fn is_bare(request: &Request<Incoming>) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
        && target(request) == "/"
        && !request.headers().get_all(ACCEPT).iter().any(|value| wants_json(value.as_bytes()))
}

async fn seen(
    request: Request<Incoming>,
    connection: &Connection,
) -> Result<Response<Body>, NoAnswer> {
    let (head, mut body) = request.into_parts();
    // read to its end: the client may not listen before, and the connection stays usable
    let mut body_bytes = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(NoAnswer) };
        let length = frame.data_ref().map_or(0, Bytes::len);
        body_bytes = body_bytes.saturating_add(length as u64);
    }
    let seen = Seen::new(&head, body_bytes, connection);
    let mut response = match serde_json::to_vec(&seen) {
        Ok(json) => typed("application/json", whole(json)),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    set_fields(&head.headers, response.headers_mut());
    Ok(response)
}

/// `X-Echo-Set-Header: Name:Value,…`: a name that comes again adds to its value, after a comma.
fn set_fields(asked: &HeaderMap, fields: &mut HeaderMap) {
    const NAME: HeaderName = HeaderName::from_static("x-echo-set-header");
    let lists = asked.get_all(NAME).iter().filter_map(|list| list.to_str().ok());
    let mut set = HeaderMap::new();
    for field in lists.flat_map(|list| list.split(',')) {
        let (name, value) = field.trim().split_once(':').unwrap_or_else(|| (field.trim(), ""));
        let Ok(name) = name.parse::<HeaderName>() else { continue };
        let before = set.get(&name).and_then(|value: &HeaderValue| value.to_str().ok());
        let value = value.trim();
        let value = before.map_or_else(|| value.to_owned(), |before| format!("{before},{value}"));
        if let Ok(value) = value.parse() {
            set.insert(name, value);
        }
    }
    fields.extend(set);
}

async fn body(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let is_expecting = head.headers.contains_key(EXPECT);
    let body = if is_expecting { awaited(body).await } else { mirrored(body) };
    let mut response = Response::new(body);
    for name in [CONTENT_TYPE, CONTENT_LENGTH, TRAILER] {
        if let Some(value) = head.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// `size` bytes, written as fast as they are taken.
fn filler(size: u64) -> Response<Body> {
    let mut response = typed("application/octet-stream", written(move |out| fill(out, size)));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    response
}

async fn fill(mut out: Sender<Bytes>, mut left: u64) {
    static BLOCK: [u8; 64 * 1024] = [b'x'; 64 * 1024];
    let block = Bytes::from_static(&BLOCK);
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
        if out.send_data(block.slice(..now)).await.is_err() {
            return;
        }
        left = left.saturating_sub(now as u64);
    }
}

fn chunked(wishes: &Wishes) -> Response<Body> {
    let count = wishes.count.unwrap_or(10);
    let interval = wishes.interval.unwrap_or_default();
    let body = written(async move |mut out: Sender<Bytes>| {
        let _ = repeat(&mut out, count, interval, |number| format!("chunk {number}\n")).await;
    });
    typed("text/plain; charset=utf-8", body)
}

fn trailers() -> Response<Body> {
    const NAME: HeaderName = HeaderName::from_static("x-echo-trailer");
    let body = written(async |mut out: Sender<Bytes>| {
        let trailers = HeaderMap::from_iter([(NAME, HeaderValue::from_static("done"))]);
        if out.send_data(Bytes::from_static(b"the trailers follow\n")).await.is_ok() {
            let _ = out.send_trailers(trailers).await;
        }
    });
    let mut response = typed("text/plain; charset=utf-8", body);
    response.headers_mut().insert(TRAILER, HeaderValue::from_name(NAME));
    response
}

fn events(wishes: &Wishes, drain: Drain) -> Response<Body> {
    let count = wishes.count.unwrap_or(u64::MAX);
    let interval = wishes.interval.unwrap_or(Duration::from_millis(100));
    let body = written(async move |mut out: Sender<Bytes>| {
        let event = |number| format!("id: {number}\ndata: event {number}\n\n");
        tokio::select! {
            _ = repeat(&mut out, count, interval, event) => {}
            () = drain.started() => {}
        }
    });
    let mut response = typed("text/event-stream", body);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Sends `count` pieces, numbered from 1, `interval` apart.
async fn repeat(
    out: &mut Sender<Bytes>,
    count: u64,
    interval: Duration,
    piece: impl Fn(u64) -> String,
) -> Result<(), SendError> {
    for number in 1..=count {
        if number > 1 && !interval.is_zero() {
            tokio::time::sleep(interval).await;
        }
        out.send_data(piece(number).into()).await?;
    }
    Ok(())
}

fn typed(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
