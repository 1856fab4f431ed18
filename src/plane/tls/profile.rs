//! Which TLS is spoken with clients.

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite, kx_group as group};
use rustls::version::{TLS12, TLS13};

/// Versions, suites and groups, as Mozilla's guidelines 5.7 have them (ssl-config.mozilla.org), less
/// finite-field Diffie-Hellman, which rustls does not speak, and with the hybrid group of
/// draft-ietf-tls-ecdhe-mlkem before the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// TLS 1.2 and 1.3: every client of the last ten years.
    #[default]
    Intermediate,
    /// TLS 1.3 alone.
    Modern,
}

impl Profile {
    /// The versions of it.
    pub(super) fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Intermediate => &BOTH,
            Self::Modern => &NEWEST,
        }
    }

    /// Its suites and groups, the preferred ones first.
    pub(super) fn provider(self) -> CryptoProvider {
        CryptoProvider {
            // AES-128 first: SHA-384 without hardware is a tenth of a handshake. Those of TLS 1.2
            // are no use where it is not spoken
            cipher_suites: vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ],
            kx_groups: vec![
                group::X25519MLKEM768,
                group::X25519,
                group::SECP256R1,
                group::SECP384R1,
            ],
            ..aws_lc_rs::default_provider()
        }
    }
}

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];
