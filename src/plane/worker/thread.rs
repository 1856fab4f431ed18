//! One worker: its thread, its runtime, its mailbox.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::Instant;

use super::accept::{self, Accepting};
use super::sessions::{Handed, Session, Sessions};
use super::tls;
use crate::balance::{Affinity, Gates, Health, Loads, Rng};
use crate::life::{Drain, Overload, spawn_local};
use crate::net::{SharedBuffers, TcpOptions, reached};
use crate::observe::WorkerShard;
use crate::plane::challenges::Challenges;
use crate::plane::listeners::Change;
use crate::plane::tls::{ServerConfigs, Stream};
use crate::plane::{Accepted, Limits, Local, dns, health, l4, l7};
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
    pub(super) tcp: TcpOptions,
    pub(super) limits: Limits,
    pub(super) names: dns::Limits,
    /// How many sockets flows of UDP may take.
    pub(super) upstream_budget: usize,
    pub(super) identity: dns::Identity,
    pub(super) sessions: Sessions,
    pub(super) affinity: Arc<Affinity>,
    pub(super) gates: Arc<Gates>,
    pub(super) health: Health,
    pub(super) tls: Arc<ServerConfigs>,
    pub(super) challenges: Arc<Challenges>,
    pub(super) overload: Arc<Overload>,
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
            gates: self.gates,
            health: self.health,
            rng: RefCell::new(Rng::new(seed(self.number))),
            tcp: self.tcp,
            limits: self.limits,
            tls: self.tls,
            admissions: Default::default(),
            challenges: self.challenges,
            clients: Default::default(),
            overload: self.overload,
            level: Cell::default(),
            observer: observer.clone(),
            drain: self.drain.clone(),
        });
        if !self.dns.is_empty() {
            let dns = dns::Server::new(local.clone(), self.names, self.identity);
            spawn_local("dns", dns.run(self.dns));
        }
        let max_flows = local.limits.udp_flows;
        let carrier = l4::udp::Carrier::new(local.clone(), max_flows, self.upstream_budget);
        let worker = Rc::new(Worker {
            number: self.number,
            sessions: self.sessions,
            http: l7::Server::new(local.clone()),
            buffer: Rc::default(),
            warned: Cell::default(),
            local,
        });
        spawn_local("flush", async move { observer.run().await });
        Mailbox {
            worker,
            carrier,
            inbox: self.inbox,
            changed: self.changed,
            answer: self.answer,
            tcp: HashMap::new(),
            udp: HashMap::new(),
            closing: Vec::new(),
            is_closed: false,
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
    pub(super) buffer: Rc<SharedBuffers>,
    /// When it was last told that connections are refused.
    pub(super) warned: Cell<Option<Instant>>,
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
        self.local.tcp.set(&stream);
        let snapshot = self.local.snapshot.load();
        let spec = snapshot.listeners.get(&key);
        if spec.is_some_and(|spec| snapshot.has_proxy_header(spec)) {
            return self.serve_proxied(stream, client, key, session);
        }
        self.serve_as(stream, client, key, session);
    }

    /// The same, of a client that is known.
    pub(super) fn serve_as(
        self: &Rc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        key: SocketKey,
        session: Session,
    ) {
        let accepted = Accepted { stream, client, key };
        let snapshot = self.local.snapshot.load();
        if snapshot.is_astray(key, reached(&accepted.stream, key.addr)) {
            let (exposure, reason) = (Exposure::ClusterIp, Reason::NoService);
            return l4::tcp::refuse(&self.local, &accepted, exposure, reason);
        }
        let serve = snapshot.listeners.get(&key).map(|spec| &spec.serve);
        let session = match serve {
            Some(Serve::Http(_) | Serve::Tls(_)) => self.share(session, client.ip()),
            Some(Serve::Frontend(_) | Serve::Health(_)) | None => Some(session),
        };
        let Some(session) = session else {
            return self.refuse(accepted.stream, client, key, Reason::ClientLimit);
        };
        match serve {
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

/// HTTP/3.
impl Worker {
    /// Whether what comes by a socket is HTTP now.
    fn is_http(&self, key: SocketKey) -> bool {
        let snapshot = self.local.snapshot.load();
        snapshot.listeners.get(&key).is_some_and(|spec| spec.serve.http().is_some())
    }

    /// Serves a socket whose connections are sessions of this worker.
    async fn serve_http3(self: Rc<Self>, socket: UdpSocket, key: SocketKey) {
        let worker = self.clone();
        let hold = move |client: SocketAddr| match worker.refusal(key) {
            Some(_) => None,
            None => worker.share(worker.sessions.begin(worker.number), client.ip()),
        };
        self.http.clone().serve_datagrams(socket, key, hold).await;
    }
}

/// The worker's own task: opens and closes listeners, takes in connections.
pub(super) struct Mailbox {
    pub(super) worker: Rc<Worker>,
    pub(super) carrier: Rc<l4::udp::Carrier>,
    pub(super) inbox: mpsc::UnboundedReceiver<Work>,
    pub(super) changed: mpsc::UnboundedReceiver<Change>,
    pub(super) answer: mpsc::UnboundedSender<Generation>,
    pub(super) tcp: HashMap<SocketKey, Accepting>,
    pub(super) udp: HashMap<SocketKey, JoinHandle<()>>,
    /// Tasks whose sockets are to be closed.
    pub(super) closing: Vec<JoinHandle<()>>,
    /// Whether nothing more is taken in.
    pub(super) is_closed: bool,
}

impl Mailbox {
    pub(super) async fn run(mut self, drain: Drain) {
        loop {
            tokio::select! {
                biased;
                work = self.inbox.recv() => match work {
                    Some(Work::Serve(handed)) => self.serve(handed),
                    Some(Work::Idle) => {}
                    Some(Work::Stop) | None => return,
                },
                Some(change) = self.changed.recv() => self.change(change),
                () = drain.started(), if !self.is_closed => self.close().await,
            }
            if self.is_closed && self.is_done() {
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
                    Ok(accepting) => drop(self.tcp.insert(key, accepting)),
                    Err(error) => tracing::error!(%key, %error, "cannot accept"),
                }
            }
            Change::OpenUdp(key, socket) => {
                let task = match self.worker.is_http(key) {
                    true => spawn_local("http3", self.worker.clone().serve_http3(socket, key)),
                    false => spawn_local("udp", self.carrier.clone().serve(socket, key)),
                };
                self.udp.insert(key, task);
            }
            Change::Close(key) => {
                self.closing.extend(self.tcp.remove(&key).map(Accepting::stop));
                if let Some(task) = self.udp.remove(&key) {
                    task.abort();
                    self.closing.push(task);
                }
            }
            Change::Applied(generation) => {
                let local = &self.worker.local;
                local.admissions.check(&local.snapshot.load());
                self.answer(generation);
            }
        }
    }

    /// Answers once everything that was to be closed is: whoever waits for the generation may count
    /// on being refused.
    fn answer(&mut self, generation: Generation) {
        let (closing, answer) = (std::mem::take(&mut self.closing), self.answer.clone());
        spawn_local("applied", async move {
            for task in closing {
                let _ = task.await;
            }
            // nobody listens at the end
            let _ = answer.send(generation);
        });
    }

    /// Takes nothing more in but what the system has accepted already. Load balancers go on being told
    /// that rutter is on its way out, so that they send nothing more.
    async fn close(&mut self) {
        let snapshot = self.worker.local.snapshot.load();
        let stopped = self.tcp.extract_if(|key, _| {
            let spec = snapshot.listeners.get(key);
            !spec.is_some_and(|spec| matches!(spec.serve, Serve::Health(_)))
        });
        let stopped: Vec<_> = stopped.map(|(_, accepting)| accepting.stop()).collect();
        drop(snapshot);
        self.udp.drain().for_each(|(_, task)| task.abort());
        self.is_closed = true;
        // what was told but not done yet is not done any more
        self.changed.close();
        while self.changed.try_recv().is_ok() {}
        for task in stopped {
            let _ = task.await;
        }
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
