//! Long responses and requests: nothing is held back, nothing piles up.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Full};
use tokio::io::AsyncWriteExt;

use super::h2::{ask, empty, plain, request};
use super::h2_origin::life_join;
use super::world::*;

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

#[test]
fn events_reach_the_client_one_by_one_over_both_versions_of_http() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(EVENTS).await;
        client.until("\r\n\r\n").await;
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            upstream.send(&event).await;
            client.until(&event).await;
        }
        let mut sender = plain(&world).await;
        let asked =
            life_join(async move { ask(&mut sender, request("GET", "http://h/", empty())).await });
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(EVENTS).await;
        let mut body = asked.await.expect("the client must live").into_body();
        for number in 0..3 {
            let event = format!("data: {number}\n\n");
            upstream.send(&event).await;
            let frame = body.frame().await.expect("a frame").expect("a whole one");
            assert_eq!(frame.into_data().expect("data"), event);
        }
    });
}

/// Sends until the other side takes no more, and how much that was.
async fn fill(upstream: &mut Client) -> usize {
    let (noise, mut sent) = (vec![b'x'; 64 * 1024], 0);
    let patience = Duration::from_millis(500);
    while let Ok(written) = tokio::time::timeout(patience, upstream.stream.write(&noise)).await {
        sent += written.expect("rutter must not close");
        assert!(sent < 64 << 20, "nothing stops the sender");
    }
    sent
}

#[test]
fn a_client_that_does_not_read_stops_the_endpoint_over_both_versions_of_http() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        client.send(GET).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let sent = fill(&mut upstream).await;
        drop(upstream);
        // when it reads at last, everything is there
        client.until("\r\n\r\n").await;
        let chunks = client.rest().await;
        assert_eq!(chunks.bytes().filter(|byte| *byte == b'x').count(), sent);

        let mut sender = plain(&world).await;
        let asked =
            life_join(async move { ask(&mut sender, request("GET", "http://h/", empty())).await });
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send("HTTP/1.1 200 OK\r\n\r\n").await;
        let body = asked.await.expect("the client must live").into_body();
        let sent = fill(&mut upstream).await;
        drop(upstream);
        let body = body.collect().await.expect("the body must be whole");
        assert_eq!(body.to_bytes().len(), sent);
    });
}

#[test]
fn an_endpoint_that_does_not_read_stops_the_client() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut client = world.client().await;
        let head = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", 1u64 << 40);
        client.send(head).await;
        let mut upstream = origin.accept().await;
        upstream.head().await;
        fill(&mut client).await;
        // an answer gets through all the same
        upstream.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 413 "));
    });
}

#[test]
fn an_endpoint_that_does_not_read_stops_a_client_of_http2() {
    run(async {
        let origin = Manual::new().await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        let (mut data, body) = Channel::new(1);
        let post = request("POST", "http://h/", body.boxed());
        let asked = life_join(async move { ask(&mut sender, post).await });
        let mut upstream = origin.accept().await;
        upstream.head().await;
        let (noise, mut sent) = (Bytes::from(vec![b'x'; 64 * 1024]), 0);
        let patience = Duration::from_millis(500);
        while let Ok(taken) = tokio::time::timeout(patience, data.send_data(noise.clone())).await {
            taken.expect("the stream must be open");
            sent += noise.len();
            assert!(sent < 64 << 20, "nothing stops the sender");
        }
        upstream.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(asked.await.expect("the client must live").status(), 413);
    });
}

#[test]
fn a_client_of_http2_gets_heads_parts_and_nothing_as_they_are() {
    run(async {
        let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-9/10\r\n\
                    Content-Length: 5\r\n\r\n56789";
        let origin = Canned::with(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            part,
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ])
        .await;
        let world = World::to(&[origin.addr]).await;
        let mut sender = plain(&world).await;
        for (method, status, length, expected) in [
            ("HEAD", 200, Some("5"), ""),
            ("GET", 206, Some("5"), "56789"),
            ("POST", 200, Some("0"), ""),
            ("GET", 204, None, ""),
            ("GET", 304, Some("5"), ""),
            // hyper cannot send what comes before the final response
            ("GET", 200, Some("1"), "x"),
        ] {
            let mut asked = request(method, "http://h/", Full::default().boxed());
            asked.headers_mut().insert("range", "bytes=5-9".parse().expect("a value"));
            let response = ask(&mut sender, asked).await;
            assert_eq!(response.status(), status);
            let said = response.headers().get("content-length").cloned();
            assert_eq!(said, length.map(|length| length.parse().expect("a value")), "{status}");
            let body = response.into_body().collect().await.expect("the body must be whole");
            assert_eq!(body.to_bytes(), expected, "{status}");
        }
        assert_eq!(origin.connections(), 1);
        let heads = origin.heads();
        assert!(heads.iter().all(|head| head.contains("range: bytes=5-9\r\n")), "{heads:?}");
        assert!(heads[2].contains("Content-Length: 0\r\n"), "{}", heads[2]);
    });
}
