//! Brings the running sockets to what the snapshot wants.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::plan::{Placement, Plan, Running, all, concerned, plan};
use super::unbound::{is_absent_family, is_exhausted};
use super::{Change, Unbound};
use crate::life::Drain;
use crate::net::{ReusePort, bind_each, bind_udp, listen_tcp};
use crate::plane::AnnounceGate;
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
    /// Waits and is waited for, where addresses are announced.
    pub announce: Option<AnnounceGate>,
}

impl Reconciler {
    /// Runs until the drain starts or the publisher is gone.
    pub async fn run(mut self, mut snapshots: Reader, drain: Drain) {
        let mut running = Running::default();
        let mut before = Arc::<Snapshot>::default();
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
            if let Some(gate) = &mut self.announce {
                snapshot = gate.withdrawn(&snapshots).await;
            }
            let keys = match is_complete {
                true => concerned(&before, &snapshot),
                false => all(&running, &snapshot),
            };
            self.reconcile(&mut running, &snapshot, &keys).await;
            before = snapshot.clone();
        }
    }

    async fn reconcile(
        &mut self,
        running: &mut Running,
        snapshot: &Snapshot,
        keys: &BTreeSet<SocketKey>,
    ) {
        let plan = plan(running, snapshot, keys, self.workers.len(), self.budget);
        let is_change = !plan.open.is_empty() || !plan.close.is_empty();
        let failures = self.apply(plan, running);
        self.report(failures, running);
        self.wait_applied(snapshot.generation).await;
        if let Some(gate) = &self.announce {
            gate.served.send_modify(|served| {
                served.generation = snapshot.generation;
                if is_change {
                    served.addresses = Arc::new(running.keys().map(|it| it.addr.ip()).collect());
                }
            });
        }
    }

    fn apply(&self, plan: Plan, running: &mut Running) -> Vec<Unbound> {
        let Plan { open, close, replace, beyond_budget } = plan;
        let mut failures = Failures { beyond_limit: beyond_budget, ..Failures::default() };
        let mut ports: BTreeSet<_> = match open.is_empty() {
            true => BTreeSet::new(),
            false => running.keys().map(port).collect(),
        };
        self.close(running, replace);
        for (key, placement) in open {
            match self.open(key, placement, ports.insert(port(&key))) {
                Ok(()) => running.insert(key, placement),
                Err(error) => failures.add(key, &error),
            }
        }
        self.close(running, close);
        failures.finish()
    }

    fn close(&self, running: &mut Running, keys: Vec<SocketKey>) {
        for key in keys {
            if let Some(placement) = running.remove(&key) {
                self.tell(placement, || Change::Close(key));
            }
        }
    }

    /// The first of a port may find that somebody else is there; further ones meet our own.
    fn open(&self, key: SocketKey, placement: Placement, is_first: bool) -> io::Result<()> {
        let count = match placement {
            Placement::Every => self.workers.len(),
            Placement::One(_) => 1,
        };
        // all or none: a worker without its socket would leave a queue that nobody accepts
        let sockets = if is_first {
            let (sockets, is_shared) = bind_each(count, |reuse_port| bind(key, reuse_port))?;
            if is_shared {
                warn_of_shared(key);
            }
            sockets
        } else {
            (0..count).map(|_| bind(key, ReusePort::Yes)).collect::<io::Result<Vec<_>>>()?
        };
        let mut changes = sockets.into_iter();
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
    fn report(&self, failures: Vec<Unbound>, running: &Running) {
        let before = self.unbound.borrow().clone();
        let repaired = before.iter().filter_map(|failure| failure.key);
        for key in repaired.filter(|key| running.contains(key)) {
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
/// both. That is how a new version takes over from an old one, and confusing otherwise.
pub fn warn_of_shared(key: SocketKey) {
    tracing::warn!("another process of this user listens on {key}: both get connections");
}

fn bind(key: SocketKey, reuse_port: ReusePort) -> io::Result<Change> {
    // SO_REUSEPORT throughout: only then may 0.0.0.0:80 and 127.96.0.1:80 be open side by side
    Ok(match key.transport {
        Transport::Tcp => Change::OpenTcp(key, listen_tcp(key.addr, reuse_port)?),
        Transport::Udp => Change::OpenUdp(key, bind_udp(key.addr, reuse_port)?),
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
