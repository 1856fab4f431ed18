//! Accounts and certificates, kept in a directory that is nobody else's.
//!
//! One file a certificate, with its key, so that they are never of different orders; each is written
//! beside its place and renamed into it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use instant_acme::AccountCredentials;

use super::pair::Pair;
use crate::manifest::ObjectKey;

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be made or looked at.
    #[error("{}", dir.display())]
    Directory {
        /// Which.
        dir: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Others can look into it.
    #[error("{0} is open to others, and keys are kept in it: chmod 700 {0}", dir.display())]
    Open {
        /// Which.
        dir: PathBuf,
    },
}

/// The directory.
#[derive(Debug)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// Makes the directory, or checks that it is closed to others.
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Directory { dir: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let mode = fs::metadata(dir).map_err(failed)?.mode();
        if mode & 0o077 != 0 {
            return Err(StateError::Open { dir: dir.to_owned() });
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Where the certificate of a Secret is kept. No name of an object holds `_`.
    pub(super) fn path(&self, secret: &ObjectKey) -> PathBuf {
        self.dir.join(format!("{}_{}.pem", secret.namespace, secret.name))
    }

    /// The certificate of a Secret, if there is a usable one.
    pub(super) fn load(&self, secret: &ObjectKey) -> Option<Pair> {
        let path = self.path(secret);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a certificate cannot be read");
                return None;
            }
        };
        let pair = Pair::parse(&text);
        if pair.is_none() {
            tracing::warn!(path = %path.display(), "no certificate and key: it is ordered anew");
        }
        pair
    }

    pub(super) fn save(&self, secret: &ObjectKey, pair: &Pair) -> io::Result<()> {
        self.write(&self.path(secret), &format!("{}{}", pair.chain, pair.key))
    }

    /// The account at a server, if there is one.
    pub(super) fn load_account(&self, directory: &str) -> Option<AccountCredentials> {
        let path = self.account(directory);
        let text = fs::read(&path).ok()?;
        let read = serde_json::from_slice(&text);
        read.inspect_err(|error| tracing::warn!(path = %path.display(), %error, "no account")).ok()
    }

    pub(super) fn save_account(
        &self,
        directory: &str,
        credentials: &AccountCredentials,
    ) -> io::Result<()> {
        self.write(&self.account(directory), &serde_json::to_string(credentials)?)
    }

    /// Sets an account aside that its server does not know.
    pub(super) fn forget_account(&self, directory: &str) {
        let path = self.account(directory);
        if let Err(error) = fs::rename(&path, path.with_extension("unknown")) {
            tracing::warn!(path = %path.display(), %error, "an account that is unknown stays");
        }
    }

    fn account(&self, directory: &str) -> PathBuf {
        let name = HEXLOWER.encode(digest(&SHA256, directory.as_bytes()).as_ref());
        self.dir.join(format!("account-{}.json", name.get(..16).unwrap_or_default()))
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let draft = path.with_extension("draft");
        // one that was left behind may have other permissions
        let _ = fs::remove_file(&draft);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_kept_is_for_nobody_else() {
        let temporary = tempfile::tempdir().expect("a directory");
        let dir = temporary.path().join("certs/acme");
        let state = State::open(&dir).expect("it must be made");
        let mode = |path: &Path| fs::metadata(path).expect("a file").mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        let (secret, names) = (ObjectKey::new("shop", "web.tls"), ["a.test".into()]);
        assert!(state.load(&secret).is_none());
        for _ in 0..2 {
            let pair = Pair::placeholder(&names).expect("a pair");
            state.save(&secret, &pair).expect("it must be kept");
            assert!(state.load(&secret).is_some_and(|kept| kept == pair && kept.is_for(&names)));
            assert_eq!(mode(&state.path(&secret)), 0o600);
        }
        fs::write(state.path(&secret), "half a cert").expect("a file");
        assert!(state.load(&secret).is_none());
        State::open(&dir).expect("it is still closed");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o750)).expect("permissions");
        let refused = State::open(&dir).expect_err("others could read keys");
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
    }

    #[test]
    fn a_certificate_is_for_its_names_only() {
        let names = |names: &[&str]| names.iter().map(|it| (*it).into()).collect::<Vec<_>>();
        let pair = Pair::placeholder(&names(&["a.test", "b.test"])).expect("a pair");
        assert!(pair.is_for(&names(&["a.test", "b.test"])));
        for others in [&["a.test"][..], &[], &["a.test", "b.test", "c.test"], &["a.test", "c.test"]]
        {
            assert!(!pair.is_for(&names(others)), "{others:?}");
        }
    }
}
