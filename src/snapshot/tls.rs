//! TLS: certificates, what is done for which server name, and TLS towards endpoints.

use std::fmt;
use std::sync::Arc;

use super::matching::{HostMap, one_label_below};
use super::{Frontend, HostMatch, HttpListener};
use crate::manifest::{ObjectKey, Origin};

/// Identity of a certificate and its key: a hash of their bytes. A Secret that is rewritten with
/// the same content keeps its parsed key and its tickets; other content swaps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(pub u128);

/// A certificate chain and its key, as bytes; the planes parse and cache them by `id`.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Hash of chain and key.
    pub id: CertificateId,
    /// The Secret it is from.
    pub secret: ObjectKey,
    /// Where the Secret is written.
    pub origin: Origin,
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// DER of the private key (PKCS#8, PKCS#1 or SEC1); never printed.
    pub key: Vec<u8>,
    /// DNS names of the leaf, lower-case, for `explain` and the certificates page.
    pub names: Vec<Arc<str>>,
    /// End of validity, in seconds since 1970.
    pub not_after: i64,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("secret", &self.secret)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Which certificates a server name gets: those of the most specific host that matches.
#[derive(Clone, Debug, Default)]
pub struct TlsTable {
    entries: Vec<TlsEntry>,
    by_host: HostMap<usize>,
}

/// How TLS ends for one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsEntry {
    /// Which server names; `Any` is also for clients that send none.
    pub host: HostMatch,
    /// Never empty; those that name the server are preferred, and of them those whose signatures the
    /// client can check.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is asked of clients.
    pub client_auth: Option<Arc<ClientAuth>>,
}

impl TlsTable {
    /// A table of `entries`; of two for the same host the first counts.
    pub fn new(entries: Vec<TlsEntry>) -> Self {
        let mut by_host = HostMap::default();
        for (place, entry) in entries.iter().enumerate().rev() {
            *by_host.entry(&entry.host) = place;
        }
        Self { entries, by_host }
    }

    /// How TLS ends for a server name (RFC 6066 section 3; compared in lower case).
    pub fn select(&self, server_name: Option<&str>) -> Option<&TlsEntry> {
        let name = server_name.unwrap_or_default().to_ascii_lowercase();
        self.entries.get(*self.by_host.matches(&name).next()?)
    }

    /// Every entry, in order.
    pub fn entries(&self) -> &[TlsEntry] {
        &self.entries
    }

    /// Every certificate, once for each host that it is for.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.entries.iter().flat_map(|entry| &entry.certificates)
    }
}

impl PartialEq for TlsTable {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for TlsTable {}

impl TlsEntry {
    /// The certificate for a server name: the first that names it, else the first.
    pub fn certificate(&self, server_name: Option<&str>) -> Option<&Arc<Certificate>> {
        self.candidates(server_name).next()
    }

    /// The certificates for a server name, of which the client's abilities choose: those that name
    /// it, else all.
    pub fn candidates(&self, server_name: Option<&str>) -> impl Iterator<Item = &Arc<Certificate>> {
        let name = server_name.unwrap_or_default().to_ascii_lowercase();
        let has_named = self.certificates.iter().any(|it| it.covers(&name));
        self.certificates.iter().filter(move |it| !has_named || it.covers(&name))
    }
}

impl Certificate {
    /// Whether it is for a host (lower-case); a wildcard name covers one label (RFC 9525).
    pub fn covers(&self, host: &str) -> bool {
        let below = one_label_below(host);
        let is_for = |name: &Arc<str>| match name.strip_prefix("*.") {
            Some(suffix) => below == Some(suffix),
            None => **name == *host,
        };
        self.names.iter().any(is_for)
    }
}

/// Authorities and whom they have revoked, by a hash of their bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct CaBundle {
    /// Hash of certificates and lists.
    pub id: CertificateId,
    /// DER, never empty.
    pub certificates: Vec<Vec<u8>>,
    /// Lists of revoked certificates (RFC 5280 section 5), DER. An authority without one has revoked
    /// nobody.
    pub revocations: Vec<Vec<u8>>,
}

impl fmt::Debug for CaBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaBundle({} certificates, {:x})", self.certificates.len(), self.id.0)
    }
}

/// What a listener asks of the certificates of clients (GEP-91).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAuth {
    /// Who must have signed them.
    pub authorities: Arc<CaBundle>,
    /// What happens without a good one.
    pub mode: ClientAuthMode,
}

/// What happens to clients without a good certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientAuthMode {
    /// The handshake fails.
    AllowValidOnly,
    /// They are let in.
    AllowInsecureFallback,
}

/// TLS towards endpoints (GEP-1897 BackendTLSPolicy, GEP-3155 for the own certificate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Sent as server name; must be in the certificate, unless `names` is not empty.
    pub server_name: Arc<str>,
    /// Who must have signed it.
    pub authorities: Authorities,
    /// One of these must be in the certificate.
    pub names: Vec<SubjectName>,
    /// The certificate that is shown to endpoints that ask.
    pub client: Option<Arc<Certificate>>,
}

/// Who is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Those of the operating system (`wellKnownCACertificates: System`).
    #[default]
    System,
    /// These only.
    Bundle(Arc<CaBundle>),
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectName {
    /// A host, or `*.` and a suffix.
    Dns(Arc<str>),
    /// As SPIFFE writes them.
    Uri(Arc<str>),
}

/// A socket on which TLS is told apart by server name: what is not looked into beside what ends
/// here.
#[derive(Clone, Debug)]
pub struct TlsListener {
    /// A metric label.
    pub name: Arc<str>,
    /// What requests meet, where a host is [`TlsServe::Http`].
    pub http: Option<Arc<HttpListener>>,
    hosts: Vec<TlsHost>,
    by_host: HostMap<usize>,
}

/// One listener of a TLS socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsHost {
    /// The listener's name, for logs and `explain`.
    pub name: Arc<str>,
    /// Which server names.
    pub host: HostMatch,
    /// What becomes of connections.
    pub serve: TlsServe,
}

/// What becomes of a TLS connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsServe {
    /// It goes on as it came.
    Passthrough(Arc<TlsRoutes>),
    /// TLS ends here; what is in it goes on.
    Terminate(Arc<TlsTable>, Arc<TlsRoutes>),
    /// TLS ends here, and HTTP is in it: see [`TlsListener::http`].
    Http,
}

/// Ways by server name (TLSRoute).
#[derive(Clone, Debug, Default)]
pub struct TlsRoutes {
    routes: Vec<(HostMatch, Arc<Frontend>)>,
    by_host: HostMap<usize>,
}

impl TlsListener {
    /// A socket shared by `hosts`; of two for the same host the first is served.
    pub fn new(name: Arc<str>, http: Option<Arc<HttpListener>>, hosts: Vec<TlsHost>) -> Self {
        let mut by_host = HostMap::default();
        for (place, host) in hosts.iter().enumerate().rev() {
            *by_host.entry(&host.host) = place;
        }
        Self { name, http, hosts, by_host }
    }

    /// The listener for a server name (lower-case; empty: the client sends none).
    pub fn select(&self, server_name: &str) -> Option<&TlsHost> {
        self.hosts.get(*self.by_host.matches(server_name).next()?)
    }

    /// Every listener, in order.
    pub fn hosts(&self) -> &[TlsHost] {
        &self.hosts
    }

    /// The certificates of listeners whose routes are not looked into.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TlsTable>> {
        self.hosts.iter().filter_map(|host| match &host.serve {
            TlsServe::Terminate(table, _) => Some(table),
            TlsServe::Passthrough(_) | TlsServe::Http => None,
        })
    }

    /// Every way that bytes go without being looked into.
    pub fn frontends(&self) -> impl Iterator<Item = &Arc<Frontend>> {
        let routes = self.hosts.iter().filter_map(|host| match &host.serve {
            TlsServe::Passthrough(routes) | TlsServe::Terminate(_, routes) => Some(routes),
            TlsServe::Http => None,
        });
        routes.flat_map(|routes| routes.routes.iter().map(|(_, frontend)| frontend))
    }
}

impl PartialEq for TlsListener {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.http, &self.hosts) == (&other.name, &other.http, &other.hosts)
    }
}

impl Eq for TlsListener {}

impl TlsRoutes {
    /// Ways in order of precedence: of two for the same host the first counts.
    pub fn new(routes: Vec<(HostMatch, Arc<Frontend>)>) -> Self {
        let mut by_host = HostMap::default();
        for (place, (host, _)) in routes.iter().enumerate().rev() {
            *by_host.entry(host) = place;
        }
        Self { routes, by_host }
    }

    /// The way for a server name (lower-case; empty: the client sends none).
    pub fn select(&self, server_name: &str) -> Option<&Arc<Frontend>> {
        let place = *self.by_host.matches(server_name).next()?;
        self.routes.get(place).map(|(_, frontend)| frontend)
    }

    /// Every way, in order.
    pub fn routes(&self) -> &[(HostMatch, Arc<Frontend>)] {
        &self.routes
    }
}

impl PartialEq for TlsRoutes {
    fn eq(&self, other: &Self) -> bool {
        self.routes == other.routes
    }
}

impl Eq for TlsRoutes {}
