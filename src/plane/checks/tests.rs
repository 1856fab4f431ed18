use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;
use crate::balance::health;
use crate::plane::tests::tls::certificate;
use crate::plane::tests::{Manual, backend, closed_port, run};
use crate::snapshot::{Backend, Balancing, CheckQuestion, Transport, cell};

fn http(path: &str) -> CheckQuestion {
    CheckQuestion::Http { path: path.into(), tls: false }
}

async fn ask(addr: SocketAddr, question: &CheckQuestion) -> Result<(), String> {
    probe::ask(EndpointId(addr), question).await
}

#[test]
fn an_endpoint_is_well_if_it_takes_connections() {
    run(async {
        let origin = Manual::new().await;
        assert_eq!(ask(origin.addr, &CheckQuestion::Tcp).await, Ok(()));
        assert!(ask(closed_port().await, &CheckQuestion::Tcp).await.is_err());
    });
}

#[test]
fn an_endpoint_is_well_by_its_status() {
    run(async {
        let rows = [
            ("HTTP/1.1 200 OK\r\n", Ok(())),
            ("HTTP/1.0 399 Maybe\r\n", Ok(())),
            ("HTTP/1.1 400 Bad Request\r\n", Err("status 400")),
            ("HTTP/1.1 503 Service Unavailable\r\n", Err("status 503")),
            ("HTTP/1.1 9\r\n", Err("no response of HTTP/1")),
            ("hello, I am no server of HTTP\r\n", Err("no response of HTTP/1")),
            ("", Err("closed without a response")),
        ];
        for (answer, expected) in rows {
            let origin = Manual::new().await;
            let addr = origin.addr;
            let answering = async {
                let mut connection = origin.accept().await;
                let head = connection.head().await;
                connection.send(answer).await;
                head
            };
            let question = http("/healthz?full");
            let (asked, head) = tokio::join!(ask(addr, &question), answering);
            assert_eq!(asked, expected.map_err(str::to_owned), "{answer}");
            assert!(head.starts_with("GET /healthz?full HTTP/1.1\r\n"), "{head}");
        }
    });
}

/// A server of `grpc.health.v1` that says this; gives path and body of what it was asked.
async fn grpc(origin: &Manual, data: &'static [u8], status: &'static str) -> (String, Vec<u8>) {
    grpc_by(origin.accept().await.stream, data, status).await
}

async fn grpc_by(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    data: &'static [u8],
    status: &'static str,
) -> (String, Vec<u8>) {
    let mut connection = ::h2::server::handshake(stream).await.expect("a client of HTTP/2");
    let (request, mut respond) = connection.accept().await.expect("one").expect("a request");
    let serving = async move {
        let path = request.uri().path().to_owned();
        let body = request.into_body().data().await.expect("a body").expect("data").to_vec();
        let mut send = respond.send_response(::http::Response::new(()), false).expect("a head");
        send.send_data(bytes::Bytes::from_static(data), false).expect("data");
        let mut trailers = ::http::HeaderMap::new();
        trailers.insert("grpc-status", status.parse().expect("a value"));
        send.send_trailers(trailers).expect("trailers");
        (path, body)
    };
    let goes_on = async { while connection.accept().await.is_some() {} };
    let (seen, ()) = tokio::join!(serving, goes_on);
    seen
}

#[test]
fn an_endpoint_is_well_if_it_says_that_it_is_serving() {
    run(async {
        let rows: [(&[u8], &str, Result<(), &str>); 4] = [
            (&[0, 0, 0, 0, 2, 8, 1], "0", Ok(())),
            (&[0, 0, 0, 0, 2, 8, 2], "0", Err("serving status 2")),
            (&[0, 0, 0, 0, 0], "0", Err("serving status 0")),
            (&[], "12", Err("grpc-status 12")),
        ];
        for (data, status, expected) in rows {
            let origin = Manual::new().await;
            let addr = origin.addr;
            let question = CheckQuestion::Grpc { service: "a.B".into(), tls: false };
            let (asked, (path, body)) =
                tokio::join!(ask(addr, &question), grpc(&origin, data, status));
            assert_eq!(asked, expected.map_err(str::to_owned));
            assert_eq!(path, "/grpc.health.v1.Health/Check");
            assert_eq!(body, *b"\0\0\0\0\x05\x0a\x03a.B");
        }
    });
}

/// Shakes hands with the next client, by a certificate that nobody vouches for.
async fn shaken(origin: &Manual, alpn: &str) -> Box<TlsStream<TcpStream>> {
    let certificate = certificate(1, "elsewhere.test");
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().expect("versions");
    let mut config = config.with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    config.alpn_protocols = vec![alpn.into()];
    let stream = origin.accept().await.stream;
    let shaken = Box::pin(TlsAcceptor::from(Arc::new(config)).accept(stream)).await;
    Box::new(shaken.expect("a handshake"))
}

#[test]
fn an_endpoint_that_speaks_tls_is_asked_within_it_whoever_it_is() {
    run(async {
        let origin = Manual::new().await;
        let question = CheckQuestion::Http { path: "/well".into(), tls: true };
        let answering = async {
            let mut stream = shaken(&origin, "http/1.1").await;
            let mut head = vec![0; 19];
            stream.read_exact(&mut head).await.expect("a head");
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.expect("an answer");
            stream.shutdown().await.expect("an end");
            head
        };
        let (asked, head) = tokio::join!(ask(origin.addr, &question), answering);
        assert_eq!(asked, Ok(()));
        assert_eq!(head, *b"GET /well HTTP/1.1\r");

        let question = CheckQuestion::Grpc { service: "".into(), tls: true };
        let answering = async {
            let stream = shaken(&origin, "h2").await;
            grpc_by(stream, &[0, 0, 0, 0, 2, 8, 1], "0").await.0
        };
        let (asked, path) = tokio::join!(ask(origin.addr, &question), answering);
        assert_eq!((asked, &*path), (Ok(()), "/grpc.health.v1.Health/Check"));
    });
}

#[test]
fn an_endpoint_that_does_not_speak_tls_is_not_well_within_it() {
    run(async {
        let origin = Manual::new().await;
        let question = CheckQuestion::Http { path: "/".into(), tls: true };
        let answering = async {
            let mut client = origin.accept().await;
            client.send("HTTP/1.1 400 Bad Request\r\n\r\n").await;
        };
        let (asked, ()) = tokio::join!(ask(origin.addr, &question), answering);
        assert!(asked.is_err_and(|why| why.starts_with("TLS: ")));
    });
}

/// A backend whose endpoints are checked all the time.
const CHECK: EndpointCheck =
    EndpointCheck { question: CheckQuestion::Tcp, interval: Duration::from_millis(5) };

fn checked(addrs: &[SocketAddr], check: EndpointCheck) -> Arc<Backend> {
    let balancing = Balancing { check: Some(check), ..Balancing::default() };
    let plain = backend("web", Transport::Tcp, addrs);
    Arc::new(Backend { balancing: balancing.into(), ..Backend::clone(&plain) })
}

fn snapshot(backend: &Arc<Backend>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.backends.insert(backend.id.clone(), backend.clone());
    snapshot
}

#[test]
fn workers_know_of_an_endpoint_that_fails_until_it_is_well_again_or_gone() {
    run(async {
        let (well, ill) = (Manual::new().await, closed_port().await);
        let backend = checked(&[well.addr, ill], CHECK);
        let (mut publisher, reader) = cell::new();
        publisher.publish(snapshot(&backend));
        let (writer, health) = health();
        let (_signal, drain) = crate::life::drain();
        let checker = Checker::new(writer, WorkerShard::default());
        spawn_local("checks", checker.run(reader, drain));
        let failing = async |expected: &[EndpointId]| {
            while health.failing(&backend, &backend.usable) != expected {
                tokio::task::yield_now().await;
            }
        };
        assert_eq!(health.failing(&backend, &backend.usable), [], "nobody was asked yet");
        failing(&[EndpointId(ill)]).await;
        let back = tokio::net::TcpListener::bind(ill).await.expect("its port");
        failing(&[]).await;
        drop(back);
        failing(&[EndpointId(ill)]).await;
        publisher.publish(Snapshot::default());
        failing(&[]).await;
    });
}

#[test]
fn an_endpoint_fails_for_those_who_ask_the_same_unless_all_do() {
    let (writer, health) = health();
    let addrs = [([127, 0, 0, 1], 80).into(), ([127, 0, 0, 2], 80).into()];
    let backend = checked(&addrs, CHECK);
    let otherwise = EndpointCheck { interval: Duration::from_millis(6), ..CHECK };
    let otherwise = checked(&addrs, otherwise);
    let unchecked = crate::plane::tests::backend("web", Transport::Tcp, &addrs);
    writer.set([(CHECK, [EndpointId(addrs[0])].into())].into());
    assert_eq!(health.failing(&backend, &backend.usable), [EndpointId(addrs[0])]);
    assert_eq!(health.failing(&unchecked, &unchecked.usable), [], "it does not ask for it");
    assert_eq!(health.failing(&otherwise, &otherwise.usable), [], "it asks for something else");
    writer.set([(CHECK, addrs.map(EndpointId).into())].into());
    assert_eq!(health.failing(&backend, &backend.usable), []);
}
