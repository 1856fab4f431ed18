//! What HTTP/2 has beside requests and responses: interim responses, and WebSockets on streams.

use std::future::poll_fn;

use ::h2::client::SendRequest;
use ::h2::ext::Protocol;
use ::h2::{Reason, RecvStream, SendStream};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use tokio::net::TcpStream;

use super::h2_origin::life_join;
use super::world::*;
use crate::life;

async fn connect(world: &World) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(world.addr).await.expect("it must accept");
    let (sender, connection) = ::h2::client::handshake(stream).await.expect("it must speak h2");
    life::spawn_local("client", async move {
        let _ = connection.await;
    });
    sender
}

fn get(uri: &str) -> Request<()> {
    Request::builder().version(Version::HTTP_2).uri(uri).body(()).expect("it must be well-formed")
}

#[test]
fn interim_responses_reach_the_client() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = connect(&world).await;
        let (mut response, _) = sender.send_request(get("http://h/"), true).expect("it is open");
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream
            .send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n",
            )
            .await;
        let hints = poll_fn(|cx| response.poll_informational(cx)).await;
        let hints = hints.expect("interim").expect("a response");
        assert_eq!(hints.status(), StatusCode::EARLY_HINTS);
        assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
        assert_eq!(hints.headers().len(), 1);
        upstream.send(OK).await;
        assert_eq!(response.await.expect("the response").status(), StatusCode::OK);
    });
}

#[test]
fn a_client_that_waits_for_it_is_told_to_go_on() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = connect(&world).await;
        let mut post = get("http://h/");
        *post.method_mut() = Method::POST;
        post.headers_mut().insert("expect", "100-continue".parse().expect("a value"));
        let (mut response, mut body) = sender.send_request(post, false).expect("it is open");
        let mut upstream = origin.accept().await;
        assert!(upstream.head().await.to_lowercase().contains("expect: 100-continue\r\n"));
        upstream.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        let go_on = poll_fn(|cx| response.poll_informational(cx)).await;
        assert_eq!(go_on.expect("interim").expect("a response").status(), StatusCode::CONTINUE);
        body.send_data(Bytes::from("hello"), true).expect("it is open");
        upstream.until("0\r\n\r\n").await;
        upstream.send(OK).await;
        assert_eq!(response.await.expect("the response").status(), StatusCode::OK);
    });
}

/// Asks for a WebSocket.
async fn open(
    sender: &mut SendRequest<Bytes>,
    protocol: &'static str,
) -> (impl Future<Output = Response<RecvStream>> + 'static, SendStream<Bytes>) {
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let mut request = get("http://h/chat?room=1");
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static(protocol));
    let fields = request.headers_mut();
    fields.insert("sec-websocket-version", "13".parse().expect("a value"));
    fields.insert("sec-websocket-protocol", "chat".parse().expect("a value"));
    fields.insert("origin", "http://h".parse().expect("a value"));
    let (response, body) = sender.send_request(request, false).expect("it is open");
    (async { response.await.expect("a response") }, body)
}

/// Whether nothing but a proper end comes.
async fn is_ended(down: &mut RecvStream) -> bool {
    let last = down.data().await;
    let is_empty = last.is_none_or(|data| data.is_ok_and(|data| data.is_empty()));
    is_empty && down.is_end_stream()
}

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: upgrade\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhi";

#[test]
fn a_websocket_on_a_stream_is_one_of_http1_to_the_endpoint() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = connect(&world).await;
        let (response, mut up) = open(&mut sender, "websocket").await;
        up.send_data(Bytes::from("early"), false).expect("it is open");
        let response = life_join(response);
        let mut upstream = origin.accept().await;
        let head = upstream.head().await;
        assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: h\r\n"), "{head}");
        assert!(head.ends_with("Upgrade: websocket\r\nConnection: upgrade\r\n\r\n"), "{head}");
        assert!(!head.to_lowercase().contains("content-length"), "{head}");
        let (_, key) = head.split_once("sec-websocket-key: ").expect("a key");
        let (key, _) = key.split_once("\r\n").expect("a line");
        assert_eq!((key.len(), &key[22..]), (24, "=="));
        upstream.send(SWITCHED).await;
        let response = response.await.expect("it must live");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        let mut down = response.into_body();
        assert_eq!(down.data().await.expect("data").expect("it is open"), "hi");
        assert_eq!(upstream.until("early").await, "early");
        upstream.send("pong").await;
        assert_eq!(down.data().await.expect("data").expect("it is open"), "pong");
        up.send_data(Bytes::from("bye"), true).expect("it is open");
        assert_eq!(upstream.rest().await, "bye", "an end is passed on as an end");
        drop(upstream);
        assert!(is_ended(&mut down).await, "in both directions");
    });
}

#[test]
fn a_websocket_that_is_refused_shows_why_and_what_was_sent_for_it_is_dropped() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = connect(&world).await;
        let (response, mut up) = open(&mut sender, "websocket").await;
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
        up.send_data(Bytes::from(smuggled), false).expect("it is open");
        let response = life_join(response);
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
        let response = response.await.expect("it must live");
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.into_body().data().await.expect("data").expect("whole"), "no");
        assert_eq!(upstream.rest().await, "", "the connection is used for nothing else");
        let (response, _up) = open(&mut sender, "connect-udp").await;
        assert_eq!(response.await.status(), StatusCode::METHOD_NOT_ALLOWED);
    });
}

#[test]
fn a_websocket_whose_stream_is_reset_is_closed_and_its_siblings_go_on() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = connect(&world).await;
        let mut sockets = Vec::new();
        for _ in 0..2 {
            let (response, up) = open(&mut sender, "websocket").await;
            let response = life_join(response);
            let mut upstream = origin.accept().await;
            upstream.head().await;
            upstream.send(SWITCHED).await;
            let mut down = response.await.expect("it must live").into_body();
            assert_eq!(down.data().await.expect("data").expect("it is open"), "hi");
            sockets.push((up, down, upstream));
        }
        let (mut up, _down, mut upstream) = sockets.remove(0);
        up.send_reset(Reason::CANCEL);
        assert_eq!(upstream.rest().await, "");
        let (mut up, mut down, mut upstream) = sockets.remove(0);
        up.send_data(Bytes::from("ping"), false).expect("it is open");
        assert_eq!(upstream.until("ping").await, "ping");
        drop(upstream);
        assert!(is_ended(&mut down).await, "the end of the endpoint is that of the stream");
    });
}
