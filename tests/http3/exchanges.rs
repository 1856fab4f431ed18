//! Requests and responses.

use ::http::HeaderMap;
use bytes::{Buf, Bytes};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, answer};
use crate::common::{block_on, http};
use crate::front::Front;

#[test]
fn a_request_of_http3_reaches_the_endpoint_like_any_other() {
    let front = Front::start();
    block_on(async {
        let mut client = Client::connect(&front).await;
        for _ in 0..3 {
            let got = client.ask("GET", "/a?b", &[("x-forwarded-for", "6.6.6.6")], &[]).await;
            assert_eq!(got.head.status(), 200);
            assert!(got.head.headers().contains_key("date"), "{:?}", got.head);
            assert!(!got.head.headers().contains_key("alt-svc"), "{:?}", got.head);
            let seen = got.json();
            assert_eq!(seen["path"], "/a?b");
            assert_eq!(http::seen(&seen, "x-forwarded-proto"), ["https"]);
            assert_eq!(http::seen(&seen, "x-forwarded-for"), ["127.0.0.1"]);
            assert_eq!(http::seen(&seen, "transfer-encoding"), Vec::<&str>::new());
        }
        let posted = client.ask("POST", "/body", &[("content-length", "5")], b"hello").await;
        assert_eq!(posted.text(), "hello");
        let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let posted = client.ask("POST", "/body", &[], &large).await;
        assert!(posted.body == large, "{} bytes", posted.body.len());
        let empty = client.ask("POST", "/x", &[("content-length", "0")], &[]).await.json();
        assert_eq!(http::seen(&empty, "content-length"), ["0"]);
        let head = client.ask("HEAD", "/", &[], &[]).await;
        assert!(head.body.is_empty() && head.head.headers().contains_key("content-length"));
        let large = client.get("/?size=5000000").await;
        assert_eq!(large.body.len(), 5_000_000);
        assert_eq!(client.get("/status/204").await.head.status(), 204);
        let trailers = client.ask("GET", "/trailers", &[("te", "trailers")], &[]).await.trailers;
        assert!(trailers.is_some_and(|it| !it.is_empty()));
        client.close().await;
    });
}

#[test]
fn clients_of_https_are_told_of_http3_and_those_of_http_are_not() {
    let front = Front::start();
    let curl = |url: &str, options: &[&str]| {
        let ca = front.site.dir.path().with_extension("pem");
        std::fs::write(&ca, front.authority.pem()).expect("a file");
        let ip = front.site.http().ip();
        let output = std::process::Command::new("curl")
            .args(["-sSI", "--noproxy", "*", "--cacert", &ca.display().to_string()])
            .args(["--resolve", &format!("app.test:443:{ip}")])
            .args(["--resolve", &format!("app.test:80:{ip}"), url])
            .args(options)
            .output()
            .expect("curl must be installed");
        let _ = std::fs::remove_file(ca);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).to_ascii_lowercase()
    };
    for version in ["--http1.1", "--http2"] {
        let head = curl("https://app.test/", &[version]);
        assert!(head.contains("alt-svc: h3=\":443\"; ma=3600\r\n"), "{head}");
    }
    let head = curl("http://app.test/", &[]);
    assert!(!head.contains("alt-svc"), "{head}");
}

#[test]
fn without_the_option_there_is_no_http3() {
    let front = Front::start_with(|options| options.unset("http3"));
    block_on(async {
        let patience = std::time::Duration::from_secs(1);
        let connected = tokio::time::timeout(patience, Client::try_connect(&front, "app.test"));
        assert!(!matches!(connected.await, Ok(Ok(_))));
    });
}

#[test]
fn what_rutter_refuses_has_its_status_and_reason() {
    let front = Front::start();
    block_on(async {
        let mut client = Client::connect(&front).await;
        let nobody = client.get("/nobody").await;
        assert_eq!(nobody.head.status(), 503);
        assert!(nobody.text().contains("no_ready_endpoint"), "{}", nobody.text());
        for fields in [
            &[("connection", "close")][..],
            &[("transfer-encoding", "chunked")],
            &[("upgrade", "h2c")],
            &[("te", "gzip")],
            &[("content-length", "5"), ("content-length", "6")],
            &[("content-length", "+5")],
        ] {
            let refused = client.ask("POST", "/", fields, &[]).await;
            assert_eq!(refused.head.status(), 400, "{fields:?}");
        }
        let many: Vec<_> = (0..101).map(|it| (format!("x-{it}"), "1")).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(client.ask("GET", "/", &many, &[]).await.head.status(), 431);
        let long = "x".repeat(9000);
        assert_eq!(client.get(&format!("/{long}")).await.head.status(), 414);
        assert_eq!(client.get("/a%2fb").await.head.status(), 400);
        let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
        let failed = client.ask("POST", "/nobody", &grpc, &[]).await;
        assert_eq!(failed.head.headers()["grpc-status"], "14");
        assert_eq!(client.get("/").await.head.status(), 200);
    });
}

/// Accepts at `NET.131:8080`, where `/raw` leads.
async fn raw(front: &Front) -> TcpListener {
    TcpListener::bind(front.site.block.addr(131, 8080)).await.expect("a free address")
}

/// Reads until `end`.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        assert!(stream.read_buf(&mut read).await.expect("it must go on") > 0, "{read:?}");
    }
    String::from_utf8(read).expect("text")
}

#[test]
fn bodies_stream_both_ways_with_trailers() {
    let front = Front::start();
    block_on(async {
        let origin = raw(&front).await;
        let mut client = Client::connect(&front).await;
        let mut stream = client.begin("POST", "/raw", &[("te", "trailers")]).await;
        let (mut upstream, _) = origin.accept().await.expect("a connection");
        let head = until(&mut upstream, "\r\n\r\n").await;
        assert!(head.contains("Transfer-Encoding: chunked\r\n"), "{head}");
        upstream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .expect("sent");
        assert_eq!(stream.recv_response().await.expect("a response").status(), 200);
        for word in ["one", "two", "three"] {
            stream.send_data(Bytes::from(word)).await.expect("to be taken");
            let chunk = format!("{:x}\r\n{word}\r\n", word.len());
            assert_eq!(until(&mut upstream, &chunk).await, chunk);
            upstream.write_all(chunk.as_bytes()).await.expect("sent");
            let mut data = stream.recv_data().await.expect("data").expect("data");
            assert_eq!(data.copy_to_bytes(data.remaining()), word);
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "3".parse().expect("a value"));
        stream.send_trailers(trailers).await.expect("to be taken");
        stream.finish().await.expect("to be taken");
        assert_eq!(until(&mut upstream, "\r\n\r\n").await, "0\r\nx-sum: 3\r\n\r\n");
        upstream.write_all(b"0\r\nX-End: 1\r\n\r\n").await.expect("sent");
        assert!(stream.recv_data().await.expect("an end").is_none());
        let trailers = stream.recv_trailers().await.expect("a whole response");
        assert_eq!(trailers.map(|it| it["x-end"].clone()), Some("1".parse().expect("a value")));
    });
}

#[test]
fn a_body_of_another_length_than_was_said_is_no_second_request() {
    let front = Front::start();
    block_on(async {
        let origin = raw(&front).await;
        let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
        for (length, body) in [("3", format!("abc{smuggled}")), ("9000", "abc".to_owned())] {
            let mut client = Client::connect(&front).await;
            let mut stream = client.begin("POST", "/raw", &[("content-length", length)]).await;
            let _ = stream.send_data(Bytes::from(body)).await;
            let _ = stream.finish().await;
            let (mut upstream, _) = origin.accept().await.expect("a connection");
            let mut seen = Vec::new();
            // the connection to the endpoint ends: nothing else comes by it
            while upstream.read_buf(&mut seen).await.is_ok_and(|length| length > 0) {}
            let seen = String::from_utf8_lossy(&seen);
            assert!(!seen.contains("smuggled"), "{seen}");
        }
    });
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let front = Front::start();
    block_on(async {
        let origin = raw(&front).await;
        let mut client = Client::connect(&front).await;
        let mut stream = client.begin("GET", "/raw", &[]).await;
        stream.finish().await.expect("to be taken");
        let (mut upstream, _) = origin.accept().await.expect("a connection");
        until(&mut upstream, "\r\n\r\n").await;
        let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        upstream.write_all(hints).await.expect("sent");
        let hints = stream.recv_response().await.expect("a response");
        assert_eq!(hints.status(), 103);
        assert_eq!(hints.headers()["link"], "</a.css>; rel=preload");
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("sent");
        let answer = answer(&mut stream).await;
        assert_eq!((answer.head.status().as_u16(), answer.text()), (200, "ok".to_owned()));
    });
}

#[test]
fn a_response_that_is_cut_short_does_not_look_whole() {
    let front = Front::start();
    block_on(async {
        let origin = raw(&front).await;
        let mut client = Client::connect(&front).await;
        let mut stream = client.begin("GET", "/raw", &[]).await;
        stream.finish().await.expect("to be taken");
        let (mut upstream, _) = origin.accept().await.expect("a connection");
        until(&mut upstream, "\r\n\r\n").await;
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel").await.expect("sent");
        stream.recv_response().await.expect("a response");
        drop(upstream);
        loop {
            match stream.recv_data().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a response cut short looked whole"),
                Err(_) => break,
            }
        }
        // the connection goes on
        assert_eq!(client.get("/").await.head.status(), 200);
    });
}

#[test]
fn a_client_that_sends_everything_before_it_reads_anything_gets_its_answer() {
    let front = Front::start();
    block_on(async {
        let origin = raw(&front).await;
        let mut client = Client::connect(&front).await;
        let mut stream = client.begin("POST", "/raw", &[("content-length", "3000000")]).await;
        let (mut upstream, _) = origin.accept().await.expect("a connection");
        until(&mut upstream, "\r\n\r\n").await;
        let length = 8_000_000;
        let answered = tokio::spawn(async move {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let (mut read, mut write) = upstream.split();
            let answer = [head.into_bytes(), vec![b'y'; length]].concat();
            // it answers whatever it is sent, and reads all of that
            let written = write.write_all(&answer);
            let mut all = vec![0; 3_000_000];
            let (written, read) = tokio::join!(written, read.read_exact(&mut all));
            written.and(read).expect("both ways");
        });
        stream.send_data(Bytes::from(vec![b'x'; 3_000_000])).await.expect("to be taken");
        stream.finish().await.expect("to be taken");
        assert_eq!(answer(&mut stream).await.body.len(), length);
        answered.await.expect("both ways");
    });
}

#[test]
fn many_requests_share_a_connection() {
    let front = Front::start();
    block_on(async {
        let mut client = Client::connect(&front).await;
        let mut streams = Vec::new();
        for number in 0..50 {
            let mut stream = client.begin("GET", &format!("/{number}"), &[]).await;
            stream.finish().await.expect("to be taken");
            streams.push(stream);
        }
        for (number, stream) in streams.iter_mut().enumerate() {
            assert_eq!(answer(stream).await.json()["path"], json!(format!("/{number}")));
        }
    });
}
