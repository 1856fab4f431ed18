//! TLS towards endpoints (BackendTLSPolicy, GEP-1897; own certificate, GEP-3155) and upstreams of
//! DNS (RFC 7858).
//!
//! An identity is what a policy asks for and the protocol within: it has one rustls configuration
//! with its own sessions, so that nothing that was agreed under one policy is taken up under
//! another.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::verify::{Unverified, Verifier};
use crate::snapshot::{
    Authorities, Certificate, CertificateId, Protocol, Snapshot, SubjectName, UpstreamTls,
};

/// How one worker speaks TLS to endpoints, by policy and protocol.
#[derive(Debug, Default)]
pub struct Clients {
    known: RefCell<HashMap<Key, Rc<Client>>>,
    made: Cell<u64>,
}

impl Clients {
    /// What a policy asks for. `protocol`: what is agreed by ALPN, if the bytes within are HTTP.
    pub fn of(&self, tls: &Arc<UpstreamTls>, protocol: Option<Protocol>) -> Rc<Client> {
        let key = (Policy(tls.clone()), protocol);
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        self.made.set(self.made.get().saturating_add(1));
        let client = Rc::new(Client::new(self.made.get(), tls, protocol));
        self.known.borrow_mut().insert(key, client.clone());
        client
    }

    /// Forgets what the snapshot does not ask for any more, and tells those that still hold it.
    pub fn purge(&self, snapshot: &Snapshot) {
        let mut known = self.known.borrow_mut();
        if known.is_empty() {
            return;
        }
        let targets = snapshot.listeners.values().flat_map(|listener| listener.targets());
        let policies = targets.filter_map(|target| target.tls.clone());
        let wanted: HashSet<Policy> = policies.map(Policy).collect();
        known.retain(|(policy, _), client| {
            client.is_retired.set(!wanted.contains(policy));
            !client.is_retired.get()
        });
    }
}

/// What a configuration is kept by: the policy, and the protocol that is agreed by ALPN.
type Key = (Policy, Option<Protocol>);

/// A policy as its content has it: two that ask for the same are the same.
#[derive(Debug)]
struct Policy(Arc<UpstreamTls>);

impl Policy {
    fn identity(&self) -> (&str, Option<CertificateId>, &[SubjectName], Option<CertificateId>) {
        let Self(tls) = self;
        let authorities = match &tls.authorities {
            Authorities::System => None,
            Authorities::Bundle(bundle) => Some(bundle.id),
        };
        (&tls.server_name, authorities, &tls.names, tls.client.as_ref().map(|it| it.id))
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// TLS towards endpoints as one identity speaks it. Equal to itself only.
#[derive(Debug)]
pub struct Client {
    number: u64,
    is_retired: Cell<bool>,
    /// Built once; a policy that cannot be followed fails every handshake.
    built: Result<(Arc<ClientConfig>, ServerName<'static>), rustls::Error>,
}

impl Client {
    fn new(number: u64, tls: &UpstreamTls, protocol: Option<Protocol>) -> Self {
        let built = build(tls, protocol);
        if let Err(error) = &built {
            tracing::warn!(server_name = %tls.server_name, %error, "TLS to endpoints not usable");
        }
        Self { number, is_retired: Cell::new(false), built }
    }

    /// Shakes hands on a fresh connection, on which so many bytes may wait to be sent. Any error of
    /// verification is one of rustls within.
    pub async fn connect(
        &self,
        stream: TcpStream,
        send_buffer: u32,
    ) -> io::Result<Box<TlsStream<TcpStream>>> {
        let (config, name) = self.built.clone().map_err(io::Error::other)?;
        let mut stream = Box::pin(TlsConnector::from(config).connect(name, stream)).await?;
        stream.get_mut().1.set_buffer_limit(Some(send_buffer as usize));
        Ok(Box::new(stream))
    }

    /// Whether the snapshot asks for it no more.
    pub fn is_retired(&self) -> bool {
        self.is_retired.get()
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

/// The rustls configuration of a policy, for those who connect by themselves.
pub fn client_config(
    tls: &UpstreamTls,
    protocol: Option<Protocol>,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), rustls::Error> {
    build(tls, protocol)
}

/// For health checks: whoever answers is asked, and nobody is believed anything else.
pub fn unverified(alpn: &'static str) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Unverified(provider.signature_verification_algorithms);
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    Ok(Arc::new(config))
}

fn build(
    tls: &UpstreamTls,
    protocol: Option<Protocol>,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), rustls::Error> {
    let name = ServerName::try_from(tls.server_name.to_string());
    let name = name.map_err(|error| rustls::Error::General(error.to_string()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots = roots(&tls.authorities)?;
    let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .with_crls(revocations(&tls.authorities))
        // as for clients: an authority without a list has revoked nobody
        .allow_unknown_revocation_status()
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let verifier = Verifier { webpki, names: tls.names.clone() };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.client {
        Some(certificate) => {
            let (chain, key) = own_certificate(certificate)?;
            config.with_client_auth_cert(chain, key)?
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = match protocol {
        Some(Protocol::Http1) => vec![b"http/1.1".to_vec()],
        Some(Protocol::Http2) => vec![b"h2".to_vec()],
        None => Vec::new(),
    };
    Ok((Arc::new(config), name))
}

fn own_certificate(
    certificate: &Certificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), rustls::Error> {
    let chain = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let key = PrivateKeyDer::try_from(certificate.key.clone());
    Ok((chain, key.map_err(|message| rustls::Error::General(message.to_owned()))?))
}

fn roots(authorities: &Authorities) -> Result<Arc<RootCertStore>, rustls::Error> {
    let roots = match authorities {
        Authorities::System => system_roots(),
        Authorities::Bundle(bundle) => {
            let mut roots = RootCertStore::empty();
            let certificates = bundle.certificates.iter().cloned().map(CertificateDer::from);
            roots.add_parsable_certificates(certificates);
            Arc::new(roots)
        }
    };
    if roots.is_empty() {
        return Err(rustls::Error::General("no authority that could be read".to_owned()));
    }
    Ok(roots)
}

/// Whom the authorities have revoked.
fn revocations(authorities: &Authorities) -> Vec<CertificateRevocationListDer<'static>> {
    let lists = match authorities {
        Authorities::System => &[][..],
        Authorities::Bundle(bundle) => &bundle.revocations,
    };
    lists.iter().cloned().map(CertificateRevocationListDer::from).collect()
}

/// The authorities of the operating system, read once a process, when they are first asked for.
fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "authorities of the system");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}
