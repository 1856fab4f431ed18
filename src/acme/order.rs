//! One order: hosts are proved, a key is made, a certificate comes back.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType,
    Identifier, KeyAuthorization, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::pair::Pair;
use super::renewal::Failure;
use crate::config::AcmeChallenge;
use crate::plane::challenges::{Challenges, TLS_PROTOCOL};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// What the server says, or that it says nothing.
    #[error("{}", told(.0))]
    Server(#[from] instant_acme::Error),
    /// It has no such challenge for the host.
    #[error("the server does not offer {challenge} for {host}")]
    NotOffered {
        /// As the server calls it.
        challenge: &'static str,
        /// That was to be proved.
        host: String,
    },
    /// Hosts were not proved.
    #[error("the server was not convinced: {0}")]
    Refused(String),
    /// No key, request or answer could be made.
    #[error("cannot make what the server asks for: {0}")]
    Make(#[from] rcgen::Error),
    /// Nor a handshake.
    #[error("cannot make what the server asks for: {0}")]
    Tls(#[from] rustls::Error),
    /// The certificate that is there cannot be read.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// The account cannot be kept, and is not used then: a server bounds how many there may be.
    #[error("the account cannot be kept: {0}")]
    State(io::Error),
}

impl OrderError {
    /// Whose fault it is.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Server(instant_acme::Error::Api(_))
            | Self::NotOffered { .. }
            | Self::Refused(_) => Failure::Refused,
            Self::Server(_) | Self::Make(_) | Self::Tls(_) | Self::Unreadable | Self::State(_) => {
                Failure::Unreachable
            }
        }
    }

    /// Whether the server knows nothing of the account: it may have lost it.
    pub(super) fn is_account_unknown(&self) -> bool {
        let Self::Server(instant_acme::Error::Api(problem)) = self else { return false };
        problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
    }
}

/// With its causes.
fn told(error: &instant_acme::Error) -> String {
    let error: &dyn std::error::Error = error;
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| match cause.to_string() {
        cause if text.contains(&cause) => text,
        cause => format!("{text}: {cause}"),
    })
}

/// What is ordered.
pub(super) struct Order<'a> {
    pub(super) account: &'a Account,
    pub(super) names: &'a [Arc<str>],
    /// Which certificate it takes the place of (RFC 9773 section 5).
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
    pub(super) challenge: AcmeChallenge,
    pub(super) challenges: &'a Challenges,
}

impl Order<'_> {
    /// Goes through all of it. What was answered to the server is left for the caller to clear.
    pub(super) async fn place(self) -> Result<Pair, OrderError> {
        let identifiers: Vec<_> =
            self.names.iter().map(|name| Identifier::Dns(name.to_string())).collect();
        let mut new = NewOrder::new(&identifiers);
        if let Some(id) = self.replaces.clone() {
            new = new.replaces(id);
        }
        let mut order = self.account.new_order(&new).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            self.prove(authorization?).await?;
        }
        let polling = RetryPolicy::new().timeout(PATIENCE);
        if order.poll_ready(&polling).await? != OrderStatus::Ready {
            return Err(OrderError::Refused(reasons(&mut order).await));
        }
        let key = KeyPair::generate()?;
        let mut params =
            CertificateParams::new(self.names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&polling).await?;
        Ok(Pair { chain, key: key.serialize_pem() })
    }

    /// Answers the challenge of a host, and says so to the server.
    async fn prove(&self, authorization: AuthorizationHandle<'_>) -> Result<(), OrderError> {
        if authorization.status == AuthorizationStatus::Valid {
            return Ok(());
        }
        let host = authorization.identifier().to_string();
        let (kind, name) = match self.challenge {
            AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
            AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        // which may live shorter than what it was taken from
        let mut authorization = authorization;
        let Some(mut challenge) = authorization.challenge(kind) else {
            return Err(OrderError::NotOffered { challenge: name, host });
        };
        let answer = challenge.key_authorization();
        match self.challenge {
            AcmeChallenge::Http01 => {
                self.challenges.add_http(challenge.token.clone(), answer.as_str().to_owned());
            }
            AcmeChallenge::TlsAlpn01 => {
                let config = handshake(&host, &answer)?;
                self.challenges.add_tls(host.to_ascii_lowercase(), Arc::new(config));
            }
        }
        Ok(challenge.set_ready().await?)
    }
}

/// What the server says about hosts that were not proved.
async fn reasons(order: &mut instant_acme::Order) -> String {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let host = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { continue };
        let problems = state.challenges.iter().filter_map(|it| it.error.as_ref());
        reasons.extend(problems.map(|problem| format!("{host}: {problem}")));
    }
    reasons.join("; ")
}

/// A handshake that proves a host (RFC 8737 section 3).
fn handshake(host: &str, answer: &KeyAuthorization) -> Result<ServerConfig, OrderError> {
    let mut params = CertificateParams::new([host.to_owned()])?;
    let extension = CustomExtension::new_acme_identifier(answer.digest().as_ref());
    params.custom_extensions.push(extension);
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    // not by `with_single_cert`, which refuses critical extensions that it does not know
    let certified = CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key)?);
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![TLS_PROTOCOL.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// For the server to look at a host, and to sign.
const PATIENCE: Duration = Duration::from_secs(90);
