//! Requests to an ACME server: few and small, so that each has a connection of its own.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::plane::tls::client_config;
use crate::snapshot::{Authorities, Protocol, UpstreamTls};

/// Speaks to servers that these authorities vouch for.
#[derive(Debug)]
pub(super) struct Https(pub(super) Authorities);

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let authorities = self.0.clone();
        Box::pin(async move {
            let answer = timeout(PATIENCE, Box::pin(ask(authorities, request))).await;
            answer.map_err(|_| other(io::ErrorKind::TimedOut.into()))?
        })
    }
}

async fn ask(
    authorities: Authorities,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Error> {
    let uri = std::mem::take(request.uri_mut());
    let host = uri.host().filter(|_| uri.scheme() == Some(&Scheme::HTTPS));
    let host = host.ok_or(Error::Str("a URL with https"))?.trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(443);
    let stream = Box::pin(connect(&authorities, host, port)).await.map_err(other)?;
    let authority = uri.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let value = HeaderValue::from_str(authority).map_err(http::Error::from)?;
    request.headers_mut().insert(header::HOST, value);
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    *request.uri_mut() = path.parse::<Uri>()?;

    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(boxed)?;
    let answer = async {
        let (parts, body) = sender.send_request(request).await.map_err(boxed)?.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(Error::Other)?;
        Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
    };
    let (mut answer, mut connection) = (pin!(answer), pin!(connection));
    let mut has_ended = false;
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer,
            // what it has read may not have been taken yet
            _ = &mut connection, if !has_ended => has_ended = true,
        }
    }
}

async fn connect(
    authorities: &Authorities,
    host: &str,
    port: u16,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let policy = UpstreamTls {
        server_name: host.into(),
        authorities: authorities.clone(),
        names: Vec::new(),
        client: None,
    };
    let (config, name) = client_config(&policy, Some(Protocol::Http1)).map_err(io::Error::other)?;
    let stream = TcpStream::connect((host, port)).await?;
    Box::pin(TlsConnector::from(config).connect(name, stream)).await
}

fn other(error: io::Error) -> Error {
    Error::Other(Box::new(error))
}

fn boxed(error: hyper::Error) -> Error {
    Error::Other(Box::new(error))
}

/// For a request and its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of an answer: certificate chains and directories are a hundredth of it.
const MAX_BYTES: usize = 1024 * 1024;
