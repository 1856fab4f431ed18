//! Certificates by server name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::matching::one_label_below;
use crate::manifest::{ObjectKey, Origin};

/// Identity of a certificate and its key: a hash of their bytes. A Secret that is rewritten with
/// the same content keeps its parsed key and its tickets; other content swaps them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateId(pub u64);

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

/// Which certificate a server name gets: exact, then wildcard of one label, then the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsTable {
    /// By host, lower-case.
    pub exact: BTreeMap<Arc<str>, Arc<Certificate>>,
    /// By the part after `*.`.
    pub wildcard: BTreeMap<Arc<str>, Arc<Certificate>>,
    /// For every other name, and for clients that send none.
    pub default: Option<Arc<Certificate>>,
}

impl TlsTable {
    /// The certificate for a server name (RFC 6066 section 3; compared in lower case).
    pub fn select(&self, server_name: Option<&str>) -> Option<&Arc<Certificate>> {
        let Some(name) = server_name else { return self.default.as_ref() };
        let name = name.to_ascii_lowercase();
        self.exact
            .get(name.as_str())
            .or_else(|| self.wildcard.get(one_label_below(&name)?))
            .or(self.default.as_ref())
    }
}
