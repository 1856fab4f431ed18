use std::net::UdpSocket;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};

use super::tls::{certificate, table};
use super::world::*;
use crate::life;
use crate::plane::Limits;
use crate::plane::tests::tls::client_config;
use crate::snapshot::{Reason, SocketKey, Transport};

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
        let connection = connect(&world).await.expect("there must be room");
        let connection = h3_quinn::Connection::new(connection);
        let (mut driver, mut requests) =
            Box::pin(h3::client::new(connection)).await.expect("a client");
        life::spawn_local("driver", async move {
            std::future::poll_fn(|cx| driver.poll_close(cx)).await;
        });
        let request = http::Request::get("https://h.test/").body(()).expect("a request");
        let mut stream = requests.send_request(request).await.expect("a stream");
        stream.finish().await.expect("its end");
        let before = life::task_panics();
        let failed = stream.recv_response().await.expect_err("a reset");
        let code = h3::error::Code::H3_INTERNAL_ERROR;
        let is_told = matches!(
            failed,
            h3::error::StreamError::RemoteTerminate { code: told, .. } if told == code
        );
        assert!(is_told, "{failed:?}");
        assert!(life::task_panics() > before);
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
