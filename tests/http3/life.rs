//! Connections: certificates, limits, and how they end.

use std::time::Duration;

use quinn::{ConnectionError, VarInt, WriteError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{Client, answer};
use crate::common::{PATIENCE, block_on, until};
use crate::front::Front;

#[test]
fn a_new_certificate_is_served_and_no_connection_is_cut_for_it() {
    let front = Front::start();
    block_on(async {
        let mut old = Client::connect(&front).await;
        assert_eq!(old.get("/").await.head.status(), 200);
        assert_eq!(Client::connect(&front).await.certificate(), old.certificate());
        let save = |name, text: &str| {
            // it waits on a runtime of its own
            std::thread::scope(|scope| scope.spawn(|| front.site.save(name, text)).join())
                .expect("it must be served");
        };
        save("other.yaml", &front.authority.secret("app", &["app.test"]));
        // of two Secrets of one name the first is served, so the old one is taken away
        let manifests =
            std::fs::read_to_string(front.site.dir.path().join("main.yaml")).expect("it");
        let (others, _) =
            manifests.split_once("---\napiVersion: v1\nkind: Secret").expect("a Secret");
        save("main.yaml", others);
        let new = Client::connect(&front).await;
        assert_ne!(new.certificate(), old.certificate());
        assert_eq!(old.get("/").await.head.status(), 200);
    });
}

#[test]
fn a_server_name_without_a_certificate_is_refused_and_nobody_else() {
    let front = Front::start();
    block_on(async {
        let refused = Client::try_connect(&front, "other.test").await.err();
        let is_tls = matches!(
            refused,
            Some(ConnectionError::ConnectionClosed(_) | ConnectionError::TransportError(_))
        );
        assert!(is_tls, "{refused:?}");
        assert_eq!(Client::connect(&front).await.get("/").await.head.status(), 200);
    });
    until_refused(&front, "tls_handshake");
}

#[test]
fn who_breaks_http_3_is_closed_and_counted() {
    let front = Front::start();
    block_on(async {
        let mut client = Client::connect(&front).await;
        assert_eq!(client.get("/").await.head.status(), 200);
        // a second control stream (RFC 9114 section 6.2.1)
        let mut stream = client.quic.open_uni().await.expect("a stream");
        stream.write_all(&[0]).await.expect("to be sent");
        let closed = tokio::time::timeout(PATIENCE, client.quic.closed()).await.expect("in time");
        let ConnectionError::ApplicationClosed(frame) = closed else { panic!("{closed}") };
        assert_eq!(frame.error_code, H3_STREAM_CREATION_ERROR);
    });
    until_refused(&front, "bad_request");
}

/// Waits until one connection is counted as refused for this reason.
fn until_refused(front: &Front, reason: &str) {
    until(reason, || front.site.refused(reason) > 0);
    assert_eq!(front.site.refused(reason), 1, "{reason}");
}

#[test]
fn early_data_is_not_offered() {
    let front = Front::start();
    block_on(async {
        let mut client = Client::connect(&front).await;
        // the ticket comes before the response
        assert_eq!(client.get("/").await.head.status(), 200);
        let again = client.endpoint.connect(front.site.https(), "app.test").expect("a name");
        let later = again.into_0rtt().err().expect("no keys for early data");
        later.await.expect("it must connect");
    });
}

#[test]
fn a_drain_lets_requests_finish_and_says_goodbye() {
    let front = Front::start();
    block_on(async {
        let origin =
            TcpListener::bind(front.site.block.addr(131, 8080)).await.expect("a free address");
        let mut idle = Client::connect(&front).await;
        assert_eq!(idle.get("/").await.head.status(), 200);
        let mut client = Client::connect(&front).await;
        let mut stream = client.begin("GET", "/raw", &[]).await;
        stream.finish().await.expect("to be taken");
        let (mut upstream, _) = origin.accept().await.expect("a connection");
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            upstream.read_buf(&mut read).await.expect("a head");
        }
        front.site.terminate();
        // GOAWAY has arrived when no request is begun any more
        while client.requests.send_request(request()).await.is_ok() {
            tokio::task::yield_now().await;
        }
        upstream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.expect("sent");
        assert_eq!(answer(&mut stream).await.text(), "ok");
        for ended in [idle, client] {
            let closed = tokio::time::timeout(PATIENCE, ended.quic.closed()).await;
            let closed = closed.expect("it must end in time");
            let ConnectionError::ApplicationClosed(frame) = closed else {
                panic!("it ended without a word: {closed}");
            };
            assert_eq!(frame.error_code, H3_NO_ERROR);
        }
    });
}

fn request() -> http::Request<()> {
    http::Request::get("https://app.test/").body(()).expect("a request")
}

#[test]
fn a_head_that_is_announced_to_be_huge_is_not_read() {
    let front = Front::start();
    block_on(async {
        let mut client = Client::connect(&front).await;
        let (mut stream, _receive) = client.quic.open_bi().await.expect("a stream");
        // HEADERS of 1 GiB - 1
        stream.write_all(b"\x01\xbf\xff\xff\xff").await.expect("to be taken");
        let piece = [0; 16 * 1024];
        let mut sent = 0;
        let error = loop {
            match tokio::time::timeout(Duration::from_secs(5), stream.write_all(&piece)).await {
                Ok(Ok(())) => sent += piece.len(),
                Ok(Err(error)) => break error,
                Err(_) => panic!("nobody refuses, after {sent} bytes"),
            }
            assert!(sent < 4 << 20, "{sent} bytes are taken");
        };
        assert_eq!(error, WriteError::Stopped(H3_EXCESSIVE_LOAD));
        assert_eq!(client.get("/").await.head.status(), 200);
    });
}

#[test]
fn a_client_that_goes_away_takes_its_requests_along() {
    let front = Front::start();
    block_on(async {
        let origin =
            TcpListener::bind(front.site.block.addr(131, 8080)).await.expect("a free address");
        let mut client = Client::connect(&front).await;
        let mut stream = client.begin("GET", "/raw", &[]).await;
        stream.finish().await.expect("to be taken");
        let (mut upstream, _) = origin.accept().await.expect("a connection");
        client.close().await;
        let mut read = Vec::new();
        let ended = upstream.read_to_end(&mut read);
        let ended = tokio::time::timeout(PATIENCE, ended).await;
        ended.expect("it must end in time").expect("an end");
    });
}

const H3_NO_ERROR: VarInt = VarInt::from_u32(0x100);
const H3_STREAM_CREATION_ERROR: VarInt = VarInt::from_u32(0x103);
const H3_EXCESSIVE_LOAD: VarInt = VarInt::from_u32(0x107);
