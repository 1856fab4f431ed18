//! A running rutter as others see it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::admin::Admin;
use crate::life::Phase;
use crate::observe::Metrics;
use crate::plane::listeners::Unbound;
use crate::snapshot::Generation;
use crate::snapshot::cell::Reader;
use crate::store::Status;

/// A view of a running rutter from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) snapshot: Reader,
    pub(super) status: watch::Receiver<Status>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) applied: watch::Receiver<Generation>,
    pub(super) unbound: watch::Receiver<Arc<[Unbound]>>,
    pub(super) terminate: watch::Sender<u32>,
    pub(super) dns: Option<SocketAddr>,
    pub(super) dns_tls: Option<SocketAddr>,
    pub(super) dns_https: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) kube_proxy: Vec<SocketAddr>,
}

impl Handle {
    /// The snapshots.
    pub fn snapshot(&self) -> Reader {
        self.snapshot.clone()
    }

    /// What the control plane last did.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Where the process is in its life.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.clone()
    }

    /// The generation that every worker has applied.
    pub fn applied(&self) -> watch::Receiver<Generation> {
        self.applied.clone()
    }

    /// What should listen and does not.
    pub fn unbound(&self) -> watch::Receiver<Arc<[Unbound]>> {
        self.unbound.clone()
    }

    /// Where DNS listens, if it does.
    pub fn dns(&self) -> Option<SocketAddr> {
        self.dns
    }

    /// Where the admin API listens, if it does.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Where kube-proxy's own pages are.
    pub fn kube_proxy(&self) -> &[SocketAddr] {
        &self.kube_proxy
    }

    pub(super) fn admin_api(&self, metrics: Arc<Metrics>, addr: SocketAddr) -> Admin {
        Admin {
            snapshot: self.snapshot(),
            status: self.status(),
            phase: self.phase(),
            applied: self.applied(),
            unbound: self.unbound(),
            metrics,
            addr,
        }
    }

    /// As SIGTERM: the first drains, the second ends at once.
    pub fn terminate(&self) {
        self.terminate.send_modify(|times| *times += 1);
    }
}
