//! The line protocol of the echo backend, plain or over TLS, and its datagrams.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UdpSocket};

use super::client::Tls;
use super::{INFRA, case::backend_of};
use crate::common::{PATIENCE, block_on};

const WELCOME: &str = "Gateway API Test TCP Server\n";

/// What the pod shall say.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    pub backend: &'a str,
    pub namespace: &'a str,
    /// The server name that the pod saw; none if it was not spoken to over TLS.
    pub server_name: Option<&'a str>,
}

/// A pod of the infra namespace, without TLS.
pub fn backend(backend: &str) -> Expected<'_> {
    Expected { backend, namespace: INFRA, server_name: None }
}

/// A conversation with the pod behind an address.
#[track_caller]
pub fn check(addr: SocketAddr, tls: Option<&Tls<'_>>, expected: Expected<'_>) {
    let (told, is_tls) = block_on(in_time(async {
        let stream = TcpStream::connect(addr).await.expect("a connection");
        match tls {
            None => converse(stream).await,
            Some(tls) => converse(tls.shake_hands(stream, None).await.expect("a handshake")).await,
        }
    }));
    assert_eq!(is_tls, expected.server_name.is_some().to_string(), "{told}");
    assert_eq!(told["namespace"], expected.namespace, "{told}");
    assert_eq!(backend_of(told["pod"].as_str().expect("a pod")), expected.backend);
    if let Some(name) = expected.server_name {
        assert_eq!(told["tls"]["serverName"], name);
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> (Value, String) {
    let mut stream = BufReader::new(stream);
    assert_eq!(line(&mut stream).await, WELCOME);
    let mut answers = Vec::new();
    for question in ["PING\n", "IS_TLS\n", "TEST\n"] {
        stream.write_all(question.as_bytes()).await.expect("to be sent");
        answers.push(line(&mut stream).await);
    }
    assert_eq!(answers[0], "PONG\n");
    (serde_json::from_str(&answers[2]).expect("JSON"), answers[1].trim_end().to_owned())
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("a line");
    line
}

/// The pod behind an address; for weights.
pub async fn pod(addr: SocketAddr) -> String {
    in_time(async {
        let mut stream = BufReader::new(TcpStream::connect(addr).await.expect("a connection"));
        assert_eq!(line(&mut stream).await, WELCOME);
        stream.write_all(b"TEST\n").await.expect("to be sent");
        let told: Value = serde_json::from_str(&line(&mut stream).await).expect("JSON");
        told["pod"].as_str().expect("a pod").to_owned()
    })
    .await
}

/// Whether the connection ends before or within the handshake, without an alert that would say
/// that there is somebody who knows the name.
#[track_caller]
pub fn check_rejected(addr: SocketAddr, tls: &Tls<'_>) {
    let error = block_on(in_time(async {
        let stream = match TcpStream::connect(addr).await {
            Ok(stream) => stream,
            Err(error) => return error.to_string(),
        };
        tls.shake_hands(stream, None).await.expect_err("it must be rejected")
    }));
    let is_end = ["eof", "reset by peer"].iter().any(|end| error.to_lowercase().contains(end));
    assert!(is_end, "{error}");
}

/// Sends a datagram from a socket of its own and gives what comes back.
pub async fn datagram(addr: SocketAddr, payload: &[u8]) -> Vec<u8> {
    in_time(async {
        let socket = UdpSocket::bind((addr.ip(), 0)).await.expect("a socket");
        socket.connect(addr).await.expect("a peer");
        socket.send(payload).await.expect("to be sent");
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer).await.expect("an answer");
        answer.truncate(length);
        answer
    })
    .await
}

/// What the pod behind an address tells of a datagram.
pub async fn datagram_told(addr: SocketAddr) -> Value {
    let answer = datagram(addr, b"hello").await;
    let told: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(told["request"], "hello");
    told
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("nothing came in time")
}
