//! An upstream on loopback that is asked over TCP or TLS, and does as it is told on each connection.

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::parse;
use super::sockets::framed;
use super::upstream::{address, nothing};
use crate::life::spawn_local;
use crate::plane::tls::Stream;
use crate::snapshot::{Certificate, Upstream, UpstreamTransport};

type Served = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// A server over TCP, or TLS with a certificate, that does as it is told on each connection.
pub(super) struct Server {
    pub(super) addr: SocketAddr,
    /// Connections so far.
    pub(super) opened: Rc<Cell<usize>>,
    /// Of those within TLS, the ones that were resumed.
    pub(super) resumed: Rc<Cell<usize>>,
}

impl Server {
    pub(super) async fn start<F: Future<Output = io::Result<()>> + 'static>(
        certificate: Option<&Certificate>,
        serve: impl Fn(Connection) -> F + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let server = Self {
            addr: listener.local_addr().expect("a bound socket must have an address"),
            opened: Rc::default(),
            resumed: Rc::default(),
        };
        let (opened, resumed) = (server.opened.clone(), server.resumed.clone());
        let tls = certificate.map(acceptor);
        let serve = Rc::new(move |connection| -> Served { Box::pin(serve(connection)) });
        spawn_local("server", async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                opened.set(opened.get() + 1);
                let (number, serve) = (opened.get(), serve.clone());
                let (tls, resumed) = (tls.clone(), resumed.clone());
                spawn_local("served", async move {
                    let stream = match tls {
                        None => Stream::Plain(stream),
                        Some(tls) => {
                            // a client that does not like the certificate
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let kind = stream.get_ref().1.handshake_kind();
                            if kind == Some(rustls::HandshakeKind::Resumed) {
                                resumed.set(resumed.get() + 1);
                            }
                            Stream::Tls(Box::new(TlsStream::Server(stream)))
                        }
                    };
                    // that the client has gone is no matter
                    let _ = serve(Connection { stream, number }).await;
                });
            }
        });
        server
    }

    pub(super) fn over_tcp(&self) -> Upstream {
        Upstream { addr: self.addr, transport: UpstreamTransport::Tcp }
    }

    pub(super) fn over_tls(&self, name: &str) -> Upstream {
        let transport = UpstreamTransport::Tls { server_name: name.into() };
        Upstream { addr: self.addr, transport }
    }
}

fn acceptor(certificate: &Certificate) -> TlsAcceptor {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone()).expect("a key must be one");
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider must do TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate must be one");
    Arc::new(config).into()
}

/// A connection of a client to a [`Server`].
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// From 1.
    pub(super) number: usize,
}

impl Connection {
    pub(super) async fn query(&mut self) -> io::Result<Message> {
        let length = self.stream.read_u16().await?;
        let mut query = vec![0; usize::from(length)];
        self.stream.read_exact(&mut query).await?;
        Ok(parse(&query))
    }

    /// The next query for addresses; others, which are looks for loops, get an empty answer.
    pub(super) async fn question(&mut self) -> io::Result<Message> {
        loop {
            let query = self.query().await?;
            if query.queries[0].query_type() == RecordType::A {
                return Ok(query);
            }
            self.send(&nothing(&query)).await?;
        }
    }

    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.stream.write_all(&framed(message)).await?;
        self.stream.flush().await
    }
}

/// Answers everything in order.
pub(super) async fn answer_all(mut connection: Connection) -> io::Result<()> {
    loop {
        let query = connection.question().await?;
        connection.send(&address(&query, 1, 60)).await?;
    }
}
