//! TLS within QUIC.
//!
//! QUIC has its server choose a configuration before it has read the ClientHello, so that one
//! configuration is made for all server names of a socket, which chooses the certificate by name.
//! With another table of certificates comes another configuration, and with it other tickets: no
//! session is resumed across them, and rustls resumes none for another server name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::profile::Profile;
use crate::snapshot::{Certificate, CertificateId, TlsTable};

/// The configuration for HTTP/3 with these certificates: TLS 1.3, no early data. A certificate that
/// cannot be used is logged, and fails its own handshakes only.
///
/// Nothing is asked of clients: sockets with entries that ask for certificates are not served by QUIC.
pub fn quic_config(table: Arc<TlsTable>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(Profile::default().provider());
    let mut keys = BTreeMap::new();
    for certificate in table.certificates() {
        match certified(certificate, &provider) {
            Ok(key) => drop(keys.insert(certificate.id, Arc::new(key))),
            Err(error) => {
                tracing::warn!(secret = %certificate.secret, %error, "certificate not usable");
            }
        }
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Certificates { table, keys }));
    config.alpn_protocols = vec![b"h3".to_vec()];
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    Ok(config)
}

fn certified(
    certificate: &Certificate,
    provider: &rustls::crypto::CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone())
        .map_err(|message| rustls::Error::General(message.to_owned()))?;
    CertifiedKey::from_der(chain, key, provider)
}

/// The certificates of a socket, by server name.
struct Certificates {
    table: Arc<TlsTable>,
    keys: BTreeMap<CertificateId, Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("table", &self.table).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let certificate = self.table.select(name)?.certificate(name)?;
        self.keys.get(&certificate.id).cloned()
    }
}
