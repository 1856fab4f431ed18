//! The authority and what it signs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaError {
    /// A name that no certificate can be for.
    #[error("{name:?} is no host name or address")]
    BadName {
        /// As typed.
        name: String,
    },
    /// A file cannot be read or made.
    #[error("{}: {hint}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What the files hold is no authority.
    #[error("{}: no authority that can sign; make another with `rutter ca init`", dir.display())]
    Unusable {
        /// Where.
        dir: PathBuf,
        /// What is wrong.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// It was not installed.
    #[error("not installed: {0}")]
    Install(String),
}

/// Who signs.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Debug)]
pub(super) struct Issued {
    /// The name of its files.
    stem: String,
    /// The certificate.
    pub(super) certificate: String,
    /// The key.
    pub(super) key: String,
}

impl Authority {
    /// Makes one in a directory that has none yet.
    pub(super) fn make(dir: &Path, name: &str) -> Result<(), CaError> {
        let mut params = CertificateParams::new([])?;
        valid_for(&mut params, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        make_dir(dir)?;
        // the key first: it is never there without its certificate unless this is interrupted
        let hint = "cannot be made; an authority that is there already is not overwritten";
        write_new(&dir.join(KEY), PRIVATE, &key.serialize_pem(), hint)?;
        write_new(&dir.join(CERTIFICATE), PUBLIC, &certificate.pem(), hint)
    }

    /// That of a directory.
    pub(super) fn read(dir: &Path) -> Result<Self, CaError> {
        let text = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).map_err(|source| {
                let hint = "no authority; make one with `rutter ca init`";
                CaError::File { path, hint, source }
            })
        };
        let (certificate, key) = (text(CERTIFICATE)?, text(KEY)?);
        let issuer = KeyPair::from_pem(&key)
            .and_then(|key| Issuer::from_ca_cert_pem(&certificate, key))
            .map_err(|source| CaError::Unusable { dir: dir.to_owned(), source })?;
        Ok(Self { issuer })
    }

    /// A certificate for these names, of which there is one at least.
    pub(super) fn issue(
        &self,
        names: &[String],
        is_client: bool,
        days: u16,
    ) -> Result<Issued, CaError> {
        let mut params = CertificateParams::default();
        valid_for(&mut params, days.into());
        params.subject_alt_names = names.iter().map(|it| subject(it)).collect::<Result<_, _>>()?;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match is_client {
            true => ExtendedKeyUsagePurpose::ClientAuth,
            false => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        let first = names.first().map(String::as_str).unwrap_or_default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, first);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        // as mkcert names the files of wildcards; colons of addresses are no good in names
        let stem = first.replace('*', "_wildcard").replace(':', "-");
        Ok(Issued { stem, certificate, key: key.serialize_pem() })
    }
}

impl Issued {
    /// Writes both, in place of those that are there, and gives where they are.
    pub(super) fn write(&self, dir: &Path) -> Result<(PathBuf, PathBuf), CaError> {
        make_dir(dir)?;
        let certificate = dir.join(format!("{}.pem", self.stem));
        let key = dir.join(format!("{}-key.pem", self.stem));
        for (path, mode, text) in
            [(&key, PRIVATE, &self.key), (&certificate, PUBLIC, &self.certificate)]
        {
            // anew, so that a file that others can read does not keep its permissions
            let _ = fs::remove_file(path);
            write_new(path, mode, text, "cannot be made")?;
        }
        Ok((certificate, key))
    }
}

/// The names of an authority's own files are no names of hosts, so that they never meet.
fn subject(name: &str) -> Result<SanType, CaError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let bad = || CaError::BadName { name: name.to_owned() };
    let host = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.chars().all(|it| it.is_ascii_alphanumeric() || it == '-' || it == '_')
    };
    if !host.split('.').all(is_label) || ["ca", "ca-key"].contains(&name) {
        return Err(bad());
    }
    name.to_ascii_lowercase().try_into().map(SanType::DnsName).map_err(|_| bad())
}

fn valid_for(params: &mut CertificateParams, days: i64) {
    let now = OffsetDateTime::now_utc();
    // clocks differ
    params.not_before = now.saturating_sub(Duration::DAY);
    params.not_after = now.saturating_add(Duration::days(days));
}

fn make_dir(dir: &Path) -> Result<(), CaError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| CaError::File { path: dir.to_owned(), hint: "cannot be made", source })
}

fn write_new(path: &Path, mode: u32, text: &str, hint: &'static str) -> Result<(), CaError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| CaError::File { path: path.to_owned(), hint, source })
}

/// The certificate of the authority.
pub(super) const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca-key.pem";
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;
/// An authority is replaced by hand.
const AUTHORITY_DAYS: i64 = 3650;
