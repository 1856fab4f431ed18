//! Clients that were let in by a certificate, for as long as it is not taken back.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::Notify;

use super::client_auth;
use super::profile::Profile;
use crate::snapshot::{CertificateId, ClientAuth, Snapshot, SocketKey};

/// The connections of one worker whose clients have shown a certificate.
#[derive(Debug, Default)]
pub struct Admissions {
    next: Cell<u64>,
    clients: RefCell<HashMap<u64, Admitted>>,
}

/// What was shown, and where.
#[derive(Debug)]
struct Admitted {
    key: SocketKey,
    server_name: Option<Arc<str>>,
    chain: Vec<CertificateDer<'static>>,
    /// The authorities, with their lists, that let it in.
    authorities: CertificateId,
    taken_back: Rc<Notify>,
}

/// One of them; it ends with its connection.
#[derive(Debug)]
pub struct Admission {
    admissions: Rc<Admissions>,
    number: u64,
    taken_back: Rc<Notify>,
}

impl Admissions {
    /// Notes a client that has just been let in.
    pub(super) fn admit(
        self: &Rc<Self>,
        key: SocketKey,
        server_name: Option<Arc<str>>,
        client_auth: &ClientAuth,
        chain: &[CertificateDer<'_>],
    ) -> Admission {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let taken_back = Rc::<Notify>::default();
        let admitted = Admitted {
            key,
            server_name,
            chain: chain.iter().map(|it| it.clone().into_owned()).collect(),
            authorities: client_auth.authorities.id,
            taken_back: taken_back.clone(),
        };
        self.clients.borrow_mut().insert(number, admitted);
        Admission { admissions: self.clone(), number, taken_back }
    }

    /// Takes back what a snapshot lets in no more: whom an authority has revoked, and whose
    /// authority is gone. That a certificate has expired since is no reason to cut a connection.
    pub fn check(&self, snapshot: &Snapshot) {
        let mut verifiers = HashMap::new();
        for admitted in self.clients.borrow_mut().values_mut() {
            let Some(asked) = admitted.asked(snapshot) else { continue };
            if std::mem::replace(&mut admitted.authorities, asked.authorities.id)
                == asked.authorities.id
            {
                continue;
            }
            let key = (asked.authorities.id, asked.mode);
            let verifier = verifiers.entry(key).or_insert_with(|| {
                client_auth::verifier(&asked, &Arc::new(Profile::default().provider()))
            });
            // without a usable authority nobody is let in: nor does anybody stay
            let is_good = verifier.as_ref().is_ok_and(|verifier| admitted.is_good(&**verifier));
            if !is_good {
                admitted.taken_back.notify_one();
            }
        }
    }
}

impl Admitted {
    /// What is asked of such a client now.
    fn asked(&self, snapshot: &Snapshot) -> Option<Arc<ClientAuth>> {
        let tables = snapshot.listeners.get(&self.key)?.serve.tls_tables();
        let mut entries = tables.filter_map(|table| table.select(self.server_name.as_deref()));
        entries.find_map(|entry| entry.client_auth.clone())
    }

    fn is_good(&self, verifier: &dyn ClientCertVerifier) -> bool {
        let Some((end_entity, intermediates)) = self.chain.split_first() else { return false };
        match verifier.verify_client_cert(end_entity, intermediates, UnixTime::now()) {
            Ok(_) => true,
            Err(Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            )) => true,
            Err(_) => false,
        }
    }
}

impl Admission {
    /// Serves the connection until it is done, or cut because the certificate was taken back.
    pub async fn limit(self, serving: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            () = self.taken_back.notified() => {
                tracing::debug!("a client's certificate was taken back: its connection is cut");
            }
            () = serving => {}
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.admissions.clients.borrow_mut().remove(&self.number);
    }
}
