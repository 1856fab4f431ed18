use std::sync::Arc;

use rustls::{ClientConfig, HandshakeKind};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::world::*;
pub(super) use crate::plane::tests::tls::certificate;
use crate::plane::tests::tls::{client_config, shown};
use crate::snapshot::{Certificate, HostMatch, TlsEntry, TlsTable};

pub(super) fn table(default: &Arc<Certificate>) -> TlsTable {
    table_of(&[(HostMatch::Any, default)])
}

fn table_of(certificates: &[(HostMatch, &Arc<Certificate>)]) -> TlsTable {
    let entries = certificates.iter().map(|(host, certificate)| TlsEntry {
        host: host.clone(),
        certificates: vec![Arc::clone(certificate)],
        client_auth: None,
    });
    TlsTable::new(entries.collect())
}

/// Shakes hands with a client that trusts everybody and says what it was shown.
pub(super) async fn connect(world: &World, name: &str, alpn: &[&str]) -> TlsStream<TcpStream> {
    connect_with(world, name, client_config(alpn, None)).await
}

async fn connect_with(
    world: &World,
    name: &str,
    config: Arc<ClientConfig>,
) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(world.addr).await.expect("the server must accept");
    let name = ServerName::try_from(name.to_owned()).expect("a name must be given");
    TlsConnector::from(config).connect(name, stream).await.expect("the handshake must work")
}

async fn get(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("it must be open");
    let mut read = Vec::new();
    while !read.ends_with(b"ok") {
        assert!(stream.read_buf(&mut read).await.expect("it must be open") > 0);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[test]
fn the_certificate_is_that_of_the_exact_name_then_the_wildcard_then_the_default() {
    run(async {
        let mut world = World::new().await;
        let (exact, wild, default) =
            (certificate(1, "a.test"), certificate(2, "*.test"), certificate(3, "default"));
        let tls = table_of(&[
            (HostMatch::Exact("a.test".into()), &exact),
            (HostMatch::Wildcard("test".into()), &wild),
            (HostMatch::Any, &default),
        ]);
        world.publish(Vec::new(), Some(Arc::new(tls)));
        for (name, expected) in [
            ("a.test", &exact),
            ("A.TEST", &exact),
            ("b.test", &wild),
            ("a.b.test", &default),
            ("127.0.0.1", &default),
        ] {
            let stream = connect(&world, name, &[]).await;
            assert_eq!(shown(&stream), expected.chain[0], "{name}");
        }
    });
}

#[test]
fn a_new_certificate_is_served_and_no_connection_is_cut_for_it() {
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::new().await;
        let rules = || vec![rule(HostMatch::Any, "", forward("web", &[origin.addr]))];
        let (old, new) = (certificate(1, "old"), certificate(2, "new"));
        world.publish(rules(), Some(Arc::new(table(&old))));
        let mut living = connect(&world, "h", &["http/1.1"]).await;
        get(&mut living).await;
        world.publish(rules(), Some(Arc::new(table(&new))));
        let mut fresh = connect(&world, "h", &[]).await;
        assert_eq!((shown(&living), shown(&fresh)), (old.chain[0].clone(), new.chain[0].clone()));
        get(&mut living).await;
        get(&mut fresh).await;
        assert!(origin.heads()[0].contains("X-Forwarded-Proto: https\r\n"));
    });
}

#[test]
fn a_certificate_that_cannot_be_used_fails_its_own_handshakes_only() {
    run(async {
        let mut world = World::new().await;
        let good = certificate(1, "good");
        let mut bad = Certificate::clone(&certificate(2, "bad"));
        bad.key = b"no key".to_vec();
        let bad = Arc::new(bad);
        let tls = table_of(&[(HostMatch::Exact("bad".into()), &bad), (HostMatch::Any, &good)]);
        world.publish(Vec::new(), Some(Arc::new(tls)));
        let mut client = world.client().await;
        client.send("GET / HTTP/1.1\r\n\r\n").await;
        client.rest().await;
        assert_eq!(shown(&connect(&world, "good", &[]).await), good.chain[0]);
    });
}

#[test]
fn draining_ends_tls_connections_with_a_goodbye() {
    run(async {
        let origin = Canned::ok().await;
        let mut world = World::new().await;
        let rules = vec![rule(HostMatch::Any, "", forward("web", &[origin.addr]))];
        world.publish(rules, Some(Arc::new(table(&certificate(1, "h")))));
        let mut stream = connect(&world, "h", &["http/1.1"]).await;
        get(&mut stream).await;
        world.drain.take().expect("the drain must not have started").start();
        let mut rest = Vec::new();
        // rustls reports an end without close_notify as an error
        assert_eq!(stream.read_buf(&mut rest).await.expect("it must end in order"), 0);
    });
}

#[test]
fn a_session_is_resumed_for_its_own_certificate_only() {
    run(async {
        let mut world = World::new().await;
        let (first, second) = (certificate(1, "h"), certificate(2, "h"));
        world.publish(Vec::new(), Some(Arc::new(table(&first))));
        let config = client_config(&[], None);
        let mut kinds = Vec::new();
        for change in [false, false, true, false] {
            if change {
                world.publish(Vec::new(), Some(Arc::new(table(&second))));
            }
            let mut stream = connect_with(&world, "h", config.clone()).await;
            stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.expect("it must be open");
            // the ticket comes before the answer
            assert!(stream.read_buf(&mut Vec::new()).await.expect("it must be open") > 0);
            kinds.push(stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed));
        }
        assert_eq!(kinds, [false, true, false, true]);
    });
}
