//! `--acme-…`: who is asked for certificates, and how hosts are proved.

use std::path::PathBuf;

use super::layers::Layers;
use super::upstreams::authorities;
use crate::compile::Authorities;

/// Where certificates are ordered (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// URL of the directory of the server.
    pub directory: String,
    /// Whom the server may write to.
    pub email: Option<String>,
    /// Directory of the account and of what was issued.
    pub state: PathBuf,
    /// How hosts are proved.
    pub challenge: AcmeChallenge,
    /// Who must have signed the certificate of the server itself.
    pub authorities: Authorities,
}

/// How a host is proved to be ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By a request to port 80 (RFC 8555 section 8.3).
    #[default]
    Http01,
    /// By a handshake on port 443 (RFC 8737).
    TlsAlpn01,
}

/// `None` without `--acme-directory`.
pub(super) fn acme(layers: &mut Layers) -> Option<Acme> {
    let directory = layers.one("acme-directory", None, directory);
    let acme = Acme {
        directory: directory.clone().unwrap_or_default(),
        email: layers.optional("acme-email", email),
        state: layers.one("acme-state", DEFAULT_STATE.into(), |text| Ok(PathBuf::from(text))),
        challenge: layers.one("acme-challenge", AcmeChallenge::default(), challenge),
        authorities: layers.one("acme-ca", Authorities::System, authorities),
    };
    if directory.is_none() {
        for option in ["acme-email", "acme-state", "acme-challenge", "acme-ca"] {
            if layers.is_given(option) {
                layers.conflict(option, "nothing is ordered without --acme-directory");
            }
        }
        return None;
    }
    Some(acme)
}

fn directory(text: &str) -> Result<Option<String>, String> {
    match text {
        "off" => Ok(None),
        "letsencrypt" => Ok(Some(LETS_ENCRYPT.to_owned())),
        "letsencrypt-staging" => Ok(Some(LETS_ENCRYPT_STAGING.to_owned())),
        _ if text.starts_with("https://") => Ok(Some(text.to_owned())),
        _ => Err(format!("{text:?} is not letsencrypt, letsencrypt-staging, off or https://…")),
    }
}

fn email(text: &str) -> Result<String, String> {
    let parts = text.split_once('@').filter(|(user, host)| !user.is_empty() && !host.is_empty());
    let is_one = parts.is_some() && !text.contains(|it: char| it.is_whitespace() || it == ',');
    is_one.then(|| text.to_owned()).ok_or_else(|| format!("{text:?} is no email address"))
}

fn challenge(text: &str) -> Result<AcmeChallenge, String> {
    match text {
        "http-01" => Ok(AcmeChallenge::Http01),
        "tls-alpn-01" => Ok(AcmeChallenge::TlsAlpn01),
        _ => Err(format!("{text:?} is not http-01 or tls-alpn-01")),
    }
}

const DEFAULT_STATE: &str = "certs/acme";
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Args, Config};

    fn args(directory: &str) -> Args {
        Args { acme_directory: Some(directory.to_owned()), ..Args::default() }
    }

    #[test]
    fn a_server_is_named_by_a_word_or_its_url() {
        for (text, expected) in [
            ("letsencrypt", Some(LETS_ENCRYPT)),
            ("letsencrypt-staging", Some(LETS_ENCRYPT_STAGING)),
            ("https://ca.test/dir", Some("https://ca.test/dir")),
            ("off", None),
        ] {
            let config = Config::new(&args(text)).expect("the options must be good");
            assert_eq!(config.acme.as_ref().map(|it| &*it.directory), expected, "{text}");
            assert_eq!(config.settings.acme, expected.is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_options_of_acme_is_told() {
        let known = || args("letsencrypt");
        for (args, expected) in [
            (args("http://ca.test/dir"), "is not letsencrypt"),
            (Args { acme_email: Some("somebody".into()), ..known() }, "is no email address"),
            (Args { acme_challenge: Some("dns-01".into()), ..known() }, "http-01 or tls-alpn-01"),
            (Args { acme_ca: Some("/nonexistent".into()), ..known() }, "cannot read"),
            (Args { acme_email: Some("a@b.test".into()), ..args("off") }, "--acme-directory"),
        ] {
            let told = Config::new(&args).expect_err("the options must be refused").problems;
            assert!(told.len() == 1 && told[0].contains(expected), "{expected}: {told:?}");
        }
    }
}
