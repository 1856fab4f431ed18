//! How many sessions each worker holds, how many there may be, and which one should have the next.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::shares::{Share, Shares};
use super::thread::Work;
use crate::snapshot::SocketKey;

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Of all workers. Those that accept at the same time may have one each beyond it.
    pub(super) all: usize,
    /// Of a client.
    pub(super) per_client: usize,
}

impl Default for Caps {
    /// Any number.
    fn default() -> Self {
        Self { all: usize::MAX, per_client: usize::MAX }
    }
}

/// The sessions of all workers, and the way to hand a connection to one of them.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    workers: Arc<[Worker]>,
    caps: Caps,
    shares: Shares,
}

#[derive(Debug)]
struct Worker {
    held: AtomicUsize,
    mailbox: mpsc::UnboundedSender<Work>,
}

/// A fresh connection on its way to another worker.
#[derive(Debug)]
pub(super) struct Handed {
    pub(super) stream: TcpStream,
    pub(super) client: SocketAddr,
    pub(super) key: SocketKey,
    pub(super) session: Session,
}

impl Sessions {
    pub(super) fn new(mailboxes: Vec<mpsc::UnboundedSender<Work>>, caps: Caps) -> Self {
        let worker = |mailbox| Worker { held: AtomicUsize::new(0), mailbox };
        let workers = mailboxes.into_iter().map(worker).collect();
        Self { workers, caps, shares: Shares::default() }
    }

    /// How many sessions a worker holds.
    pub(super) fn held(&self, worker: usize) -> usize {
        self.workers.get(worker).map_or(0, |worker| worker.held.load(Ordering::Relaxed))
    }

    /// Whether no worker holds any.
    pub(super) fn are_all_idle(&self) -> bool {
        (0..self.workers.len()).all(|worker| self.held(worker) == 0)
    }

    /// Whether there are as many as there may be.
    pub(super) fn are_full(&self) -> bool {
        let all = self.workers.iter().map(|worker| worker.held.load(Ordering::Relaxed));
        all.sum::<usize>() >= self.caps.all
    }

    /// A worker has drained: those that wait for all learn of it.
    pub(super) fn end(&self, ended: usize) {
        for (_, worker) in self.workers.iter().enumerate().filter(|(number, _)| *number != ended) {
            let _ = worker.mailbox.send(Work::Idle);
        }
    }

    /// Who should have a connection that `here` accepted: the least loaded worker, if it has at
    /// least two fewer; a smaller difference is not worth the way.
    pub(super) fn choose(&self, here: usize) -> usize {
        let least = (0..self.workers.len()).min_by_key(|worker| self.held(*worker));
        least.filter(|least| self.held(*least) + 2 <= self.held(here)).unwrap_or(here)
    }

    /// Counts a session of a worker until it is dropped.
    pub(super) fn begin(&self, worker: usize) -> Session {
        if let Some(worker) = self.workers.get(worker) {
            worker.held.fetch_add(1, Ordering::Relaxed);
        }
        Session { sessions: self.clone(), worker, share: None }
    }

    /// Hands a connection over; it is dropped if the worker has ended.
    pub(super) fn hand_over(&self, worker: usize, handed: Handed) {
        if let Some(worker) = self.workers.get(worker) {
            let _ = worker.mailbox.send(Work::Serve(handed));
        }
    }
}

/// One session of one worker.
#[derive(Debug)]
pub(super) struct Session {
    sessions: Sessions,
    worker: usize,
    /// Its place among those of its client, where they are counted.
    share: Option<Share>,
}

impl Session {
    /// The same as one of a client, if that may have another one.
    pub(super) fn of_client(mut self, client: IpAddr) -> Option<Self> {
        let Sessions { shares, caps, .. } = &self.sessions;
        if caps.per_client < usize::MAX {
            self.share = Some(shares.take(client, caps.per_client)?);
        }
        Some(self)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Some(worker) = self.sessions.workers.get(self.worker) else { return };
        if worker.held.fetch_sub(1, Ordering::Relaxed) == 1 {
            // a worker that drains ends with its last session
            let _ = worker.mailbox.send(Work::Idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_elsewhere_only_for_a_difference_of_two() {
        let mailboxes = (0..3).map(|_| mpsc::unbounded_channel().0).collect();
        let sessions = Sessions::new(mailboxes, Caps::default());
        assert_eq!(sessions.choose(1), 1);
        let first = sessions.begin(1);
        assert_eq!(sessions.choose(1), 1);
        let _second = sessions.begin(1);
        assert_eq!(sessions.choose(1), 0);
        let _third = sessions.begin(0);
        assert_eq!(sessions.choose(1), 2);
        drop(first);
        assert_eq!(sessions.choose(1), 1);
    }
}
