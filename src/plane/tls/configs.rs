//! What TLS towards clients is done with, by its terms.
//!
//! Each set of [`Terms`] has a rustls configuration of its own, with its own tickets (their keys
//! change every six hours) and its own session cache: nothing resumes across them (CVE-2025-23419 is
//! what happens otherwise: a client gets in by a session of a listener that asks for less). All
//! workers share them, so that a session is resumed on whichever worker its client comes to next.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::SignatureAlgorithm;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::client_auth;
use super::profile::Profile;
use crate::snapshot::{
    Certificate, CertificateId, ClientAuth, ClientAuthMode, Snapshot, SocketKey, TlsEntry, TlsTable,
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

/// Under which terms a session may be resumed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Terms {
    key: SocketKey,
    content: Content,
    /// One of these is shown.
    certificates: Vec<CertificateId>,
    client_auth: Asked,
}

/// What is asked of clients.
type Asked = Option<(CertificateId, ClientAuthMode)>;

fn asked(client_auth: Option<&ClientAuth>) -> Asked {
    client_auth.map(|auth| (auth.authorities.id, auth.mode))
}

/// The configurations that the workers of a process needed so far.
#[derive(Debug, Default)]
pub struct ServerConfigs {
    profile: Profile,
    configs: Mutex<HashMap<Terms, Arc<ServerConfig>>>,
}

impl ServerConfigs {
    /// None yet; they will be of that profile.
    pub fn new(profile: Profile) -> Self {
        Self { profile, configs: Mutex::default() }
    }

    /// The configuration for a server name. `None`: there is no certificate for it, or none that
    /// can be used, which is logged; the compiler has a finding about it.
    pub(super) fn select(
        &self,
        key: SocketKey,
        table: &TlsTable,
        content: Content,
        server_name: Option<&str>,
    ) -> Option<Arc<ServerConfig>> {
        let entry = table.select(server_name)?;
        let certificates: Vec<_> = entry.candidates(server_name).collect();
        let terms = Terms {
            key,
            content,
            certificates: certificates.iter().map(|it| it.id).collect(),
            client_auth: asked(entry.client_auth.as_deref()),
        };
        // held while one is built: two workers must not make two of the same terms
        let mut configs = self.lock();
        if let Some(known) = configs.get(&terms) {
            return Some(known.clone());
        }
        match build(self.profile, &certificates, entry.client_auth.as_deref(), content) {
            Ok(config) => {
                let config = Arc::new(config);
                configs.insert(terms, config.clone());
                Some(config)
            }
            Err(error) => {
                let secret = certificates.first().map(|it| it.secret.to_string());
                tracing::warn!(secret, %error, "certificate not usable");
                None
            }
        }
    }

    /// Forgets what the snapshot does not hold any more.
    pub fn purge(&self, snapshot: &Snapshot) {
        let mut configs = self.lock();
        if configs.is_empty() {
            return;
        }
        let mut wanted = HashSet::new();
        let mut want = |key: Option<SocketKey>, entry: &TlsEntry| {
            let asked = asked(entry.client_auth.as_deref());
            wanted.extend(entry.certificates.iter().map(|it| (key, asked, it.id)));
        };
        for (key, listener) in snapshot.listeners.iter() {
            let entries = listener.serve.tls_tables().flat_map(|table| table.entries());
            entries.for_each(|entry| want(Some(*key), entry));
        }
        // those of DNS are the same on all of its sockets
        snapshot.dns_tls.entries().iter().for_each(|entry| want(None, entry));
        configs.retain(|terms, _| {
            let key = (terms.content != Content::Dns).then_some(terms.key);
            let is_wanted =
                |key, id: &CertificateId| wanted.contains(&(key, terms.client_auth, *id));
            let mut ids = terms.certificates.iter();
            ids.all(|id| is_wanted(key, id) || is_wanted(None, id))
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Terms, Arc<ServerConfig>>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build(
    profile: Profile,
    certificates: &[&Arc<Certificate>],
    client_auth: Option<&ClientAuth>,
    content: Content,
) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(profile.provider());
    let clients = match client_auth {
        Some(client_auth) => client_auth::verifier(client_auth, &provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let shown = Shown::new(certificates, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(profile.versions())?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(shown));
    config.alpn_protocols = match content {
        Content::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Content::Dns => vec![b"dot".to_vec()],
        Content::Bytes => Vec::new(),
    };
    config.ignore_client_order = true;
    config.ticketer = Ticketer::new()?;
    config.send_tls13_tickets = 1;
    // what comes in 0-RTT may come again (RFC 8446 section 8)
    config.max_early_data_size = 0;
    Ok(config)
}

/// The certificates of one name: that is shown which the client can check.
#[derive(Debug)]
struct Shown {
    /// Those with small signatures first, each kind in the order of the listener; never empty.
    keys: Vec<Arc<CertifiedKey>>,
}

impl Shown {
    /// Leaves out what cannot be used, as long as something is left.
    fn new(
        certificates: &[&Arc<Certificate>],
        provider: &CryptoProvider,
    ) -> Result<Self, rustls::Error> {
        let (mut keys, mut failed) = (Vec::new(), None);
        for certificate in certificates {
            match certified(certificate, provider) {
                Ok(key) => keys.push(Arc::new(key)),
                Err(error) => failed = Some(error),
            }
        }
        keys.sort_by_key(|it| it.key.algorithm() == SignatureAlgorithm::RSA);
        match failed {
            Some(error) if keys.is_empty() => Err(error),
            _ => Ok(Self { keys }),
        }
    }
}

impl ResolvesServerCert for Shown {
    /// Without one that the client can check, any: rustls says then what is wrong.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let offered = hello.signature_schemes();
        let fits = |it: &&Arc<CertifiedKey>| it.key.choose_scheme(offered).is_some();
        self.keys.iter().find(fits).or_else(|| self.keys.first()).cloned()
    }
}

fn certified(
    certificate: &Certificate,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone())
        .map_err(|message| rustls::Error::General(message.to_owned()))?;
    CertifiedKey::from_der(chain, key, provider)
}
