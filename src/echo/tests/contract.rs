//! What the conformance suites want of an echo server.

use http_body_util::Empty;
use hyper::header::CONTENT_TYPE;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

/// A certificate for `web.test` that signs itself, and its root.
fn certificate() -> (Tls, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["web.test".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let tls = Tls {
        certificate: made.cert.pem().into_bytes(),
        key: made.signing_key.serialize_pem().into_bytes(),
        client_ca: None,
    };
    (tls, roots)
}

fn client(roots: RootCertStore, protocols: &[&[u8]], shown: Option<&Tls>) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(tls) => {
            use rustls_pki_types::pem::PemObject;
            let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(&tls.certificate)];
            let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(&tls.key).unwrap();
            let chain = chain.into_iter().collect::<Result<_, _>>().unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

async fn connect(
    addr: SocketAddr,
    connector: &TlsConnector,
) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = ServerName::try_from("web.test").unwrap();
    connector.connect(name, TcpStream::connect(addr).await.unwrap()).await.unwrap()
}

async fn get(addr: SocketAddr, target: &str, headers: &str) -> String {
    exchange(addr, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn the_client_chooses_status_and_fields_of_the_answer() {
    with(echo(), async |pod| {
        for (target, status) in [
            ("/status/200", "200"),
            ("/status/503", "503"),
            ("/status/1000", "400"),
            ("/status/101", "400"),
            ("/status/x", "400"),
            ("/health", "200"),
        ] {
            let answer = get(pod.http, target, "").await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {answer}");
        }
        let asked = "X-Echo-Set-Header: X-One: 1, x-two:a,x-two: b\r\nX-Echo-Set-Header: X-3:3\r\n";
        let answer = get(pod.http, "/a", asked).await;
        for field in ["x-one: 1\r\n", "x-two: a,b\r\n", "x-3: 3\r\n"] {
            assert!(answer.contains(field), "{field} in {answer}");
        }
        let seen = serde_json::from_str::<Value>(body(&answer)).unwrap();
        assert_eq!(seen["httpPort"], pod.http.port().to_string());
        assert!(seen.get("tls").is_none());
    })
    .await;
}

#[tokio::test]
async fn a_flaky_backend_fails_as_often_as_it_is_told() {
    with(echo(), async |pod| {
        let flaky = "/retry/x?uuid=1&succeedAfter=2&responseCode=502&delayRetry=1ms";
        assert!(get(pod.http, flaky, "").await.starts_with("HTTP/1.1 502 "));
        assert!(get(pod.http, flaky, "").await.starts_with("HTTP/1.1 502 "));
        assert!(get(pod.http, flaky, "").await.contains("\"path\":\"/retry/x?"));
        for target in
            ["/retry/x?succeedAfter=1", "/retry/x?uuid=1", "/retry/x?uuid=&succeedAfter=1"]
        {
            assert!(get(pod.http, target, "").await.starts_with("HTTP/1.1 400 "), "{target}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_without_a_code_is_a_reset() {
    with(echo(), async |pod| {
        let mut stream = TcpStream::connect(pod.http).await.unwrap();
        let request = b"GET /retry/x?uuid=1&succeedAfter=1 HTTP/1.1\r\nHost: a\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let error = stream.read(&mut [0; 16]).await.expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(get(pod.http, "/retry/x?uuid=1&succeedAfter=1", "").await.contains(" 200 OK"));
    })
    .await;
}

#[tokio::test]
async fn the_journal_tells_what_was_asked() {
    let echo = echo();
    let journal = echo.journal.clone();
    with(echo, async |pod| {
        get(pod.http, "/a?b=c", "").await;
        let asked = journal.requests();
        assert_eq!(asked.len(), 1);
        assert_eq!((&*asked[0].pod, &*asked[0].target), ("web-1", "/a?b=c"));
        assert_eq!((&*asked[0].namespace, &*asked[0].method), ("shop", "GET"));
    })
    .await;
}

#[tokio::test]
async fn tls_is_told_and_http2_is_agreed_on() {
    let (tls, roots) = certificate();
    let bound_to = "127.0.0.1:0".parse().unwrap();
    let bound = Echo { https: vec![bound_to], tls: Some(tls), ..echo() };
    with_tls(bound, async |https, _| {
        let connector = client(roots.clone(), &[b"h2", b"http/1.1"], None);
        let stream = connect(https, &connector).await;
        let executor = hyper_util::rt::TokioExecutor::new();
        let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
        let (mut sender, connection) = Box::pin(handshake).await.unwrap();
        spawn_local("client", async move {
            let _ = connection.await;
        });
        let request = Request::get("https://web.test/a").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let json = answer.into_body().collect().await.unwrap().to_bytes();
        let seen = serde_json::from_slice::<Value>(&json).unwrap();
        assert_eq!(seen["proto"], "HTTP/2.0");
        assert_eq!(seen["tls"]["version"], "TLSv1.3");
        assert_eq!(seen["tls"]["serverName"], "web.test");
        assert_eq!(seen["tls"]["negotiatedProtocol"], "h2");
        let suite = seen["tls"]["cipherSuite"].as_str().unwrap();
        assert!(suite.starts_with("TLS_AES_") || suite.starts_with("TLS_CHACHA20"), "{suite}");
        let mut plain = connect(https, &client(roots, &[], None)).await;
        plain.write_all(b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        plain.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("\"proto\":\"HTTP/1.1\""), "{answer}");
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_is_told_if_the_authority_is_ours() {
    let (tls, roots) = certificate();
    let (stranger, _) = certificate();
    let server = Tls { client_ca: Some(tls.certificate.clone()), ..tls.clone() };
    let bound_to = "127.0.0.1:0".parse().unwrap();
    let bound = Echo { https: vec![bound_to], tls: Some(server), ..echo() };
    with_tls(bound, async |https, _| {
        for (shown, is_served) in [(None, true), (Some(&tls), true), (Some(&stranger), false)] {
            let mut stream = connect(https, &client(roots.clone(), &[], shown)).await;
            let request = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let mut answer = String::new();
            let served = async {
                stream.write_all(request).await?;
                stream.read_to_string(&mut answer).await
            };
            assert_eq!(served.await.is_ok(), is_served, "{answer}");
            let is_told = answer.contains("-----BEGIN CERTIFICATE-----");
            assert_eq!(is_told, shown.is_some() && is_served, "{answer}");
            if let (true, Some(shown)) = (is_told, shown) {
                let seen = serde_json::from_str::<Value>(body(&answer)).unwrap();
                let told = seen["tls"]["peerCertificates"][0].as_str().unwrap();
                let shown = String::from_utf8(shown.certificate.clone()).unwrap();
                assert_eq!(told, shown.replace("\r\n", "\n"));
            }
        }
    })
    .await;
}

/// The same with the addresses of HTTPS and of TCP over TLS.
async fn with_tls(mut echo: Echo, test: impl AsyncFnOnce(SocketAddr, SocketAddr)) {
    echo.tcp_tls = vec!["127.0.0.1:0".parse().unwrap()];
    let bound = echo.bind(ReusePort::No).unwrap();
    let (_signal, drain) = drain();
    let https = bound.https_addrs().first().copied().unwrap_or_else(|| bound.tcp_tls_addrs()[0]);
    let tcp = bound.tcp_tls_addrs()[0];
    let served = async move {
        spawn_local("echo", async move { bound.run(drain).await.unwrap() });
        Box::pin(test(https, tcp)).await;
    };
    tokio::time::timeout(DEADLINE, LocalSet::new().run_until(served)).await.expect("in time");
}

#[tokio::test]
async fn tcp_speaks_first_and_answers_lines() {
    let conformance = Echo { conformance: true, ..echo() };
    with(conformance, async |pod| {
        let answer = exchange(pod.tcp, "PING\nnonsense\r\nIS_TLS\nTEST\n").await;
        let lines: Vec<&str> = answer.lines().collect();
        assert_eq!(lines[..3], ["Gateway API Test TCP Server", "PONG", "false"]);
        let told = serde_json::from_str::<Value>(lines[3]).unwrap();
        assert_eq!((&told["pod"], &told["isTLS"]), (&"web-1".into(), &false.into()));
        assert_eq!(told["tcpport"], pod.tcp.port().to_string());
        assert_eq!(exchange(pod.tcp, &"x".repeat(100_000)).await.lines().count(), 1);
    })
    .await;
    let (tls, roots) = certificate();
    with_tls(Echo { conformance: true, tls: Some(tls), ..echo() }, async |_, tcp| {
        let mut stream = connect(tcp, &client(roots, &[], None)).await;
        stream.write_all(b"IS_TLS\nTEST\n").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let lines: Vec<&str> = answer.lines().collect();
        assert_eq!(lines[1], "true");
        let told = serde_json::from_str::<Value>(lines[2]).unwrap();
        assert_eq!(told["tls"]["serverName"], "web.test");
    })
    .await;
}

#[tokio::test]
async fn datagrams_are_told_as_json() {
    with(Echo { conformance: true, ..echo() }, async |pod| {
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"hello", pod.udp).await.unwrap();
        let mut received = [0; 512];
        let length = client.recv(&mut received).await.unwrap();
        let told = serde_json::from_slice::<Value>(&received[..length]).unwrap();
        assert_eq!((&told["request"], &told["pod"]), (&"hello".into(), &"web-1".into()));
        assert_eq!(told["namespace"], "shop");
    })
    .await;
}

#[tokio::test]
async fn grpc_calls_are_told_and_unknown_methods_are_not_implemented() {
    with(echo(), async |pod| {
        let call = |method: &str| {
            let uri = format!(
                "http://grpc.test/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/{method}"
            );
            let message = Full::new(Bytes::from_static(&[0, 0, 0, 0, 0]));
            let request = Request::post(uri).header(CONTENT_TYPE, "application/grpc");
            request.header("x-one", "1").body(message).unwrap()
        };
        let answer = http2(pod.http, call("EchoTwo")).await;
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/grpc");
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["grpc-status"], "0");
        let message = answer.to_bytes();
        assert_eq!(message[1..5], u32::try_from(message.len() - 5).unwrap().to_be_bytes());
        let text = String::from_utf8_lossy(&message);
        for part in ["GrpcEcho/EchoTwo", "x-one\u{12}\u{1}1", "grpc.test", "shop", "web-1"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let uri = "http://grpc.test/grpc.health.v1.Health/Check";
        let check = Request::post(uri).header(CONTENT_TYPE, "application/grpc");
        let check = check.body(Full::new(Bytes::from_static(&[0, 0, 0, 0, 0]))).unwrap();
        let health = http2(pod.http, check).await.into_body().collect().await.unwrap();
        assert_eq!(health.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(*health.to_bytes(), [0, 0, 0, 0, 2, 8, 1]);
        let refused = http2(pod.http, call("EchoThree")).await;
        assert_eq!(refused.headers()["grpc-status"], "12");
    })
    .await;
}

#[test]
fn tls_without_a_certificate_is_refused() {
    let none = Echo { https: vec!["127.0.0.1:0".parse().unwrap()], ..Echo::default() };
    assert_eq!(none.bind(ReusePort::No).unwrap_err().to_string(), "TLS needs a certificate");
}
