use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::h2_origin::life_join;
use super::tls::{certificate, connect, table};
use super::world::*;
use crate::life;
use crate::snapshot::HostMatch;

pub(super) type Body = BoxBody<Bytes, Infallible>;

#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        life::spawn_local("client", future);
    }
}

async fn client(io: impl AsyncRead + AsyncWrite + Unpin + 'static) -> SendRequest<Body> {
    let (sender, connection) = handshake(Tasks, TokioIo::new(io)).await.expect("it must speak h2");
    life::spawn_local("client", async move {
        let _ = connection.await;
    });
    sender
}

pub(super) async fn plain(world: &World) -> SendRequest<Body> {
    client(TcpStream::connect(world.addr).await.expect("the server must accept")).await
}

pub(super) fn request(method: &str, uri: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(uri);
    request.body(body).expect("the request must be well-formed")
}

pub(super) fn empty() -> Body {
    Empty::new().boxed()
}

pub(super) async fn ask(
    sender: &mut SendRequest<Body>,
    request: Request<Body>,
) -> Response<Incoming> {
    sender.ready().await.expect("the connection must be open");
    sender.send_request(request).await.expect("there must be a response")
}

pub(super) async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("the body must be whole");
    String::from_utf8_lossy(&body.to_bytes()).into_owned()
}

#[test]
fn http2_takes_the_same_way_with_and_without_tls() {
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        for _ in 0..3 {
            let response = ask(&mut sender, request("GET", "http://h.test/a?b", empty())).await;
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()["server"], "rutter");
            assert!(response.headers().contains_key("date"));
            assert_eq!(text(response).await, "ok");
        }
        assert_eq!(origin.connections(), 1);
        let head = origin.heads().remove(0);
        assert!(head.starts_with("GET /a?b HTTP/1.1\r\nHost: h.test\r\n"), "{head}");
        assert!(head.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{head}");
        let rules = vec![rule(HostMatch::Any, "", forward("web", &[origin.addr]))];
        world.publish(rules, Some(Arc::new(table(&certificate(1, "h.test")))));
        let stream = connect(&world, "h.test", &["h2", "http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut sender = Box::pin(client(stream)).await;
        let response = ask(&mut sender, request("GET", "https://h.test/", empty())).await;
        assert_eq!(text(response).await, "ok");
    });
}

#[test]
fn http2_bodies_and_trailers_pass_both_ways() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().expect("it must be a value"));
        let frames = [Ok(Frame::data(Bytes::from("hello"))), Ok(Frame::trailers(trailers))];
        let body = Frames(frames.into_iter().collect()).boxed();
        let mut post = request("POST", "http://h/", body);
        post.headers_mut().insert("te", "trailers".parse().expect("it must be a value"));
        let crumbs = post.headers_mut();
        crumbs.append("cookie", "a=1".parse().expect("it must be a value"));
        crumbs.append("cookie", "b=2".parse().expect("it must be a value"));
        let asked = life_join(async move { ask(&mut sender, post).await });
        let mut upstream = origin.accept().await;
        let head = upstream.head().await;
        assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
        assert!(head.contains("Cookie: a=1; b=2\r\n"), "{head}");
        assert_eq!(upstream.until("\r\n\r\n").await, "5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n");
        upstream
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-End: 2\r\n\r\n")
            .await;
        let body = asked.await.expect("the client must live").into_body();
        let body = body.collect().await.expect("the body must be whole");
        assert_eq!(body.trailers().map(|it| it["x-end"].clone()), Some("2".parse().expect("v")));
        assert_eq!(body.to_bytes(), "ok");
    });
}

#[test]
fn http2_failures_and_refusals_have_their_status() {
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::new().await;
        let to = forward("web", &[origin.addr]);
        world.publish(vec![rule(HostMatch::Exact("h".into()), "", to)], None);
        let mut sender = plain(&world).await;
        let mut other_host = request("GET", "http://h/", empty());
        other_host.headers_mut().insert("host", "evil".parse().expect("it must be a value"));
        // `http` takes this for a name of HTTP/2, at both ends
        let mut quoted = request("GET", "http://h/", empty());
        let name = HeaderName::from_lowercase(b"x-\"a").expect("it must be a name");
        quoted.headers_mut().insert(name, HeaderValue::from_static("b"));
        let mut large = request("GET", "http://h/", empty());
        let value = "x".repeat(16 * 1024).parse().expect("it must be a value");
        large.headers_mut().insert("a", value);
        for (request, status, reason) in [
            (quoted, 400, "bad_request"),
            (large, 431, "headers_too_large"),
            (request(&"M".repeat(65), "http://h/", empty()), 501, "method_too_long"),
            (request("GET", "http://x/", empty()), 404, "no_route"),
            (request("GET", "http://h/a%2fb", empty()), 400, "bad_request"),
            (other_host, 400, "bad_request"),
            (request("CONNECT", "h:443", empty()), 405, "method_not_allowed"),
        ] {
            let response = ask(&mut sender, request).await;
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(text(response).await, format!("rutter: {status} {reason}\n"));
        }
        assert_eq!(origin.connections(), 0);
    });
}

#[test]
fn a_reset_stream_takes_its_request_along_and_no_other() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        sender.ready().await.expect("the connection must be open");
        let asked = sender.send_request(request("GET", "http://h/", empty()));
        let asked = life_join(asked);
        let mut upstream = origin.accept().await;
        upstream.head().await;
        asked.abort();
        assert_eq!(upstream.rest().await, "");
        let asked =
            life_join(async move { ask(&mut sender, request("GET", "http://h/", empty())).await });
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").await;
        let mut body = asked.await.expect("the client must live").into_body();
        drop(upstream);
        while let Some(frame) = body.frame().await {
            if frame.is_err() {
                return;
            }
        }
        panic!("a response cut short looked whole");
    });
}

#[test]
fn draining_lets_streams_finish_and_closes_the_connection() {
    run(async {
        let origin = Manual::new().await;
        let mut world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        sender.ready().await.expect("the connection must be open");
        let asked = life_join(sender.send_request(request("GET", "http://h/", empty())));
        let mut upstream = origin.accept().await;
        upstream.head().await;
        world.drain.take().expect("the drain must not have started").start();
        tokio::task::yield_now().await;
        upstream.send(OK).await;
        let response = asked.await.expect("the client must live").expect("it must be answered");
        assert_eq!(text(response).await, "ok");
        while !sender.is_closed() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_large_upload_and_a_large_download_pass_through_the_windows() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        let body = "x".repeat(3_000_000);
        let post = request("POST", "http://h/", Full::from(body.clone()).boxed());
        let asked = life_join(async move { ask(&mut sender, post).await });
        let mut upstream = origin.accept().await;
        assert!(upstream.head().await.contains("Content-Length: 3000000\r\n"));
        let mut read = 0;
        while read < body.len() {
            read += upstream.until("x").await.len();
        }
        upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n").await;
        life::spawn_local("origin", async move { upstream.send(body).await });
        let response = asked.await.expect("the client must live");
        assert_eq!(text(response).await.len(), 3_000_000);
    });
}

/// Frames of a body, one after the other.
struct Frames(std::collections::VecDeque<Result<Frame<Bytes>, Infallible>>);

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.pop_front())
    }
}
