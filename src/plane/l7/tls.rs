//! TLS towards clients.
//!
//! The certificate is chosen at each handshake from the snapshot of then, so that a new one is
//! served from the next connection on, and no connection is cut for it. Each (listener,
//! certificate) has a rustls configuration of its own, with its own tickets and its own session
//! cache: nothing resumes across them (CVE-2025-23419 is what happens otherwise).

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, Ticketer, cipher_suite};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::Server;
use crate::snapshot::{Certificate, CertificateId, Snapshot, SocketKey, TlsTable};

/// What the client wants to speak within TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.1, also where nothing was agreed.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Shakes hands within [`super::Limits::handshake_time`]. `None`: it failed, or there is no
/// certificate; the connection is closed.
pub(super) async fn accept(
    server: &Server,
    key: SocketKey,
    table: Arc<TlsTable>,
    stream: TcpStream,
) -> Option<(Box<TlsStream<TcpStream>>, Protocol)> {
    let handshake = async {
        let start = LazyConfigAcceptor::new(Default::default(), stream).await.ok()?;
        let hello = start.client_hello();
        let certificate = table.select(hello.server_name())?.certificate(hello.server_name())?;
        let config = server.tls.config(key, certificate)?;
        start.into_stream(config).await.ok()
    };
    let mut stream = tokio::time::timeout(server.limits.handshake_time, handshake).await.ok()??;
    let (_, connection) = stream.get_mut();
    connection.set_buffer_limit(Some(BUFFER_BYTES));
    let protocol = match connection.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    Some((Box::new(stream), protocol))
}

/// The configurations that were needed so far, by listener and certificate.
#[derive(Debug, Default)]
pub(super) struct ServerConfigs {
    configs: RefCell<HashMap<(SocketKey, CertificateId), Arc<ServerConfig>>>,
}

impl ServerConfigs {
    /// The configuration for a certificate. `None`: its key cannot be used, which is logged; the
    /// compiler has a finding about it.
    fn config(&self, key: SocketKey, certificate: &Certificate) -> Option<Arc<ServerConfig>> {
        let known = self.configs.borrow().get(&(key, certificate.id)).cloned();
        if known.is_some() {
            return known;
        }
        match build(certificate) {
            Ok(config) => {
                let config = Arc::new(config);
                self.configs.borrow_mut().insert((key, certificate.id), config.clone());
                Some(config)
            }
            Err(error) => {
                tracing::warn!(secret = %certificate.secret, %error, "certificate not usable");
                None
            }
        }
    }

    /// Forgets what the snapshot does not hold any more.
    pub(super) fn purge(&self, snapshot: &Snapshot) {
        let mut configs = self.configs.borrow_mut();
        if configs.is_empty() {
            return;
        }
        let mut wanted = BTreeSet::new();
        for (key, listener) in &snapshot.listeners {
            let tables = listener.serve.tls_tables();
            let ids = tables.flat_map(|table| table.certificates()).map(|it| it.id);
            wanted.extend(ids.map(|id| (*key, id)));
        }
        configs.retain(|known, _| wanted.contains(known));
    }
}

fn build(certificate: &Certificate) -> Result<ServerConfig, rustls::Error> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone())
        .map_err(|message| rustls::Error::General(message.to_owned()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
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

/// Plain text that may wait for encryption: large bodies go in large writes.
const BUFFER_BYTES: usize = 256 * 1024;
