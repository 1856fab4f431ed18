//! gRPC: the service `GrpcEcho` of Gateway API's conformance suite, and `grpc.health.v1`.
//!
//! `Echo` and `EchoTwo` tell the call as it was seen, `Health/Check` says that it serves, every other
//! method is unimplemented. The messages have text and messages as fields only, so they are written
//! here by hand.

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::Sender;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Request, Response, Version};

use super::Connection;
use super::body::{Body, whole, written};
use super::seen::{host, lossy};

const SERVICE: &str = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/";
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse {status: SERVING}`.
const SERVING: [u8; 2] = [1 << 3, 1];
const CONTENT: HeaderValue = HeaderValue::from_static("application/grpc");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether it is gRPC.
pub(super) fn is_call<B>(request: &Request<B>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    request.version() == Version::HTTP_2 && kind.starts_with(CONTENT.as_bytes())
}

/// Answers one call.
pub(super) async fn answer(request: Request<Incoming>, connection: &Connection) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let path = head.uri.path();
    let mut response = match path.strip_prefix(SERVICE) {
        Some("Echo" | "EchoTwo") => echoed(framed(&echo_response(&head, connection))),
        _ if path == HEALTH_CHECK => echoed(framed(&SERVING)),
        _ => unimplemented(path),
    };
    response.headers_mut().insert(CONTENT_TYPE, CONTENT);
    response
}

/// One message, then the trailers that say `OK`.
fn echoed(message: Bytes) -> Response<Body> {
    Response::new(written(async |mut out: Sender<Bytes>| {
        let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
        if out.send_data(message).await.is_ok() {
            let _ = out.send_trailers(trailers).await;
        }
    }))
}

fn unimplemented(method: &str) -> Response<Body> {
    let mut response = Response::new(whole(""));
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from_static("12"));
    if let Ok(message) = format!("method {method} not implemented").parse() {
        headers.insert(MESSAGE, message);
    }
    response
}

/// Length-prefixed, not compressed.
fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// `EchoResponse {assertions: {fully_qualified_method, headers, authority, context,
/// tls_assertions}, request: {}}`.
fn echo_response(head: &Parts, connection: &Connection) -> Vec<u8> {
    let identity = &connection.pod.identity;
    let authority = host(head);
    let mut assertions = Message::default();
    assertions.text(1, head.uri.path());
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), lossy(value.as_bytes())));
    for (name, value) in [(":authority", authority.clone())].into_iter().chain(fields) {
        assertions.message(2, Message::default().text(1, name).text(2, &value));
    }
    assertions.text(3, &authority);
    let mut context = Message::default();
    context
        .text(1, &identity.namespace)
        .text(2, &identity.ingress)
        .text(3, &identity.service)
        .text(4, &identity.pod);
    assertions.message(4, &context);
    if let Some(tls) = &connection.tls {
        let mut session = Message::default();
        session
            .text(1, &tls.version)
            .text(2, &tls.negotiated_protocol)
            .text(3, &tls.server_name)
            .text(4, &tls.cipher_suite);
        for certificate in &tls.peer_certificates {
            session.text(5, certificate);
        }
        assertions.message(5, &session);
    }
    let mut response = Message::default();
    response.message(1, &assertions).message(2, &Message::default());
    response.0
}

/// A protocol buffer that is written field by field.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    /// A field that is text; an empty one is left out, as proto3 wants it.
    fn text(&mut self, field: u8, text: &str) -> &mut Self {
        if !text.is_empty() {
            self.delimited(field, text.as_bytes());
        }
        self
    }

    fn message(&mut self, field: u8, message: &Self) -> &mut Self {
        self.delimited(field, &message.0);
        self
    }

    /// Wire type 2; the fields here are below 16, so that the tag is one byte.
    fn delimited(&mut self, field: u8, bytes: &[u8]) {
        self.0.push(field << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            self.0.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.0.push(length as u8);
        self.0.extend_from_slice(bytes);
    }
}
