//! Certificates by ACME (RFC 8555), for objects that ask for them.
//!
//! In: which certificates are wanted, from the report of the last compilation. Out: Secrets for the
//! next one ([`Issued`]), and what ACME servers are answered ([`Challenges`]). Called by `app`, on the
//! control thread.
//!
//! Until a certificate comes, one that nobody trusts stands in for it, so that listeners open. What
//! was issued is kept in a directory ([`State`]) and served again at the next start, before the server
//! is asked for anything.
//!
//! Invariant: nobody waits for an ACME server. While it is down, what was issued serves on, and it is
//! asked again after a growing time.
//! Deliberately absent: DNS-01, and with it wildcards; several rutters with one state.

mod https;
mod order;
mod pair;
mod renewal;
mod state;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{Account, CertificateIdentifier, NewAccount};
use tokio::sync::watch;

use crate::compile::{Issued, WantedCertificate};
use crate::config;
use crate::life::Drain;
use crate::manifest::core::Secret;
use crate::manifest::{Metadata, ObjectKey, Origin};
use crate::plane::challenges::Challenges;
use crate::store::{Status, Stored};

use https::Https;
use order::{Order, OrderError};
use pair::Pair;
use renewal::Renewal;

pub use state::{State, StateError};

/// Orders what is wanted until the drain starts.
pub async fn run(
    options: config::Acme,
    state: State,
    challenges: Arc<Challenges>,
    mut status: watch::Receiver<Status>,
    issued: watch::Sender<Issued>,
    drain: Drain,
) {
    let held = BTreeMap::new();
    let mut desk = Desk { options, state, challenges, issued, account: None, held };
    loop {
        let report = status.borrow_and_update().report.clone();
        desk.follow(&report.certificates);
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = tokio::time::sleep(desk.rest(SystemTime::now())) => {}
            changed = until_others(&mut status, &report.certificates) => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        // what is begun is finished, whatever is wanted meanwhile
        tokio::select! {
            biased;
            () = drain.started() => return,
            () = desk.work() => {}
        }
    }
}

/// Waits until other certificates are wanted than these.
async fn until_others(
    status: &mut watch::Receiver<Status>,
    wanted: &[WantedCertificate],
) -> Result<(), watch::error::RecvError> {
    status.wait_for(|status| status.report.certificates != wanted).await.map(drop)
}

/// What is wanted and what is there.
struct Desk {
    options: config::Acme,
    state: State,
    challenges: Arc<Challenges>,
    issued: watch::Sender<Issued>,
    /// Made or found when the first order is placed.
    account: Option<Account>,
    held: BTreeMap<ObjectKey, Held>,
}

/// One certificate.
struct Held {
    names: Vec<Arc<str>>,
    pair: Pair,
    /// It only stands in for the one that is ordered.
    is_placeholder: bool,
    /// When there is something to do about it.
    due: SystemTime,
    /// Since something went well.
    failures: u32,
}

impl Desk {
    /// Takes up what is wanted and lets go of what is not.
    fn follow(&mut self, wanted: &[WantedCertificate]) {
        let mut held = std::mem::take(&mut self.held);
        for WantedCertificate { secret, names } in wanted {
            let known = held.remove(secret).filter(|held| held.names == *names);
            let now = known.or_else(|| self.found(secret, names));
            self.held.extend(now.map(|now| (secret.clone(), now)));
        }
        self.publish();
    }

    /// What the state has, else a placeholder.
    fn found(&self, secret: &ObjectKey, names: &[Arc<str>]) -> Option<Held> {
        let (due, failures) = (SystemTime::now(), 0);
        let kept = self.state.load(secret).filter(|pair| pair.is_for(names));
        let is_placeholder = kept.is_none();
        let made = kept.map_or_else(|| Pair::placeholder(names), Ok);
        let made = made.inspect_err(|error| tracing::error!(%secret, %error, "no placeholder"));
        let pair = made.ok()?;
        Some(Held { names: names.to_vec(), pair, is_placeholder, due, failures })
    }

    /// Gives Secrets to the next compilation, if they are others than before.
    fn publish(&self) {
        let secrets = self.held.iter().map(|(key, held)| (key.clone(), self.secret(key, held)));
        let secrets: Issued = Arc::new(secrets.collect());
        self.issued.send_if_modified(|before| {
            let is_news = *before != secrets;
            *before = secrets;
            is_news
        });
    }

    fn secret(&self, key: &ObjectKey, held: &Held) -> Stored<Secret> {
        let ObjectKey { namespace, name } = key.clone();
        let data = [("tls.crt", &held.pair.chain), ("tls.key", &held.pair.key)];
        let data = data.map(|(key, text)| (Arc::from(key), Arc::from(text.as_str())));
        let secret = Secret {
            metadata: Metadata { namespace, name, ..Metadata::default() },
            kind: Some("kubernetes.io/tls".into()),
            string_data: BTreeMap::from(data),
            ..Secret::default()
        };
        let file = self.state.path(key).to_string_lossy().into();
        let origin = Origin { file, ..Origin::default() };
        Stored { object: Arc::new(secret), origin, stale: false }
    }

    /// How long there is nothing to do.
    fn rest(&self, now: SystemTime) -> Duration {
        let due = self.held.values().map(|held| held.due).min();
        let rest = due.map(|due| due.duration_since(now).unwrap_or_default());
        rest.unwrap_or(LONGEST_REST).min(LONGEST_REST)
    }

    /// Does the first thing that is due, if there is one.
    async fn work(&mut self) {
        let first = self.held.iter().min_by_key(|(_, held)| held.due);
        let Some((secret, held)) = first.filter(|(_, held)| held.due <= SystemTime::now()) else {
            return;
        };
        let (secret, names, pair) = (secret.clone(), held.names.clone(), held.pair.clone());
        let outcome = match held.is_placeholder {
            true => Box::pin(self.order(&names, None)).await.map(Some),
            false => Box::pin(self.renew(&secret, &names, &pair)).await,
        };
        self.challenges.clear();
        match outcome {
            Ok(Some(pair)) => self.take_in(&secret, pair),
            Ok(None) => {}
            Err(error) => self.put_off(&secret, &error),
        }
    }

    fn take_in(&mut self, secret: &ObjectKey, pair: Pair) {
        let Some(held) = self.held.get_mut(secret) else { return };
        tracing::info!(%secret, names = held.names.join(" "), "certificate issued");
        if let Err(error) = self.state.save(secret, &pair) {
            tracing::error!(%secret, %error, "the certificate serves, but cannot be kept");
        }
        // due again: the server is asked when it is to be renewed
        let due = SystemTime::now();
        *held = Held { names: held.names.clone(), pair, is_placeholder: false, due, failures: 0 };
        self.publish();
    }

    fn put_off(&mut self, secret: &ObjectKey, error: &OrderError) {
        if error.is_account_unknown() {
            self.state.forget_account(&self.options.directory);
            self.account = None;
        }
        let Some(held) = self.held.get_mut(secret) else { return };
        let rest = renewal::rest(error.failure(), held.failures);
        held.failures = held.failures.saturating_add(1);
        held.due = SystemTime::now() + rest;
        let again = rest.as_secs();
        tracing::warn!(%secret, names = held.names.join(" "), again, "no certificate: {error}");
    }

    /// Orders anew what is to be renewed; else says when to ask again.
    async fn renew(
        &mut self,
        secret: &ObjectKey,
        names: &[Arc<str>],
        pair: &Pair,
    ) -> Result<Option<Pair>, OrderError> {
        let leaf = pair.leaf().ok_or(OrderError::Unreadable)?;
        let asked = match CertificateIdentifier::try_from(&leaf) {
            Ok(id) => {
                self.account().await?.renewal_info(&id).await.map(|info| (id.into_owned(), info))
            }
            Err(_) => Err(instant_acme::Error::Unsupported("this certificate")),
        };
        let now = SystemTime::now();
        let (id, renewal) = match asked {
            Ok((id, (info, again))) => (Some(id), Renewal::suggested(&info, again, &leaf, now)),
            Err(instant_acme::Error::Unsupported(_)) => (None, pair.renewal(now)),
            // of its age it is known without the server whether it must be renewed
            Err(error) => match pair.renewal(now) {
                Renewal::Now => (None, Renewal::Now),
                Renewal::At(_) => return Err(error.into()),
            },
        };
        match renewal {
            Renewal::Now => Box::pin(self.order(names, id)).await.map(Some),
            Renewal::At(due) => {
                if let Some(held) = self.held.get_mut(secret) {
                    (held.due, held.failures) = (due, 0);
                }
                Ok(None)
            }
        }
    }

    async fn order(
        &mut self,
        names: &[Arc<str>],
        replaces: Option<CertificateIdentifier<'static>>,
    ) -> Result<Pair, OrderError> {
        let challenge = self.options.challenge;
        let challenges = self.challenges.clone();
        let account = self.account().await?;
        let order = Order { account, names, replaces, challenge, challenges: &challenges };
        Box::pin(order.place()).await
    }

    /// That of the state, or a new one.
    async fn account(&mut self) -> Result<&Account, OrderError> {
        let account = match self.account.take() {
            Some(account) => account,
            None => self.open_account().await?,
        };
        Ok(self.account.insert(account))
    }

    async fn open_account(&self) -> Result<Account, OrderError> {
        let config::Acme { directory, email, authorities, .. } = &self.options;
        let builder = || Account::builder_with_http(Box::new(Https(authorities.clone())));
        if let Some(credentials) = self.state.load_account(directory) {
            return Ok(builder().from_credentials(credentials).await?);
        }
        let contact = email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            // by naming the server, the user has agreed
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder().create(&account, directory.clone(), None).await?;
        self.state.save_account(directory, &credentials).map_err(OrderError::State)?;
        Ok(account)
    }
}

/// A clock that is set does not go unnoticed for longer.
const LONGEST_REST: Duration = Duration::from_secs(3600);
