//! TLS towards clients.
//!
//! The certificate is chosen at each handshake from the snapshot of then, so that a new one is
//! served from the next connection on, and no connection is cut for it. Each set of [`Terms`] has a
//! rustls configuration of its own, with its own tickets and its own session cache: nothing resumes
//! across them (CVE-2025-23419 is what happens otherwise: a client gets in by a session of a
//! listener that asks for less).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_rustls::server::StartHandshake;

use super::{Stream, client_auth};
use crate::snapshot::{
    Certificate, CertificateId, ClientAuth, ClientAuthMode, Snapshot, SocketKey, TlsTable,
};

/// What is spoken within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// HTTP, of the version that the client prefers (ALPN).
    Http,
    /// DNS (RFC 7858; its ALPN is `dot`).
    Dns,
    /// Nobody here knows.
    Bytes,
}

/// Shakes hands with the certificate that `table` has for the server name. `Err`: it failed, or
/// there is no certificate; the client has been told what can be told.
pub async fn accept(
    configs: &ServerConfigs,
    key: SocketKey,
    table: &TlsTable,
    content: Content,
    start: StartHandshake<TcpStream>,
) -> io::Result<Session> {
    let config = {
        let hello = start.client_hello();
        configs.select(key, table, content, hello.server_name())
    };
    let config = config.ok_or(io::ErrorKind::NotFound)?;
    let mut stream = match start.into_stream(config).into_fallible().await {
        Ok(stream) => stream,
        Err((error, stream)) => {
            linger(stream).await;
            return Err(error);
        }
    };
    let (_, connection) = stream.get_mut();
    connection.set_buffer_limit(Some(BUFFER_BYTES));
    let server_name = connection.server_name().map(|name| name.to_ascii_lowercase().into());
    let is_http2 = connection.alpn_protocol() == Some(b"h2");
    Ok(Session { stream: Stream::Tls(Box::new(TlsStream::Server(stream))), server_name, is_http2 })
}

/// Waits until a client that was refused has seen why: closing a socket with something unread
/// resets the connection, and the alert would be lost. A client of TLS 1.3 has often sent its first
/// request by then.
async fn linger(mut stream: TcpStream) {
    let until_it_ends = async {
        let _ = stream.shutdown().await;
        let mut dropped = tokio::io::sink();
        let _ = tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut dropped).await;
    };
    let _ = tokio::time::timeout(LINGER_TIME, until_it_ends).await;
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Session {
    /// Within TLS.
    pub stream: Stream,
    /// Which name the client asked for, in lower case.
    pub server_name: Option<Arc<str>>,
    /// Whether HTTP/2 was agreed.
    pub is_http2: bool,
}

/// Under which terms a session may be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Terms {
    key: SocketKey,
    certificate: CertificateId,
    client_auth: Option<(CertificateId, ClientAuthMode)>,
}

impl Terms {
    fn new(key: SocketKey, certificate: &Certificate, client_auth: Option<&ClientAuth>) -> Self {
        let client_auth = client_auth.map(|auth| (auth.authorities.id, auth.mode));
        Self { key, certificate: certificate.id, client_auth }
    }
}

/// The configurations that one worker needed so far.
#[derive(Debug, Default)]
pub struct ServerConfigs {
    configs: RefCell<HashMap<(Terms, Content), Arc<ServerConfig>>>,
}

impl ServerConfigs {
    /// The configuration for a server name. `None`: there is no certificate for it, or one that
    /// cannot be used, which is logged; the compiler has a finding about it.
    fn select(
        &self,
        key: SocketKey,
        table: &TlsTable,
        content: Content,
        server_name: Option<&str>,
    ) -> Option<Arc<ServerConfig>> {
        let entry = table.select(server_name)?;
        let certificate = entry.certificate(server_name)?;
        let client_auth = entry.client_auth.as_deref();
        let terms = (Terms::new(key, certificate, client_auth), content);
        let known = self.configs.borrow().get(&terms).cloned();
        if known.is_some() {
            return known;
        }
        match build(certificate, client_auth, content) {
            Ok(config) => {
                let config = Arc::new(config);
                self.configs.borrow_mut().insert(terms, config.clone());
                Some(config)
            }
            Err(error) => {
                tracing::warn!(secret = %certificate.secret, %error, "certificate not usable");
                None
            }
        }
    }

    /// Forgets what is for other certificates than those of the table.
    pub fn keep_only(&self, table: &TlsTable) {
        let is_wanted = |id| table.certificates().any(|certificate| certificate.id == id);
        self.configs.borrow_mut().retain(|(terms, _), _| is_wanted(terms.certificate));
    }

    /// Forgets what the snapshot does not hold any more.
    pub fn purge(&self, snapshot: &Snapshot) {
        let mut configs = self.configs.borrow_mut();
        if configs.is_empty() {
            return;
        }
        let mut wanted = BTreeSet::new();
        for (key, listener) in &snapshot.listeners {
            for entry in listener.serve.tls_tables().flat_map(|table| table.entries()) {
                let terms = |it: &Arc<_>| Terms::new(*key, it, entry.client_auth.as_deref());
                wanted.extend(entry.certificates.iter().map(terms));
            }
        }
        configs.retain(|(known, _), _| wanted.contains(known));
    }
}

fn build(
    certificate: &Certificate,
    client_auth: Option<&ClientAuth>,
    content: Content,
) -> Result<ServerConfig, rustls::Error> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone())
        .map_err(|message| rustls::Error::General(message.to_owned()))?;
    let provider = Arc::new(provider());
    let clients = match client_auth {
        Some(client_auth) => client_auth::verifier(client_auth, &provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = match content {
        Content::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Content::Dns => vec![b"dot".to_vec()],
        Content::Bytes => Vec::new(),
    };
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

/// AES-128 first: SHA-384 without hardware is a tenth of a handshake.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let preferred = cipher_suite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != preferred.suite());
    provider
}

/// What a refused client may still send.
const LINGER_BYTES: u64 = 64 * 1024;
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Plain text that may wait for encryption: large bodies go in large writes.
const BUFFER_BYTES: usize = 256 * 1024;
