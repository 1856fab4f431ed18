//! One thread a core, each with its own runtime, listeners, pools and counters.
//!
//! In: the snapshot's reader, an observer a worker, and the sockets that `listeners` binds. Out:
//! every accepted connection and datagram goes to `l4`, `l7` or `dns`. Called by `app`.
//!
//! Invariant: one function spawns every accept loop ([`accept::spawn`]).
//! Invariant: a drain closes every listener at once but those of `healthCheckNodePort`, which say
//! 503 until the last session of any worker has ended.
//! Invariant: workers share nothing on the hot path but the snapshot pointer and a gauge each of
//! how many sessions they hold, by which a fresh connection finds the least loaded one, and a table
//! of those of each client; and the table of [`Affinity`] and the [`Gates`], for Services that ask
//! for them.

mod accept;
mod proxied;
mod refusal;
mod sessions;
mod shares;
mod thread;
mod tls;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::AnnounceGate;
use super::listeners::{Reconciler, Unbound};
use crate::balance::{Affinity, Gates, Health};
use crate::life::{Drain, Overload};
use crate::net::TcpOptions;
use crate::observe::WorkerShard;
use crate::plane::challenges::Challenges;
use crate::plane::tls::{Profile, ServerConfigs};
use crate::plane::{Limits, dns};
use crate::snapshot::Generation;
use crate::snapshot::cell::Reader;

use sessions::{Caps, Sessions};
use thread::{Seed, Work};

/// What the workers are made of.
#[derive(Debug)]
pub struct Setup {
    /// Where snapshots come from.
    pub snapshot: Reader,
    /// Where each worker counts and logs; there are as many workers.
    pub shards: Vec<WorkerShard>,
    /// The DNS sockets of each worker.
    pub dns: Vec<dns::Sockets>,
    /// How many listening sockets Services may take.
    pub budget: usize,
    /// Options of carried connections.
    pub tcp: TcpOptions,
    /// How many sockets flows of UDP may take, of all workers.
    pub upstream_budget: usize,
    /// Which TLS is spoken with clients.
    pub tls: Profile,
    /// What ACME servers are answered.
    pub challenges: Arc<Challenges>,
    /// How much of everything there may be.
    pub limits: Limits,
    /// Limits of DNS.
    pub names: dns::Limits,
    /// By which DNS knows itself, should an upstream lead back to it.
    pub identity: dns::Identity,
    /// Which endpoints fail their checks.
    pub health: Health,
    /// Between sockets and announcements, where there are any.
    pub announce: Option<AnnounceGate>,
    /// How near memory is to its end.
    pub overload: Arc<Overload>,
    /// Ends them.
    pub drain: Drain,
}

/// The running worker threads.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    work: Vec<mpsc::UnboundedSender<Work>>,
    applied: watch::Receiver<Generation>,
    unbound: watch::Receiver<Arc<[Unbound]>>,
}

impl Workers {
    /// Starts the threads, and gives what keeps their listeners: to be run on the control thread.
    pub fn start(setup: Setup) -> io::Result<(Self, Reconciler)> {
        let count = setup.shards.len();
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let (answer, answers) = mpsc::unbounded_channel();
        let caps = Caps {
            all: setup.limits.connections.or(usize::MAX),
            per_client: setup.limits.connections_per_client.or(usize::MAX),
        };
        let sessions = Sessions::new(mailboxes.clone(), caps);
        let (affinity, gates) = (Arc::<Affinity>::default(), Arc::<Gates>::default());
        let tls = Arc::new(ServerConfigs::new(setup.tls));
        let mut dns = setup.dns.into_iter();
        let (mut threads, mut changes) = (Vec::new(), Vec::new());
        for (number, (shard, inbox)) in setup.shards.into_iter().zip(inboxes).enumerate() {
            let (change, changed) = mpsc::unbounded_channel();
            let seed = Seed {
                number,
                shard,
                snapshot: setup.snapshot.clone(),
                drain: setup.drain.clone(),
                dns: dns.next().unwrap_or_default(),
                tcp: setup.tcp,
                limits: setup.limits.clone(),
                names: setup.names.clone(),
                upstream_budget: setup.upstream_budget / count.max(1),
                identity: setup.identity.clone(),
                sessions: sessions.clone(),
                affinity: affinity.clone(),
                gates: gates.clone(),
                health: setup.health.clone(),
                tls: tls.clone(),
                challenges: setup.challenges.clone(),
                overload: setup.overload.clone(),
                inbox,
                changed,
                answer: answer.clone(),
            };
            let name = format!("worker-{number}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || seed.run())?);
            changes.push(change);
        }
        let (applied_sender, applied) = watch::channel(Generation::default());
        let (unbound_sender, unbound) = watch::channel(Arc::from([]));
        let reconciler = Reconciler {
            budget: setup.budget,
            workers: changes,
            answers,
            applied: applied_sender,
            unbound: unbound_sender,
            announce: setup.announce,
        };
        Ok((Self { threads, work: mailboxes, applied, unbound }, reconciler))
    }

    /// The generation that every worker has applied.
    pub fn applied(&self) -> watch::Receiver<Generation> {
        self.applied.clone()
    }

    /// What is wanted and not open.
    pub fn unbound(&self) -> watch::Receiver<Arc<[Unbound]>> {
        self.unbound.clone()
    }

    /// Ends every worker, whatever it still carries.
    pub fn stop(self) {
        for work in &self.work {
            let _ = work.send(Work::Stop);
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}
