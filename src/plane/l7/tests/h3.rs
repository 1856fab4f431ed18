use std::net::UdpSocket;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::client::SendRequest;
use h3::error::{Code, StreamError};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};

use super::tls::{certificate, table};
use super::world::*;
use crate::life;
use crate::plane::Limits;
use crate::plane::tests::tls::client_config;
use crate::snapshot::{Reason, SocketKey, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A server that also speaks HTTP/3, at `world.key`.
async fn world(limits: Limits) -> World {
    let mut world = World::with(limits).await;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("port 0 must be free");
    socket.set_nonblocking(true).expect("a socket must take options");
    let addr = socket.local_addr().expect("a bound socket must have an address");
    world.key = SocketKey { transport: Transport::Udp, addr };
    let certificates = Arc::new(table(&certificate(1, "h.test")));
    world.publish(all(fail(Reason::NoRoute)), Some(certificates));
    let serve = world.server.clone().serve_datagrams(socket, world.key, |_| Some(()));
    life::spawn_local("http3", serve);
    world
}

/// A client of its own address that trusts everybody.
async fn connect(world: &World) -> Result<Connection, ConnectionError> {
    let mut endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("a socket");
    let tls = rustls::ClientConfig::clone(&client_config(&["h3"], None));
    let crypto = QuicClientConfig::try_from(tls).expect("a suite for QUIC");
    endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
    endpoint.connect(world.key.addr, "h.test").expect("a name").await
}

/// What sends requests on a connection of its own.
async fn client(world: &World) -> SendRequest<h3_quinn::OpenStreams, Bytes> {
    let connection = connect(world).await.expect("there must be room");
    let connection = h3_quinn::Connection::new(connection);
    let (mut driver, requests) = Box::pin(h3::client::new(connection)).await.expect("a client");
    life::spawn_local("driver", async move {
        std::future::poll_fn(|cx| driver.poll_close(cx)).await;
    });
    requests
}

/// Whether the other side ended the stream with this code.
fn is_reset(failed: &StreamError, code: Code) -> bool {
    matches!(failed, StreamError::RemoteTerminate { code: told, .. } if *told == code)
}

#[test]
fn connections_beyond_the_limit_are_refused_until_others_end() {
    run(async {
        let world = world(Limits { h3_connections: 2, ..Limits::default() }).await;
        let first = connect(&world).await.expect("there must be room");
        // this one has to show first that it is where it says
        let _second = connect(&world).await.expect("there must be room");
        let third = connect(&world).await;
        assert!(matches!(third, Err(ConnectionError::ConnectionClosed(_))), "{third:?}");
        first.close(0_u32.into(), b"");
        while connect(&world).await.is_err() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_panic_in_a_stream_resets_it_and_is_not_taken_for_its_end() {
    run(async {
        let origin = Manual::new().await;
        let mut world = world(Limits::default()).await;
        let certificates = Arc::new(table(&certificate(1, "h.test")));
        world.publish(vec![super::panic::panicking("", &origin)], Some(certificates));
        let mut requests = client(&world).await;
        let request = http::Request::get("https://h.test/").body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("a stream");
        stream.finish().await.expect("its end");
        let before = life::task_panics();
        let failed = stream.recv_response().await.expect_err("a reset");
        assert!(is_reset(&failed, Code::H3_INTERNAL_ERROR), "{failed:?}");
        assert!(life::task_panics() > before);
    });
}

#[test]
fn after_a_body_that_was_cut_short_the_connection_to_the_endpoint_is_not_used_again() {
    const LENGTH: usize = 8 * 1024 * 1024;
    run(async {
        let origin = Manual::new().await;
        let mut world = world(Limits::default()).await;
        let certificates = Arc::new(table(&certificate(1, "h.test")));
        world.publish(all(forward("web", &[origin.addr])), Some(certificates));
        let mut requests = client(&world).await;
        let request = http::Request::post("https://h.test/").header("content-length", "10");
        let request = request.body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("a stream");
        stream.send_data(Bytes::from_static(b"12345")).await.expect("half of it");
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.until("12345").await;
        upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
        let sending = life::spawn_local("origin", async move {
            // nobody reads yet: it waits until the client has said that there is no more
            let body = "x".repeat(LENGTH);
            let _ = upstream.stream.write_all(body.as_bytes()).await;
            let _ = upstream.stream.read_to_end(&mut Vec::new()).await;
        });
        stream.recv_response().await.expect("a head");
        stream.finish().await.expect("the end, too early");
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        while let Ok(Some(mut data)) = stream.recv_data().await {
            data.advance(data.remaining());
        }
        sending.await.expect("it is closed");
    });
}

#[test]
fn an_idle_connection_is_closed_with_a_word() {
    run(async {
        let limits =
            Limits { client_idle: std::time::Duration::from_millis(100), ..Limits::default() };
        let world = world(limits).await;
        let idle = connect(&world).await.expect("there must be room");
        let ConnectionError::ApplicationClosed(said) = idle.closed().await else {
            panic!("it must be told");
        };
        assert_eq!(said.error_code, quinn::VarInt::from_u32(0x100));
    });
}

#[test]
fn a_client_that_takes_nothing_is_reset_when_memory_runs_out() {
    const LENGTH: usize = 8 * 1024 * 1024;
    run(async {
        let origin = Manual::new().await;
        let mut world = world(Limits::default()).await;
        let certificates = Arc::new(table(&certificate(1, "h.test")));
        world.publish(all(forward("web", &[origin.addr])), Some(certificates));
        let mut requests = client(&world).await;
        let request = http::Request::get("https://h.test/").body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("a stream");
        stream.finish().await.expect("its end");
        let mut upstream = origin.accept().await;
        upstream.head().await;
        upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
        let sending = life::spawn_local("origin", async move {
            let body = "x".repeat(LENGTH);
            let _ = upstream.stream.write_all(body.as_bytes()).await;
        });
        stream.recv_response().await.expect("a head");
        while world.server.accounts.reset_biggest(u64::MAX) == 0 {
            tokio::task::yield_now().await;
        }
        let mut taken = 0;
        let failed = loop {
            match stream.recv_data().await {
                Ok(Some(data)) => taken += data.remaining(),
                Ok(None) => panic!("it must not be taken for its end"),
                Err(failed) => break failed,
            }
        };
        assert!(is_reset(&failed, Code::H3_REQUEST_CANCELLED) && taken < LENGTH, "{failed:?}");
        sending.await.expect("it is closed");
    });
}
