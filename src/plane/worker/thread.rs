//! One worker: its thread, its runtime, its mailbox.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, LocalSet};

use super::accept::{self, Stop};
use super::sessions::{Handed, Session, Sessions};
use super::tls;
use crate::balance::{Affinity, Loads, Rng};
use crate::life::{Drain, spawn_local};
use crate::net::{SharedBuffer, reached, set_options};
use crate::observe::WorkerShard;
use crate::plane::listeners::Change;
use crate::plane::tls::Stream;
use crate::plane::{Accepted, Local, dns, health, l4, l7};
use crate::snapshot::cell::Reader;
use crate::snapshot::{Exposure, Generation, Reason, Serve, SocketKey};

/// What a worker is asked for by others.
#[derive(Debug)]
pub(super) enum Work {
    /// Serve a connection that another worker accepted.
    Serve(Handed),
    /// The last session ended, or another worker.
    Idle,
    /// End at once.
    Stop,
}

/// What a worker is made of; sent to its thread.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) number: usize,
    pub(super) shard: WorkerShard,
    pub(super) snapshot: Reader,
    pub(super) drain: Drain,
    pub(super) dns: dns::Sockets,
    pub(super) http: l7::Limits,
    pub(super) names: dns::Limits,
    pub(super) identity: dns::Identity,
    pub(super) sessions: Sessions,
    pub(super) affinity: Arc<Affinity>,
    pub(super) inbox: mpsc::UnboundedReceiver<Work>,
    pub(super) changed: mpsc::UnboundedReceiver<Change>,
    pub(super) answer: mpsc::UnboundedSender<Generation>,
}

impl Seed {
    /// Runs the worker until it has drained or is stopped.
    pub(super) fn run(self) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "a worker cannot start"),
        };
        LocalSet::new().block_on(&runtime, self.work());
    }

    async fn work(self) {
        let observer = Rc::new(self.shard.observer());
        let local = Rc::new(Local {
            worker: self.number,
            snapshot: self.snapshot.cached(),
            loads: Loads::default(),
            affinity: self.affinity,
            rng: RefCell::new(Rng::new(seed(self.number))),
            tls: Default::default(),
            clients: Default::default(),
            observer: observer.clone(),
            drain: self.drain.clone(),
        });
        if !self.dns.is_empty() {
            let dns = dns::Server::new(local.clone(), self.names, self.identity);
            spawn_local("dns", dns.run(self.dns));
        }
        let worker = Rc::new(Worker {
            number: self.number,
            sessions: self.sessions,
            handshake_time: self.http.handshake_time,
            http: l7::Server::new(local.clone(), self.http),
            buffer: Rc::default(),
            local,
        });
        spawn_local("flush", async move { observer.run().await });
        Mailbox {
            worker,
            inbox: self.inbox,
            changed: self.changed,
            answer: self.answer,
            tcp: HashMap::new(),
            udp: HashMap::new(),
        }
        .run(self.drain)
        .await;
    }
}

/// Workers must not pick in step; the address of a fresh allocation and the time differ enough.
fn seed(worker: usize) -> u64 {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = time.map_or(0, |time| u64::from(time.subsec_nanos()));
    nanos.wrapping_mul(0x9e37_79b9).wrapping_add(worker as u64)
}

/// What the tasks of one worker share.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) sessions: Sessions,
    pub(super) local: Rc<Local>,
    pub(super) http: Rc<l7::Server>,
    pub(super) buffer: Rc<SharedBuffer>,
    /// For a ClientHello, and again for the rest of a handshake.
    pub(super) handshake_time: Duration,
}

impl Worker {
    /// Serves a connection in a task of its own, by what its listener serves now.
    pub(super) fn serve(
        self: &Rc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        key: SocketKey,
        session: Session,
    ) {
        set_options(&stream);
        let accepted = Accepted { stream, client, key };
        let snapshot = self.local.snapshot.load();
        if snapshot.is_astray(key, reached(&accepted.stream, key.addr)) {
            let (exposure, reason) = (Exposure::ClusterIp, Reason::NoService);
            return l4::tcp::refuse(&self.local, &accepted, exposure, reason);
        }
        match snapshot.listeners.get(&key).map(|spec| &spec.serve) {
            Some(Serve::Http(http)) => {
                let (server, listener) = (self.http.clone(), http.clone());
                spawn_local("http", async move {
                    server.serve(accepted, listener).await;
                    drop(session);
                });
            }
            Some(Serve::Frontend(frontend)) => {
                let (local, buffer) = (self.local.clone(), self.buffer.clone());
                let frontend = frontend.clone();
                let Accepted { stream, client, key } = accepted;
                let accepted = Accepted { stream: Stream::Plain(stream), client, key };
                spawn_local("tcp", async move {
                    l4::tcp::serve(local, buffer, accepted, Vec::new(), frontend).await;
                    drop(session);
                });
            }
            Some(Serve::Health(check)) => {
                let (check, drain) = (check.clone(), self.local.drain.clone());
                // a question after rutter's health is no work that a drain waits for
                drop(session);
                spawn_local("health", async move {
                    health::serve(accepted.stream, &check, &drain).await;
                });
            }
            Some(Serve::Tls(_)) => {
                let worker = self.clone();
                spawn_local("tls", async move {
                    tls::serve(worker, accepted).await;
                    drop(session);
                });
            }
            // the Service went away while the connection waited in the queue
            None => crate::net::reset_on_drop(&accepted.stream),
        }
    }
}

/// The worker's own task: opens and closes listeners, takes in connections.
struct Mailbox {
    worker: Rc<Worker>,
    inbox: mpsc::UnboundedReceiver<Work>,
    changed: mpsc::UnboundedReceiver<Change>,
    answer: mpsc::UnboundedSender<Generation>,
    tcp: HashMap<SocketKey, Stop>,
    udp: HashMap<SocketKey, AbortHandle>,
}

impl Mailbox {
    async fn run(mut self, drain: Drain) {
        loop {
            tokio::select! {
                biased;
                work = self.inbox.recv() => match work {
                    Some(Work::Serve(handed)) => self.serve(handed),
                    Some(Work::Idle) => {}
                    Some(Work::Stop) | None => return,
                },
                Some(change) = self.changed.recv() => self.change(change),
                () = drain.started(), if !self.is_closed() => self.close(),
            }
            if drain.is_started() && self.is_closed() && self.is_done() {
                return self.worker.sessions.end(self.worker.number);
            }
        }
    }

    fn serve(&self, handed: Handed) {
        let Handed { stream, client, key, session } = handed;
        match TcpStream::from_std(stream) {
            Ok(stream) => self.worker.serve(stream, client, key, session),
            Err(error) => tracing::warn!(%error, "cannot take over a connection"),
        }
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::OpenTcp(key, listener) => {
                match accept::spawn(self.worker.clone(), key, listener) {
                    Ok(stop) => drop(self.tcp.insert(key, stop)),
                    Err(error) => tracing::error!(%key, %error, "cannot accept"),
                }
            }
            Change::OpenUdp(key, socket) => {
                let flows = l4::udp::serve(self.worker.local.clone(), socket, key);
                self.udp.insert(key, spawn_local("udp", flows).abort_handle());
            }
            Change::Close(key) => {
                // dropping the sender stops the accept loop once its queue is empty
                self.tcp.remove(&key);
                if let Some(task) = self.udp.remove(&key) {
                    task.abort();
                }
            }
            Change::Applied(generation) => drop(self.answer.send(generation)),
        }
    }

    /// Takes nothing more in. Load balancers go on being told that rutter is on its way out, so that
    /// they send nothing more.
    fn close(&mut self) {
        let snapshot = self.worker.local.snapshot.load();
        self.tcp.retain(|key, _| {
            let spec = snapshot.listeners.get(key);
            spec.is_some_and(|spec| matches!(spec.serve, Serve::Health(_)))
        });
        self.udp.drain().for_each(|(_, task)| task.abort());
        // what was told but not done yet is not done any more
        self.changed.close();
        while self.changed.try_recv().is_ok() {}
    }

    fn is_closed(&self) -> bool {
        self.changed.is_closed()
    }

    /// Whether nothing is left to do: here, and where load balancers are still to be told of the
    /// drain, elsewhere too.
    fn is_done(&self) -> bool {
        let sessions = &self.worker.sessions;
        match self.tcp.is_empty() {
            true => sessions.held(self.worker.number) == 0,
            false => sessions.are_all_idle(),
        }
    }
}
