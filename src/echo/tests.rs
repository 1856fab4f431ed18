//! Over real sockets on loopback, port 0.

mod contract;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::Message::Ping};

use super::*;
use crate::life::drain;

const DEADLINE: Duration = Duration::from_secs(10);

/// Where a pod named web-1 listens, and how to drain it.
struct Pod {
    http: SocketAddr,
    tcp: SocketAddr,
    udp: SocketAddr,
    signal: crate::life::DrainSignal,
}

fn echo() -> Echo {
    let any = "127.0.0.1:0".parse().unwrap();
    Echo {
        http: vec![any],
        tcp: vec![any],
        udp: vec![any],
        identity: Identity {
            pod: "web-1".into(),
            namespace: "shop".into(),
            service: "web".into(),
            ingress: "front".into(),
            greeting: None,
        },
        ..Echo::default()
    }
}

async fn with(echo: Echo, test: impl AsyncFnOnce(Pod)) {
    let bound = echo.bind(ReusePort::No).unwrap();
    let (signal, drain) = drain();
    let pod = Pod {
        http: bound.http_addrs()[0],
        tcp: bound.tcp_addrs()[0],
        udp: bound.udp_addrs()[0],
        signal,
    };
    let served = async move {
        spawn_local("echo", async move { bound.run(drain).await.unwrap() });
        Box::pin(test(pod)).await;
    };
    tokio::time::timeout(DEADLINE, LocalSet::new().run_until(served)).await.expect("in time");
}

/// Sends bytes, closes this half, and reads to the end.
async fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_bare_get_is_answered_with_the_name_of_the_pod() {
    with(echo(), async |pod| {
        let answer = exchange(pod.http, PLAIN).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nServer: rutter-echo\r\n"), "{answer}");
        assert_eq!(body(&answer), "web-1\n");
    })
    .await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_both_paths() {
    with(echo(), async |pod| {
        let plain = PLAIN.repeat(100);
        let answer =
            exchange(pod.http, &format!("{plain}GET /a HTTP/1.1\r\nHost: a\r\n\r\n{PLAIN}")).await;
        assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 102);
        let json = answer.find("\"path\":\"/a\"").expect("the JSON answer");
        assert_eq!(answer[..json].matches("\r\n\r\nweb-1\n").count(), 100);
        assert!(answer[json..].ends_with("\r\n\r\nweb-1\n"), "{}", &answer[json..]);
    })
    .await;
}

#[tokio::test]
async fn a_request_in_pieces_is_put_together() {
    with(echo(), async |pod| {
        let mut stream = TcpStream::connect(pod.http).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in PLAIN.as_bytes() {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(body(&answer), "web-1\n");
    })
    .await;
}

#[tokio::test]
async fn json_tells_the_request_as_seen() {
    with(echo(), async |pod| {
        let request = "PUT /a%20b?c=d HTTP/1.1\r\nHost: My-Host\r\nX-Two: 1\r\nx-two: 2\r\n\
                       Content-Length: 3\r\n\r\nabc";
        let answer = exchange(pod.http, request).await;
        let seen = serde_json::from_str::<Value>(body(&answer)).unwrap();
        for (field, value) in [
            ("path", "/a%20b?c=d"),
            ("host", "My-Host"),
            ("method", "PUT"),
            ("proto", "HTTP/1.1"),
            ("pod", "web-1"),
            ("namespace", "shop"),
            ("service", "web"),
            ("ingress", "front"),
        ] {
            assert_eq!(seen[field], value, "{field}");
        }
        assert_eq!(seen["headers"]["X-Two"], serde_json::json!(["1", "2"]));
        assert_eq!(seen["bodyBytes"], 3);
        assert!(seen["client"].as_str().unwrap().starts_with("127.0.0.1:"));
        for name in ["content-length: ", "content-type: application/json", "date: ", "server: "] {
            assert!(answer.contains(name), "{name} in {answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_root_is_json_for_those_who_ask() {
    with(Echo { json: true, ..echo() }, async |pod| {
        assert!(exchange(pod.http, PLAIN).await.contains("\"method\":\"GET\""));
    })
    .await;
    with(echo(), async |pod| {
        let request = "GET / HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\n\r\n";
        assert!(exchange(pod.http, request).await.contains("\"method\":\"GET\""));
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        assert!(exchange(pod.http, request).await.contains("\"method\":\"POST\""));
    })
    .await;
}

#[tokio::test]
async fn the_query_shapes_the_answer() {
    with(echo(), async |pod| {
        let get = async |target: &str| {
            exchange(pod.http, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await
        };
        assert_eq!(body(&get("/?size=200000").await), "x".repeat(200_000));
        assert!(get("/?size=9").await.contains("content-length: 9\r\n"));
        assert!(get("/a?status=503").await.starts_with("HTTP/1.1 503 "));
        assert!(get("/a?status=204").await.starts_with("HTTP/1.1 204 "));
        assert!(get("/a?status=9").await.starts_with("HTTP/1.1 400 "));
        assert!(get("/a?close").await.contains("connection: close\r\n"));
        let started = tokio::time::Instant::now();
        get("/?delay=30").await;
        assert!(started.elapsed() >= Duration::from_millis(30));
    })
    .await;
}

#[tokio::test]
async fn head_has_no_body() {
    with(echo(), async |pod| {
        for target in ["/", "/a", "/?size=5", "/chunked"] {
            let answer =
                exchange(pod.http, &format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert_eq!(body(&answer), "", "{target}");
        }
    })
    .await;
}

#[tokio::test]
async fn old_clients_and_closing_clients_are_let_go() {
    with(echo(), async |pod| {
        for request in
            ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
        {
            let mut stream = TcpStream::connect(pod.http).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("the server closes");
            assert_eq!(body(&answer), "web-1\n");
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_come_back_with_length_and_in_chunks() {
    with(echo(), async |pod| {
        let request = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Type: text/x\r\n\
                       Content-Length: 5\r\n\r\nhello";
        let answer = exchange(pod.http, request).await;
        assert_eq!(body(&answer), "hello");
        assert!(answer.contains("content-type: text/x\r\n"), "{answer}");
        let request = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                       5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n";
        let answer = exchange(pod.http, request).await;
        assert!(answer.contains("transfer-encoding: chunked\r\n"), "{answer}");
        assert!(answer.contains("hello") && answer.ends_with("0\r\n\r\n"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_body_is_streamed_while_it_comes_in() {
    with(echo(), async |pod| {
        let mut stream = TcpStream::connect(pod.http).await.unwrap();
        let head = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"5\r\nfirst\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(5).any(|window| window == b"first") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        stream.write_all(b"0\r\n\r\n").await.unwrap();
        while !answer.ends_with(b"0\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_before_it_sends() {
    with(echo(), async |pod| {
        for path in ["/a", "/body"] {
            let mut stream = TcpStream::connect(pod.http).await.unwrap();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
                 Content-Length: 2\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut interim = [0; 25];
            stream.read_exact(&mut interim).await.unwrap();
            assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n", "{path}");
            stream.write_all(b"ok").await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            assert!(path == "/a" || body(&answer) == "ok", "{answer}");
        }
    })
    .await;
}

#[tokio::test]
async fn chunks_trailers_and_events_are_written_piece_by_piece() {
    with(echo(), async |pod| {
        let answer = exchange(pod.http, "GET /chunked?count=2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(body(&answer), "8\r\nchunk 1\n\r\n8\r\nchunk 2\n\r\n0\r\n\r\n");
        let answer =
            exchange(pod.http, "GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n").await;
        assert!(answer.ends_with("0\r\nx-echo-trailer: done\r\n\r\n"), "{answer}");
        let answer =
            exchange(pod.http, "GET /sse?count=2&interval=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.contains("content-type: text/event-stream\r\n"), "{answer}");
        assert!(answer.contains("id: 2\ndata: event 2\n\n"), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn websocket_messages_come_back() {
    with(echo(), async |pod| {
        let url = format!("ws://{}/ws", pod.http);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for message in [
            Message::text("hello"),
            Message::text("é".repeat(40_000)),
            Message::binary(vec![7; 70_000]),
            Message::binary(vec![]),
        ] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.send(Ping("are you there".into())).await.unwrap();
        let pong = socket.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
        socket.close(None).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::Close(None));
        assert!(matches!(socket.next().await, None | Some(Err(Error::ConnectionClosed))));
    })
    .await;
}

#[tokio::test]
async fn a_websocket_is_told_that_the_pod_goes_away() {
    with(echo(), async |pod| {
        let url = format!("ws://{}/ws", pod.http);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        pod.signal.start();
        let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else {
            panic!("a close frame is expected")
        };
        assert_eq!(u16::from(close.code), 1001);
    })
    .await;
}

#[tokio::test]
async fn no_handshake_no_websocket() {
    with(echo(), async |pod| {
        let answer = exchange(pod.http, "GET /ws HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        assert!(answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
    })
    .await;
}

async fn http2(addr: SocketAddr, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    spawn_local("client", async move { connection.await.unwrap() });
    sender.send_request(request).await.unwrap()
}

#[tokio::test]
async fn http2_with_prior_knowledge_gets_the_same_answers() {
    with(echo(), async |pod| {
        let request = |path: &str, body: &'static str| {
            let uri = format!("http://my-host{path}");
            Request::post(uri).body(Full::new(Bytes::from(body))).unwrap()
        };
        let answer = http2(pod.http, request("/a", "ignored")).await;
        let json = answer.into_body().collect().await.unwrap().to_bytes();
        let seen = serde_json::from_slice::<Value>(&json).unwrap();
        assert_eq!(seen["proto"], "HTTP/2.0");
        assert_eq!(seen["host"], "my-host");
        let answer = http2(pod.http, request("/body?close", "hello")).await;
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
        let answer = http2(pod.http, request("/trailers", "")).await.into_body().collect().await;
        assert_eq!(answer.unwrap().trailers().unwrap()["x-echo-trailer"], "done");
    })
    .await;
}

#[tokio::test]
async fn tcp_bytes_come_back_after_the_greeting() {
    let identity = Identity { greeting: Some("web-1 here".into()), ..Identity::default() };
    with(Echo { identity, ..echo() }, async |pod| {
        assert_eq!(exchange(pod.tcp, "hello").await, "web-1 here\nhello");
        assert_eq!(exchange(pod.tcp, "").await, "web-1 here\n");
    })
    .await;
    with(echo(), async |pod| {
        let large = "0123456789".repeat(1_000);
        assert_eq!(exchange(pod.tcp, &large).await, large);
    })
    .await;
}

#[tokio::test]
async fn datagrams_come_back_after_the_greeting() {
    for (greeting, answer) in [(None, "hello"), (Some("web-1".into()), "web-1\nhello")] {
        let identity = Identity { greeting, ..Identity::default() };
        with(Echo { identity, ..echo() }, async |pod| {
            let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            client.send_to(b"hello", pod.udp).await.unwrap();
            let mut received = [0; 64];
            let length = client.recv(&mut received).await.unwrap();
            assert_eq!(&received[..length], answer.as_bytes());
        })
        .await;
    }
}

#[tokio::test]
async fn a_drain_ends_idle_connections_of_every_kind() {
    with(echo(), async |pod| {
        let mut plain = TcpStream::connect(pod.http).await.unwrap();
        plain.write_all(PLAIN.as_bytes()).await.unwrap();
        let mut json = TcpStream::connect(pod.http).await.unwrap();
        json.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        for stream in [&mut plain, &mut json] {
            assert_ne!(stream.read_buf(&mut Vec::with_capacity(4096)).await.unwrap(), 0);
        }
        pod.signal.start();
        for stream in [&mut plain, &mut json] {
            assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
        }
        assert!(pod.signal.finished(DEADLINE).await);
    })
    .await;
}

#[test]
fn threads_share_ports_among_themselves_and_with_nobody_else() {
    let bound = echo().bind_threads(3).unwrap();
    assert!(bound.iter().all(|thread| thread.http_addrs() == bound[0].http_addrs()));
    let taken = Echo { http: bound[0].http_addrs(), ..Echo::default() };
    let error = taken.bind_threads(2).expect_err("the port is taken").to_string();
    assert_eq!(error, format!("cannot listen on tcp {}", bound[0].http_addrs()[0]));
}
