//! WebSocket echo (RFC 6455), as a server: every message comes back as one frame.
//!
//! In: an HTTP/1.1 request for `/ws`. Out: the handshake, then a task that owns the connection.
//! [`frame`] and [`message`] are sans-IO; this file does the reading and writing.
//!
//! Deliberately absent: extensions (none is ever agreed on), subprotocols, HTTP/2 (RFC 8441).

mod frame;
mod message;

use std::io;

use aws_lc_rs::digest;
use bytes::BytesMut;
use data_encoding::BASE64;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::frame::{Opcode, decode, encode};
use self::message::{Messages, Step};
use super::http::{Body, text};
use crate::life::{Drain, spawn_local};

/// Answers the handshake; 426 for anything that is none.
pub(super) fn upgrade(mut request: Request<Incoming>, drain: Drain) -> Response<Body> {
    let Some(accept) = accept(&request) else { return upgrade_required() };
    let upgraded = hyper::upgrade::on(&mut request);
    spawn_local("echo websocket", async move {
        // an error here is a client that went away
        if let Ok(stream) = upgraded.await {
            let _ = echo(TokioIo::new(stream), drain).await;
        }
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    *response.body_mut() = Body::Left(Default::default());
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

fn upgrade_required() -> Response<Body> {
    let mut response = text(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket");
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

/// The proof that the handshake was understood (RFC 6455 §4.2.2); `None` where it is not asked.
fn accept(request: &Request<Incoming>) -> Option<HeaderValue> {
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    if !header(UPGRADE)?.eq_ignore_ascii_case(b"websocket")
        || header(SEC_WEBSOCKET_VERSION)? != b"13"
    {
        return None;
    }
    HeaderValue::from_str(&accept_key(header(SEC_WEBSOCKET_KEY)?)).ok()
}

fn accept_key(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    // the RFC names SHA-1; nothing secret depends on it
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key);
    context.update(GUID);
    BASE64.encode(context.finish().as_ref())
}

/// Echoes until either side closes; the start of the drain closes with 1001.
async fn echo(mut stream: TokioIo<Upgraded>, drain: Drain) -> io::Result<()> {
    let mut input = BytesMut::new();
    let mut messages = Messages::default();
    loop {
        let mut output = BytesMut::new();
        let is_over = answer_all(&mut input, &mut messages, &mut output);
        stream.write_all(&output).await?;
        stream.flush().await?;
        if is_over {
            return stream.shutdown().await;
        }
        tokio::select! {
            biased;
            received = stream.read_buf(&mut input) => if received? == 0 { return Ok(()) },
            () = drain.started() => return leave(stream).await,
        }
    }
}

/// Answers every whole frame at hand. `true`: the connection is over.
fn answer_all(input: &mut BytesMut, messages: &mut Messages, output: &mut BytesMut) -> bool {
    loop {
        let frame = match decode(input) {
            Ok(Some(frame)) => frame,
            Ok(None) => return false,
            Err(violation) => {
                encode(Opcode::Close, &violation.code(), output);
                return true;
            }
        };
        match messages.take(frame) {
            Ok(Step::Wait) => {}
            Ok(Step::Send(opcode, payload)) => encode(opcode, &payload, output),
            Ok(Step::Close(payload)) => {
                encode(Opcode::Close, &payload, output);
                return true;
            }
            Err(violation) => {
                encode(Opcode::Close, &violation.code(), output);
                return true;
            }
        }
    }
}

async fn leave(mut stream: TokioIo<Upgraded>) -> io::Result<()> {
    const GOING_AWAY: u16 = 1001;
    let mut output = BytesMut::new();
    encode(Opcode::Close, &GOING_AWAY.to_be_bytes(), &mut output);
    stream.write_all(&output).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_that_of_the_rfc() {
        // RFC 6455 §1.3
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
