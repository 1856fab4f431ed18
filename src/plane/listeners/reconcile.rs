//! Brings the running sockets to what the snapshot wants.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::plan::{Placement, Plan, plan};
use super::unbound::{is_absent_family, is_exhausted};
use super::{Change, Unbound};
use crate::life::Drain;
use crate::net::{ReusePort, bind_udp, listen_tcp};
use crate::snapshot::cell::Reader;
use crate::snapshot::{Generation, Snapshot, SocketKey, Transport};

/// Owns the knowledge of what is open; the sockets themselves belong to the workers.
#[derive(Debug)]
pub struct Reconciler {
    /// How many sockets Services may take; see [`crate::net::listening_budget`].
    pub budget: usize,
    /// Where each worker takes its changes from.
    pub workers: Vec<mpsc::UnboundedSender<Change>>,
    /// Where the workers answer [`Change::Applied`].
    pub answers: mpsc::UnboundedReceiver<Generation>,
    /// Told once every worker has answered.
    pub applied: watch::Sender<Generation>,
    /// Told what is not open.
    pub unbound: watch::Sender<Arc<[Unbound]>>,
}

impl Reconciler {
    /// Runs until the drain starts or the publisher is gone.
    pub async fn run(mut self, mut snapshots: Reader, drain: Drain) {
        let mut running = BTreeMap::new();
        let mut snapshot = snapshots.load();
        loop {
            let is_complete = self.unbound.borrow().is_empty();
            tokio::select! {
                biased;
                () = drain.started() => return,
                changed = snapshots.changed() => match changed {
                    Some(changed) => snapshot = changed,
                    None => return,
                },
                () = tokio::time::sleep(RETRY), if !is_complete => {}
            }
            self.reconcile(&mut running, &snapshot).await;
        }
    }

    async fn reconcile(
        &mut self,
        running: &mut BTreeMap<SocketKey, Placement>,
        snapshot: &Snapshot,
    ) {
        let Plan { open, close, beyond_budget } =
            plan(running, snapshot, self.workers.len(), self.budget);
        let mut failures = Failures { beyond_limit: beyond_budget, ..Failures::default() };
        let mut ports: BTreeSet<_> = running.keys().map(port).collect();
        for (key, placement) in open {
            if ports.insert(port(&key)) {
                tell_if_shared(key);
            }
            match self.open(key, placement) {
                Ok(()) => drop(running.insert(key, placement)),
                Err(error) => failures.add(key, &error),
            }
        }
        for key in close {
            if let Some(placement) = running.remove(&key) {
                self.tell(placement, || Change::Close(key));
            }
        }
        self.report(failures.finish(), running);
        self.wait_applied(snapshot.generation).await;
    }

    fn open(&self, key: SocketKey, placement: Placement) -> io::Result<()> {
        let sockets = match placement {
            Placement::Every => self.workers.len(),
            Placement::One(_) => 1,
        };
        // all or none: a worker without its socket would leave a queue that nobody accepts
        let changes = (0..sockets).map(|_| bind(key)).collect::<io::Result<Vec<_>>>()?;
        let mut changes = changes.into_iter();
        self.tell(placement, || changes.next().unwrap_or(Change::Close(key)));
        Ok(())
    }

    fn tell(&self, placement: Placement, mut change: impl FnMut() -> Change) {
        let workers = match placement {
            Placement::Every => self.workers.as_slice(),
            Placement::One(owner) => self.workers.get(owner..=owner).unwrap_or_default(),
        };
        for worker in workers {
            // a worker that is gone has ended, and so will this task
            let _ = worker.send(change());
        }
    }

    /// Logs what is new among the failures and what is repaired, and publishes all of them.
    fn report(&self, failures: Vec<Unbound>, running: &BTreeMap<SocketKey, Placement>) {
        let before = self.unbound.borrow().clone();
        let repaired = before.iter().filter_map(|failure| failure.key);
        for key in repaired.filter(|key| running.contains_key(key)) {
            tracing::info!("listening on {key} at last");
        }
        for failure in failures.iter().filter(|failure| !before.contains(failure)) {
            tracing::error!("{}", failure.message);
        }
        if *before != *failures {
            self.unbound.send_replace(failures.into());
        }
    }

    async fn wait_applied(&mut self, generation: Generation) {
        for worker in &self.workers {
            let _ = worker.send(Change::Applied(generation));
        }
        for _ in 0..self.workers.len() {
            if self.answers.recv().await.is_none() {
                return;
            }
        }
        self.applied.send_replace(generation);
    }
}

fn port(key: &SocketKey) -> (Transport, u16) {
    (key.transport, key.addr.port())
}

/// Another rutter of the same user may have the address: then the kernel spreads connections over
/// both. That is how a new version takes over from an old one, and confusing otherwise. Asked for
/// the first address of a port only: further ones would collide with our own.
pub fn tell_if_shared(key: SocketKey) {
    let alone = match key.transport {
        Transport::Tcp => listen_tcp(key.addr, ReusePort::No).map(drop),
        Transport::Udp => bind_udp(key.addr, ReusePort::No).map(drop),
    };
    let is_taken = alone.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    if is_taken && bind(key).is_ok() {
        tracing::warn!("another process of this user listens on {key}: both get connections");
    }
}

fn bind(key: SocketKey) -> io::Result<Change> {
    // SO_REUSEPORT throughout: only then may 0.0.0.0:80 and 127.96.0.1:80 be open side by side
    Ok(match key.transport {
        Transport::Tcp => Change::OpenTcp(key, listen_tcp(key.addr, ReusePort::Yes)?),
        Transport::Udp => Change::OpenUdp(key, bind_udp(key.addr, ReusePort::Yes)?),
    })
}

/// What could not be opened, those beyond the limit of descriptors counted together.
#[derive(Debug, Default)]
struct Failures {
    unbound: Vec<Unbound>,
    beyond_limit: usize,
}

impl Failures {
    fn add(&mut self, key: SocketKey, error: &io::Error) {
        if is_exhausted(error) {
            self.beyond_limit += 1;
        } else if !is_absent_family(key, error) {
            self.unbound.push(Unbound::new(key, error));
        }
    }

    fn finish(mut self) -> Vec<Unbound> {
        if self.beyond_limit > 0 {
            self.unbound.push(Unbound::beyond_limit(self.beyond_limit));
        }
        self.unbound
    }
}

/// How often what could not be opened is tried again.
const RETRY: Duration = Duration::from_secs(5);
