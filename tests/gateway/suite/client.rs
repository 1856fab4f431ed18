//! HTTP/1.1 and HTTP/2, plain and over TLS, one connection at a time.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::certificates::Pair;
use crate::common::PATIENCE;

/// Where to, and how.
#[derive(Clone)]
pub struct Way<'a> {
    pub addr: SocketAddr,
    pub http2: bool,
    pub tls: Option<Tls<'a>>,
}

/// TLS as a client wants it.
#[derive(Clone)]
pub struct Tls<'a> {
    pub server_name: &'a str,
    /// The certificate that the server must show.
    pub expected: &'a Pair,
    /// What the client shows when it is asked.
    pub shown: Option<&'a Pair>,
}

/// What came back, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub trailers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// Values of a field, joined as one list.
    pub fn header(&self, name: &str) -> Option<String> {
        joined(&self.headers, name)
    }
}

pub fn joined(headers: &HeaderMap, name: &str) -> Option<String> {
    let values =
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let values: Vec<_> = values.collect();
    (!values.is_empty()).then(|| values.join(","))
}

impl<'a> Way<'a> {
    pub fn plain(addr: SocketAddr) -> Self {
        Self { addr, http2: false, tls: None }
    }

    pub fn tls(addr: SocketAddr, server_name: &'a str, expected: &'a Pair) -> Self {
        Self { addr, http2: false, tls: Some(Tls { server_name, expected, shown: None }) }
    }

    /// By prior knowledge, or by ALPN over TLS.
    pub fn http2(self) -> Self {
        Self { http2: true, ..self }
    }

    /// With a certificate of the client.
    pub fn shows(self, pair: &'a Pair) -> Self {
        let tls = self.tls.map(|tls| Tls { shown: Some(pair), ..tls });
        Self { tls, ..self }
    }

    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// A connection, for several requests one after the other.
    pub async fn connect(&self) -> Result<Connection, String> {
        let stream = within(TcpStream::connect(self.addr)).await?.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        match &self.tls {
            None => Box::pin(Connection::over(stream, self.http2)).await,
            Some(tls) => {
                let protocol = if self.http2 { &b"h2"[..] } else { b"http/1.1" };
                let stream = Box::pin(tls.shake_hands(stream, Some(protocol))).await?;
                Box::pin(Connection::over(stream, self.http2)).await
            }
        }
    }
}

impl Tls<'_> {
    pub async fn shake_hands(
        &self,
        stream: TcpStream,
        protocol: Option<&[u8]>,
    ) -> Result<TlsStream<TcpStream>, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Exactly {
            certificate: self.expected.der.clone().into(),
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(text)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.shown {
            None => builder.with_no_client_auth(),
            Some(pair) => {
                let chain = vec![CertificateDer::from(pair.der.clone())];
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(text)?;
                builder.with_client_auth_cert(chain, key).map_err(text)?
            }
        };
        config.alpn_protocols = protocol.into_iter().map(<[u8]>::to_vec).collect();
        let name = ServerName::try_from(self.server_name.to_owned()).map_err(text)?;
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await?.map_err(text)
    }
}

/// Trusts one certificate and no other. Names are not looked at: upstream's certificates have them
/// as its Go client wants them.
#[derive(Debug)]
struct Exactly {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A connection of either version.
pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    async fn over<S>(stream: S, http2: bool) -> Result<Self, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        if http2 {
            let handshake = http2::handshake(TokioExecutor::new(), stream);
            let (sender, connection) = within(handshake).await?.map_err(text)?;
            drive(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = within(http1::handshake(stream)).await?.map_err(text)?;
        drive(connection);
        Ok(Self::Http1(sender))
    }

    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let response = match self {
            Self::Http1(sender) => {
                within(sender.ready()).await?.map_err(text)?;
                within(sender.send_request(request)).await?
            }
            Self::Http2(sender) => {
                within(sender.ready()).await?.map_err(text)?;
                within(sender.send_request(request)).await?
            }
        };
        read(response.map_err(text)?).await
    }
}

/// What goes wrong there is told to the request.
#[expect(clippy::disallowed_methods, reason = "hyper's executor needs no LocalSet")]
fn drive<C>(connection: C)
where
    C: Future + Send + 'static,
    C::Output: Send,
{
    tokio::task::spawn(connection);
}

async fn read(response: Response<Incoming>) -> Result<Answer, String> {
    let (head, body) = response.into_parts();
    let body = within(body.collect()).await?.map_err(text)?;
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        trailers: body.trailers().cloned().unwrap_or_default(),
        body: body.to_bytes(),
    })
}

async fn within<F: Future>(future: F) -> Result<F::Output, String> {
    tokio::time::timeout(PATIENCE, future).await.map_err(|_| "nothing came in time".to_owned())
}

/// With its causes.
fn text(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}
