//! One question to one endpoint.

use std::time::Duration;

use bytes::Bytes;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::plane::tls;
use crate::snapshot::{CheckQuestion, EndpointId};

/// Asks; the error says why it is not well.
pub(super) async fn ask(endpoint: EndpointId, question: &CheckQuestion) -> Result<(), String> {
    let stream = TcpStream::connect(endpoint.addr()).await.map_err(|error| error.to_string())?;
    match question {
        CheckQuestion::Tcp => Ok(()),
        CheckQuestion::Http { path, tls: false } => http(stream, endpoint, path).await,
        CheckQuestion::Http { path, tls: true } => {
            http(within_tls(stream, endpoint, "http/1.1").await?, endpoint, path).await
        }
        CheckQuestion::Grpc { service, tls: false } => grpc(stream, endpoint, service).await,
        CheckQuestion::Grpc { service, tls: true } => {
            grpc(within_tls(stream, endpoint, "h2").await?, endpoint, service).await
        }
    }
}

/// Shakes hands, with whomever; no session is kept, as the next question tells as much by a whole
/// handshake as a client would see.
async fn within_tls(
    stream: TcpStream,
    endpoint: EndpointId,
    alpn: &'static str,
) -> Result<Box<TlsStream<TcpStream>>, String> {
    let config = tls::unverified(alpn).map_err(|error| error.to_string())?;
    let name = ServerName::from(endpoint.addr().ip());
    let shaken = Box::pin(TlsConnector::from(config).connect(name, stream)).await;
    shaken.map(Box::new).map_err(|error| format!("TLS: {error}"))
}

/// Well is 200 to 399, as the kubelet has it.
async fn http(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    endpoint: EndpointId,
    path: &str,
) -> Result<(), String> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {endpoint}\r\nUser-Agent: rutter-health-check\r\n\
         Connection: close\r\n\r\n"
    );
    let told = |error: std::io::Error| error.to_string();
    stream.write_all(request.as_bytes()).await.map_err(told)?;
    let mut head = Vec::with_capacity(512);
    while !head.contains(&b'\n') && head.len() < MAX_LINE {
        if stream.read_buf(&mut head).await.map_err(told)? == 0 {
            return Err("closed without a response".to_owned());
        }
    }
    let status = head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    let status = status.filter(|_| head.starts_with(b"HTTP/1."));
    let status: Option<u16> = status.and_then(|digits| digits.parse().ok());
    match status {
        Some(200..=399) => Ok(()),
        Some(status) => Err(format!("status {status}")),
        None => Err("no response of HTTP/1".to_owned()),
    }
}

/// `grpc.health.v1.Health/Check` (the gRPC health checking protocol): well is SERVING.
async fn grpc(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    endpoint: EndpointId,
    service: &str,
) -> Result<(), String> {
    let (sender, connection) =
        ::h2::client::handshake(stream).await.map_err(|error| error.to_string())?;
    tokio::select! {
        biased;
        answer = check(sender, endpoint, service) => answer,
        _ = connection => Err("the connection ended".to_owned()),
    }
}

async fn check(
    sender: ::h2::client::SendRequest<Bytes>,
    endpoint: EndpointId,
    service: &str,
) -> Result<(), String> {
    let told = |error: ::h2::Error| error.to_string();
    let request = http::Request::post(format!("http://{endpoint}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "rutter-health-check")
        .body(())
        .map_err(|error| error.to_string())?;
    let mut sender = sender.ready().await.map_err(told)?;
    let (response, mut body) = sender.send_request(request, false).map_err(told)?;
    body.send_data(message(service), true).map_err(told)?;
    let mut body = response.await.map_err(told)?.into_body();
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(told)?;
        let _ = body.flow_control().release_capacity(piece.len());
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_LINE {
            return Err("too long an answer".to_owned());
        }
    }
    match status(&bytes) {
        Some(SERVING) => Ok(()),
        Some(status) => Err(format!("serving status {status}")),
        None => {
            let trailers = body.trailers().await.map_err(told)?.unwrap_or_default();
            let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok());
            Err(format!("grpc-status {}", status.unwrap_or("unknown")))
        }
    }
}

/// `HealthCheckRequest { service: string = 1 }` with the prefix of gRPC.
fn message(service: &str) -> Bytes {
    let name = service.as_bytes();
    let name = name.get(..name.len().min(127)).unwrap_or_default();
    let mut message = Vec::with_capacity(2 + name.len());
    if let Ok(length @ 1..) = u8::try_from(name.len()) {
        message.extend([0x0a, length]);
        message.extend(name);
    }
    let length = u32::try_from(message.len()).unwrap_or_default();
    [&[0], &length.to_be_bytes()[..], &message].concat().into()
}

/// `HealthCheckResponse { status: enum = 1 }`; proto3 leaves a zero out.
fn status(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [0, 0, 0, 0, 2, 0x08, status] => Some(*status),
        [0, 0, 0, 0, 0] => Some(0),
        _ => None,
    }
}

const SERVING: u8 = 1;
/// Of a line of HTTP, or a whole answer of gRPC.
const MAX_LINE: usize = 8 * 1024;
/// For one question, from the connection to the answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
