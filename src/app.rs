//! The composition root: builds the parts, wires the channels, binds the process's own sockets.
//! The only file that knows all folders.
//!
//! In: a [`Config`] and where the objects come from. Out: a running rutter. Called by `cli` and by
//! tests, which run the whole program in process.

mod handle;
mod limits;
mod programming;
mod sockets;
mod source;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::acme;
use crate::admin::{Admin, KubeProxy};
use crate::balance::Health;
use crate::compile::Issued;
use crate::config::{Config, TlsProfile};
use crate::life::{Drain, DrainSignal, Phase, Signals, drain, spawn_local};
use crate::net::{TcpOptions, check_transparent, listening_budget, upstream_budget};
use crate::observe::{Metrics, WorkerShard};
use crate::plane::announce::{self, Announcer};
use crate::plane::challenges::Challenges;
use crate::plane::checks::Checker;
use crate::plane::listeners::{Reconciler, remedy};
use crate::plane::worker::{Setup, Workers};
use crate::plane::{AnnounceGate, dns, tls};
use crate::snapshot::Generation;
use crate::snapshot::cell::{self, Publisher, Reader};
use crate::source::Sourced;
use crate::source::directory::OpenError;
use crate::store::{self, Status};

pub use handle::Handle;
use source::{Terminations, open};

/// Where the objects come from.
#[derive(Clone, Debug)]
pub enum Objects {
    /// Files and directories, watched.
    Directory(Vec<PathBuf>),
    /// These, for good.
    Listed(Vec<Sourced>),
}

/// Why rutter does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The manifests cannot be read.
    #[error("cannot read the manifests")]
    Manifests(#[from] OpenError),
    /// A socket that the user asked for cannot be opened.
    #[error("cannot listen on {what} ({option}) {addr}: {}", remedy(*addr, option, error))]
    Listen {
        /// What would have listened there.
        what: &'static str,
        /// The option that moves it.
        option: &'static str,
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// Addresses cannot be announced.
    #[error("cannot announce addresses (--announce): {}", announce::remedy(.0))]
    Announce(io::Error),
    /// The address of clients cannot be kept.
    #[error(
        "cannot keep the addresses of clients (--keep-client-address): {0}; give rutter \
         CAP_NET_ADMIN, or leave it off"
    )]
    KeepClientAddress(io::Error),
    /// What ACME issues cannot be kept.
    #[error("cannot keep certificates (--acme-state)")]
    Acme(#[from] acme::StateError),
    /// The access log cannot be opened.
    #[error("cannot open the access log (--access-log)")]
    AccessLog(#[source] io::Error),
    /// A thread, a runtime or a signal handler cannot be made.
    #[error("cannot start")]
    Start(#[from] io::Error),
}

/// A rutter that is built and bound, but serves nothing yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    objects: Objects,
    publisher: Publisher,
    status: watch::Sender<Status>,
    phase: watch::Sender<Phase>,
    terminate: watch::Sender<u32>,
    admin: Option<(TcpListener, Admin)>,
    kube_proxy: Vec<TcpListener>,
    metrics: Arc<Metrics>,
    workers: Workers,
    reconciler: Reconciler,
    announcer: Option<Announcer>,
    checker: Checker,
    acme: Option<acme::State>,
    challenges: Arc<Challenges>,
    signal: DrainSignal,
    drain: Drain,
    handle: Handle,
}

impl App {
    /// Builds the parts and opens the sockets of the process itself. The workers are up, and wait
    /// for the first snapshot.
    pub fn build(mut config: Config, objects: Objects) -> Result<Self, AppError> {
        let (limit, memory) = limits::settle(&mut config);
        if config.settings.keep_client_address {
            check_transparent().map_err(AppError::KeepClientAddress)?;
        }
        let acme = config.acme.as_ref().map(|it| acme::State::open(&it.state)).transpose()?;
        let (publisher, snapshot) = cell::new();
        let (signal, drain) = drain();
        let admin = sockets::admin(&config)?;
        let kube_proxy = sockets::kube_proxy(&config)?;
        let (dns_addr, dns) = sockets::dns(&config)?;
        let metrics = limits::metrics(&config, memory);
        let (announcer, gate) = sockets::announcer(&config, &metrics)?;
        let shards =
            metrics.shards(config.workers, &config.access_log).map_err(AppError::AccessLog)?;
        let (checker, health) = sockets::checker(&metrics)?;
        let setup = setup(&config, limit, snapshot.clone(), shards, dns, gate, drain.clone());
        let challenges = setup.challenges.clone();
        let setup = Setup { overload: metrics.overload(), health, ..setup };
        let (workers, reconciler) = Workers::start(setup)?;
        let (status, status_receiver) = watch::channel(Status::default());
        let (phase, phase_receiver) = watch::channel(Phase::Starting);
        let terminate = watch::Sender::new(0);
        let handle = Handle {
            snapshot,
            status: status_receiver,
            phase: phase_receiver,
            applied: workers.applied(),
            unbound: workers.unbound(),
            terminate: terminate.clone(),
            dns: dns_addr,
            dns_tls: config.dns_tls,
            dns_https: config.dns_https,
            admin: admin.as_ref().and_then(|listener| listener.local_addr().ok()),
            kube_proxy: kube_proxy.iter().filter_map(|it| it.local_addr().ok()).collect(),
        };
        let admin = admin
            .zip(handle.admin)
            .map(|(listener, addr)| (listener, handle.admin_api(metrics.clone(), addr)));
        Ok(Self {
            config,
            objects,
            publisher,
            status,
            phase,
            terminate,
            admin,
            kube_proxy,
            metrics,
            workers,
            reconciler,
            announcer,
            checker,
            acme,
            challenges,
            signal,
            drain,
            handle,
        })
    }

    /// A view of it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Serves until [`Handle::terminate`] is called.
    pub fn run(self) -> Result<(), AppError> {
        self.run_on_this_thread(None)
    }

    /// Serves until SIGTERM or SIGINT; SIGHUP scans the manifests again.
    pub fn run_until_signal(self) -> Result<(), AppError> {
        self.run_on_this_thread(Some(Signals::new as fn() -> io::Result<Signals>))
    }

    fn run_on_this_thread(
        self,
        signals: Option<fn() -> io::Result<Signals>>,
    ) -> Result<(), AppError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = LocalSet::new().block_on(&runtime, async {
            let signals = signals.map(|listen| listen()).transpose()?;
            // boxed: it holds all that the process is made of
            Box::pin(self.serve(signals)).await
        });
        // a scan of a slow file system must not hold the process
        runtime.shutdown_background();
        outcome
    }

    async fn serve(self, signals: Option<Signals>) -> Result<(), AppError> {
        let (batches, received) = mpsc::channel(BATCHES);
        let source = open(self.objects, &self.config, batches)?;
        let ordering = (self.acme, self.challenges);
        let issued = orders(&self.config, ordering, self.handle.status(), self.drain.clone());
        let driver = store::driver::run(
            received,
            self.config.settings.clone(),
            issued,
            self.publisher,
            self.status,
            self.drain.clone(),
        );
        spawn_local("driver", driver);
        spawn_local("listeners", self.reconciler.run(self.handle.snapshot(), self.drain.clone()));
        spawn_local("checks", self.checker.run(self.handle.snapshot(), self.drain.clone()));
        // what is announced is served, so it ends first
        let (withdraw, withdrawing) = drain();
        match self.announcer {
            Some(announcer) => {
                let announcing = announcer.run(self.handle.snapshot(), withdrawing);
                spawn_local("announcer", announcing);
            }
            None => drop(withdrawing),
        }
        spawn_local("phases", phases(self.phase.clone(), self.handle.clone(), self.drain.clone()));
        // the admin API tells of the drain, so it outlives it
        let (admin_signal, admin_drain) = drain();
        for listener in self.kube_proxy {
            let addr = listener.local_addr()?;
            let pages = KubeProxy(self.handle.admin_api(self.metrics.clone(), addr));
            spawn_local("kube-proxy", pages.run(listener, admin_drain.clone()));
        }
        limits::keep(self.metrics.overload());
        let counted = programming::count(self.handle.clone(), self.metrics, self.drain.clone());
        spawn_local("programming", counted);
        if let Some((listener, admin)) = self.admin {
            spawn_local("admin", admin.run(listener, admin_drain));
        }

        let mut terminations = Terminations { signals, count: self.terminate.subscribe(), source };
        terminations.next().await;
        self.phase.send_replace(Phase::Draining);
        tracing::info!(deadline = ?self.config.drain_timeout, "draining");
        withdraw.start();
        withdraw.finished(WITHDRAWN).await;
        self.signal.start();
        drop((self.drain, self.handle));
        tokio::select! {
            biased;
            () = terminations.next() => tracing::info!("ending at once"),
            finished = self.signal.finished(self.config.drain_timeout) => {
                tracing::info!(finished, "drained");
            }
        }
        self.workers.stop();
        admin_signal.start();
        self.phase.send_replace(Phase::Stopped);
        Ok(())
    }
}

/// Orders certificates, if that is asked for, and gives what comes of it.
fn orders(
    config: &Config,
    (state, challenges): (Option<acme::State>, Arc<Challenges>),
    status: watch::Receiver<Status>,
    drain: Drain,
) -> watch::Receiver<Issued> {
    let (issued, taken) = watch::channel(Issued::default());
    if let Some((options, state)) = config.acme.clone().zip(state) {
        spawn_local("acme", acme::run(options, state, challenges, status, issued, drain));
    }
    taken
}

/// What workers are started with; `limit` is that of descriptors.
fn setup(
    config: &Config,
    limit: u64,
    snapshot: Reader,
    shards: Vec<WorkerShard>,
    dns: Vec<dns::Sockets>,
    announce: Option<AnnounceGate>,
    drain: Drain,
) -> Setup {
    Setup {
        snapshot,
        shards,
        dns,
        budget: listening_budget(limit),
        tcp: TcpOptions { keepalive: config.tcp_keepalive, user_timeout: config.tcp_user_timeout },
        upstream_budget: upstream_budget(limit),
        tls: match config.tls_profile {
            TlsProfile::Intermediate => tls::Profile::Intermediate,
            TlsProfile::Modern => tls::Profile::Modern,
        },
        challenges: Arc::default(),
        limits: config.limits.clone(),
        names: dns_limits(config),
        identity: dns::Identity::random(),
        announce,
        health: Health::default(),
        overload: Arc::default(),
        drain,
    }
}

/// For announcements to end; they wait for nothing.
const WITHDRAWN: Duration = Duration::from_secs(1);

/// Batches that may wait for the driver.
const BATCHES: usize = 64;

/// Starting → Syncing → Serving, as the first generation is applied everywhere.
async fn phases(phase: watch::Sender<Phase>, handle: Handle, drain: Drain) {
    phase.send_replace(Phase::Syncing);
    let mut applied = handle.applied();
    tokio::select! {
        biased;
        () = drain.started() => return,
        applied = applied.wait_for(|applied| *applied > Generation(0)) => {
            if applied.is_err() {
                return;
            }
        }
    }
    phase.send_replace(Phase::Serving);
    let snapshot = handle.snapshot.load();
    let unbound = handle.unbound.borrow().iter().map(|unbound| unbound.count).sum::<usize>();
    tracing::info!(
        listeners = snapshot.sockets().count().saturating_sub(unbound),
        unbound,
        admin = handle.admin.map(tracing::field::display),
        dns = handle.dns.map(tracing::field::display),
        dns_tls = handle.dns_tls.map(tracing::field::display),
        dns_https = handle.dns_https.map(tracing::field::display),
        "serving"
    );
}

fn dns_limits(config: &Config) -> dns::Limits {
    let settings = &config.settings;
    let rate = config.dns_rate_limit.map(|limit| dns::RateLimits {
        client: limit.client,
        prefix: limit.prefix,
        everybody: limit.everybody,
        workers: config.workers,
    });
    let ours = [&settings.service_cidrs[..], &settings.pod_cidrs].concat();
    dns::Limits { rate, ..dns::Limits::default() }.with_inside(ours)
}
