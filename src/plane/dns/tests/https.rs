//! DNS over HTTPS.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hickory_proto::op::{Edns, Message, ResponseCode};
use hickory_proto::rr::RecordType;
use hickory_proto::rr::rdata::opt::EdnsOption;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, LocalSet};
use tokio_rustls::client::TlsStream;

use super::encrypted::secured;
use super::sockets::Site;
use super::{bytes, parse, query};
use crate::life::spawn_local;
use crate::plane::dns::Limits;
use crate::plane::tests::run;
use crate::plane::tests::tls::{certificate, client_config, shake_hands};

#[derive(Clone, Copy)]
struct Tasks;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        spawn_local("client", future);
    }
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// A client of one version of HTTP.
pub(super) struct Client {
    sender: Sender,
    /// Ends with the connection.
    connection: JoinHandle<()>,
}

impl Client {
    pub(super) async fn connect(site: &Site, version: Version) -> Self {
        let stream = connect(site, version).await;
        let io = TokioIo::new(stream);
        if version == Version::HTTP_2 {
            let (sender, connection) = Box::pin(http2::handshake(Tasks, io)).await.expect("HTTP/2");
            let connection = async move { drop(connection.await) };
            let connection = spawn_local("client", connection);
            return Self { sender: Sender::Http2(sender), connection };
        }
        let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
        let connection = spawn_local("client", async move { drop(connection.await) });
        Self { sender: Sender::Http1(sender), connection }
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.expect("the connection must be open");
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.expect("the connection must be open");
                sender.send_request(request).await
            }
        };
        response.expect("a response")
    }

    pub(super) async fn post(&mut self, query: &Message) -> Response<Incoming> {
        self.send(request("POST", "/dns-query", Some(MESSAGE), bytes(query))).await
    }
}

async fn connect(site: &Site, version: Version) -> TlsStream<TcpStream> {
    let alpn = if version == Version::HTTP_2 { "h2" } else { "http/1.1" };
    let config = client_config(&[alpn], None);
    let stream = shake_hands(site.https, "dns.test", config).await.expect("TLS must be agreed");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
    stream
}

fn start(limits: Limits) -> Site {
    Site::serve(limits, secured(&certificate(1, "dns.test")))
}

fn request(method: &str, path: &str, content: Option<&str>, body: Vec<u8>) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(format!("https://dns.test{path}"));
    request = request.header("host", "dns.test");
    if let Some(content) = content {
        request = request.header("content-type", content);
    }
    request.body(Full::new(body.into())).expect("the request must be well-formed")
}

/// A query in a path.
fn path(query: &[u8]) -> String {
    format!("/dns-query?dns={}", URL_SAFE_NO_PAD.encode(query))
}

fn field<'r>(response: &'r Response<Incoming>, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

pub(super) async fn message(response: Response<Incoming>) -> Message {
    parse(&response.into_body().collect().await.expect("a body").to_bytes())
}

const MESSAGE: &str = "application/dns-message";
pub(super) const VERSIONS: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

#[test]
fn queries_of_get_and_post_are_answered_and_say_how_long_to_keep_it() {
    run(async {
        let site = start(Limits::default());
        for version in VERSIONS {
            let mut client = Client::connect(&site, version).await;
            for (name, code, answers, cache) in [
                ("web.shop", ResponseCode::NoError, 1, "max-age=5"),
                ("huge.shop", ResponseCode::NoError, 4_087, "max-age=5"),
                ("nothing.shop", ResponseCode::NXDomain, 0, "max-age=5"),
            ] {
                let query = query(name, RecordType::A);
                let by_get = request("GET", &path(&bytes(&query)), None, Vec::new());
                let by_post = request("POST", "/dns-query", Some(MESSAGE), bytes(&query));
                for request in [by_get, by_post] {
                    let response = client.send(request).await;
                    assert_eq!(response.status(), 200, "{name}");
                    assert_eq!(response.version(), version);
                    assert_eq!(field(&response, "content-type"), MESSAGE);
                    assert_eq!(field(&response, "cache-control"), cache);
                    let answer = message(response).await;
                    assert_eq!(answer.metadata.response_code, code);
                    assert!(answer.answers.len() >= answers.min(4_000), "{name}");
                    assert_eq!(answer.metadata.id, query.metadata.id);
                }
            }
            let refused = client.post(&outside()).await;
            assert_eq!(
                (refused.status().as_u16(), field(&refused, "cache-control")),
                (200, "max-age=0")
            );
            assert_eq!(message(refused).await.metadata.response_code, ResponseCode::Refused);
        }
        let labels = "transport=\"https\",type=\"A\",rcode=\"NOERROR\"";
        assert_eq!(site.counted(&format!("rutter_dns_requests_total{{{labels}}}")), 8);
    });
}

/// A name of others, for which nobody is to be asked.
fn outside() -> Message {
    let mut message = query("web.shop", RecordType::A);
    message.queries[0].name = "example.org.".parse().expect("a name");
    message
}

#[test]
fn what_is_no_query_is_refused_by_the_status_that_says_why() {
    run(async {
        let site = start(Limits::default());
        let good = bytes(&query("web.shop", RecordType::A));
        let good_path = path(&good);
        let long_path = path(&[0; 4097]);
        let mut response = query("web.shop", RecordType::A);
        response.metadata.message_type = hickory_proto::op::MessageType::Response;
        let response_path = path(&bytes(&response));
        let padded = format!("/dns-query?dns={}==", URL_SAFE_NO_PAD.encode(&good[..13]));
        for version in VERSIONS {
            for (method, path, content, body, status) in [
                ("GET", "/", None, &[][..], 404),
                ("GET", "/dns-query/", None, &[], 404),
                ("POST", "/other", Some(MESSAGE), &good, 404),
                ("PUT", "/dns-query", Some(MESSAGE), &good, 405),
                ("DELETE", &good_path, None, &[], 405),
                ("OPTIONS", "/dns-query", None, &[], 405),
                ("GET", "/dns-query", None, &[], 400),
                ("GET", "/dns-query?dns=", None, &[], 400),
                ("GET", "/dns-query?dns=%00%00", None, &[], 400),
                ("GET", "/dns-query?dns=AAAA", None, &[], 400),
                ("GET", &padded, None, &[], 400),
                ("GET", &response_path, None, &[], 400),
                ("GET", &long_path, None, &[], 414),
                ("POST", "/dns-query", Some("text/plain"), &good, 415),
                ("POST", "/dns-query", None, &good, 415),
                ("POST", "/dns-query", Some(MESSAGE), &[0; 4097], 413),
                ("POST", "/dns-query", Some(MESSAGE), &[], 400),
                ("POST", "/dns-query", Some("Application/DNS-Message; a=b"), &good, 200),
                ("GET", &good_path, None, &[], 200),
                ("HEAD", &good_path, None, &[], 200),
            ] {
                let mut client = Client::connect(&site, version).await;
                let response = client.send(request(method, path, content, body.to_vec())).await;
                let what = format!("{version:?} {method} {path} {content:?}");
                assert_eq!(response.status(), status, "{what}");
                let allowed = if status == 405 { "GET, HEAD, POST" } else { "" };
                assert_eq!(field(&response, "allow"), allowed, "{what}");
                let length = field(&response, "content-length").parse::<usize>().expect("a length");
                let body = response.into_body().collect().await.expect("a body").to_bytes();
                let expected = if method == "HEAD" { 0 } else { length };
                assert!(length > 0 && body.len() == expected, "{what}");
            }
        }
    });
}

#[test]
fn answers_of_https_are_padded_for_who_pads() {
    run(async {
        let site = start(Limits::default());
        let mut client = Client::connect(&site, Version::HTTP_2).await;
        let mut query = query("web.shop", RecordType::A);
        let mut edns = Edns::new();
        edns.options_mut().insert(EdnsOption::Unknown(12, vec![0; 40]));
        query.set_edns(edns);
        assert_eq!(field(&client.post(&query).await, "content-length"), "468");
    });
}

#[test]
fn a_connection_of_https_ends_after_its_share_of_queries() {
    run(async {
        let site = start(Limits { queries: 3, ..Limits::default() });
        for version in VERSIONS {
            let mut client = Client::connect(&site, version).await;
            for _ in 0..3 {
                let answer = client.post(&query("web.shop", RecordType::A)).await;
                assert_eq!(message(answer).await.answers.len(), 1);
            }
            client.connection.await.expect("the connection must end");
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_https_that_is_idle_ends() {
    let steps = async {
        let site = start(Limits::default());
        for version in VERSIONS {
            let mut client = Client::connect(&site, version).await;
            let answer = client.post(&query("web.shop", RecordType::A)).await;
            assert_eq!(message(answer).await.answers.len(), 1);
            let before = tokio::time::Instant::now();
            client.connection.await.expect("the connection must end");
            let time = before.elapsed();
            assert!((4..=7).contains(&time.as_secs()), "{version:?} {time:?}");
        }
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let steps = async {
        let site = start(Limits::default());
        let mut stream = connect(&site, Version::HTTP_11).await;
        let head = "POST /dns-query HTTP/1.1\r\nHost: dns.test\r\nContent-Type: \
                    application/dns-message\r\nContent-Length: 40\r\n\r\n\0\0";
        stream.write_all(head.as_bytes()).await.expect("the server must read");
        let mut answer = Vec::new();
        // it ends without close_notify
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
        assert_eq!(site.counted("rutter_dns_connections{transport=\"https\"}"), 0);
    };
    LocalSet::new().run_until(Box::pin(steps)).await;
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    run(async {
        let site = start(Limits::default());
        let mut stream = connect(&site, Version::HTTP_11).await;
        let head =
            format!("GET /dns-query HTTP/1.1\r\nHost: d\r\nX: {}\r\n\r\n", "x".repeat(20_000));
        stream.write_all(head.as_bytes()).await.expect("the server must read");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&answer));
    });
}

#[test]
fn a_drain_asks_clients_of_https_to_go() {
    for version in VERSIONS {
        run(async {
            let site = start(Limits::default());
            let mut client = Client::connect(&site, version).await;
            let answer = client.post(&query("web.shop", RecordType::A)).await;
            assert_eq!(message(answer).await.answers.len(), 1);
            site.signal.start();
            // hyper ends by itself on GOAWAY, or when an idle connection of HTTP/1.1 is closed
            client.connection.await.expect("the connection must end");
            site.running.await.expect("the server must end");
            assert!(site.signal.finished(Duration::from_secs(5)).await);
        });
    }
}
