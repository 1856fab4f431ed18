//! A client by quinn and h3.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use http::{HeaderMap, Request, Response};
use quinn::crypto::rustls::QuicClientConfig;

use crate::front::Front;

pub type Stream = RequestStream<h3_quinn::BidiStream<Bytes>, Bytes>;

/// A connection; its driver runs as a task.
pub struct Client {
    pub quic: quinn::Connection,
    pub requests: SendRequest<h3_quinn::OpenStreams, Bytes>,
    pub endpoint: quinn::Endpoint,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub head: Response<()>,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub async fn connect(front: &Front) -> Self {
        Self::try_connect(front, "app.test").await.expect("it must connect")
    }

    pub async fn try_connect(front: &Front, name: &str) -> Result<Self, quinn::ConnectionError> {
        let bind: SocketAddr = ([127, 0, 0, 1], 0).into();
        let mut endpoint = quinn::Endpoint::client(bind).expect("a socket");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .with_root_certificates(front.authority.roots())
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        tls.enable_early_data = true;
        let crypto = QuicClientConfig::try_from(tls).expect("a suite for QUIC");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        let quic = endpoint.connect(front.site.https(), name).expect("a name").await?;
        let connection = h3_quinn::Connection::new(quic.clone());
        let (mut driver, requests) = h3::client::new(connection).await.expect("HTTP/3");
        tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
        Ok(Self { quic, requests, endpoint })
    }

    /// Sends the head of a request.
    pub async fn begin(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Stream {
        let uri = format!("https://app.test{path}");
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        self.requests.send_request(request).await.expect("a stream")
    }

    /// Sends a request with a body, and reads the answer.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let (mut sender, mut receiver) = self.begin(method, path, fields).await.split();
        let send = async {
            if !body.is_empty() {
                sender.send_data(Bytes::copy_from_slice(body)).await.expect("to be taken");
            }
            sender.finish().await.expect("to be taken");
        };
        tokio::join!(send, answer(&mut receiver)).1
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], &[]).await
    }

    /// The certificate that was shown.
    pub fn certificate(&self) -> Vec<u8> {
        let identity = self.quic.peer_identity().expect("certificates");
        let chain = identity.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>();
        chain.expect("certificates")[0].to_vec()
    }

    /// Says goodbye, and waits until that is sent.
    pub async fn close(self) {
        self.quic.close(0x100_u32.into(), b"");
        self.endpoint.wait_idle().await;
    }
}

/// Reads a response to its end.
pub async fn answer<S: h3::quic::RecvStream>(stream: &mut RequestStream<S, Bytes>) -> Answer {
    let head = stream.recv_response().await.expect("a response");
    let mut body = Vec::new();
    while let Some(mut data) = stream.recv_data().await.expect("a whole body") {
        while data.has_remaining() {
            let piece = data.chunk().to_vec();
            data.advance(piece.len());
            body.extend(piece);
        }
    }
    let trailers = stream.recv_trailers().await.expect("a whole response");
    Answer { head, body, trailers }
}
