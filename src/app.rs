//! The composition root: builds the parts, wires the channels, binds the process's own sockets.
//! The only file that knows all folders.
//!
//! In: a [`Config`] and where the objects come from. Out: a running rutter. Called by `cli` and by
//! tests, which run the whole program in process.

mod sockets;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use crate::admin::Admin;
use crate::config::Config;
use crate::life::{Drain, DrainSignal, Phase, Signal, Signals, drain, spawn_local};
use crate::net::{listening_budget, raise_limit};
use crate::observe::Metrics;
use crate::plane::listeners::{Reconciler, Unbound, remedy};
use crate::plane::worker::{Setup, Workers};
use crate::plane::{dns, l7};
use crate::snapshot::Generation;
use crate::snapshot::cell::{self, Publisher, Reader};
use crate::source::directory::{Directory, OpenError, Watch, watch};
use crate::source::{Batch, Event, Sourced};
use crate::store::{self, Status};

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
    workers: Workers,
    reconciler: Reconciler,
    signal: DrainSignal,
    drain: Drain,
    handle: Handle,
}

/// A view of a running rutter from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    snapshot: Reader,
    status: watch::Receiver<Status>,
    phase: watch::Receiver<Phase>,
    applied: watch::Receiver<Generation>,
    unbound: watch::Receiver<Arc<[Unbound]>>,
    terminate: watch::Sender<u32>,
    dns: Option<SocketAddr>,
    dns_tls: Option<SocketAddr>,
    dns_https: Option<SocketAddr>,
    admin: Option<SocketAddr>,
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

    fn admin_api(&self, metrics: Arc<Metrics>, addr: SocketAddr) -> Admin {
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

impl App {
    /// Builds the parts and opens the sockets of the process itself. The workers are up, and wait
    /// for the first snapshot.
    pub fn build(config: Config, objects: Objects) -> Result<Self, AppError> {
        let limit = raise_limit();
        let (publisher, snapshot) = cell::new();
        let (signal, drain) = drain();
        let admin = sockets::admin(&config)?;
        let (dns_addr, dns) = sockets::dns(&config)?;
        let metrics = Arc::new(Metrics::new(&config.metrics_compat));
        let shards =
            metrics.shards(config.workers, &config.access_log).map_err(AppError::AccessLog)?;
        let setup = Setup {
            snapshot: snapshot.clone(),
            shards,
            dns,
            budget: listening_budget(limit),
            http: l7::Limits::default(),
            names: dns_limits(&config),
            identity: dns::Identity::random(),
            drain: drain.clone(),
        };
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
        };
        let admin = admin.zip(handle.admin);
        let admin = admin.map(|(listener, addr)| (listener, handle.admin_api(metrics, addr)));
        Ok(Self {
            config,
            objects,
            publisher,
            status,
            phase,
            terminate,
            admin,
            workers,
            reconciler,
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
        let driver = store::driver::run(
            received,
            self.config.settings.clone(),
            self.publisher,
            self.status,
            self.drain.clone(),
        );
        spawn_local("driver", driver);
        spawn_local("listeners", self.reconciler.run(self.handle.snapshot(), self.drain.clone()));
        spawn_local("phases", phases(self.phase.clone(), self.handle.clone(), self.drain.clone()));
        // the admin API tells of the drain, so it outlives it
        let (admin_signal, admin_drain) = drain();
        if let Some((listener, admin)) = self.admin {
            spawn_local("admin", admin.run(listener, admin_drain));
        }

        let mut terminations = Terminations { signals, count: self.terminate.subscribe(), source };
        terminations.next().await;
        self.phase.send_replace(Phase::Draining);
        tracing::info!(deadline = ?self.config.drain_timeout, "draining");
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

/// Batches that may wait for the driver.
const BATCHES: usize = 64;

/// Opens the source; what is returned keeps it running.
fn open(
    objects: Objects,
    config: &Config,
    batches: mpsc::Sender<Batch>,
) -> Result<Source, AppError> {
    match objects {
        Objects::Directory(paths) => {
            let directory = Directory::open(&paths)?;
            Ok(Source::Directory(watch(directory, config.poll, batches)?))
        }
        Objects::Listed(objects) => {
            let listed = objects.into_iter().map(|object| Event::InitApply(Arc::new(object)));
            let batch = [Event::Init].into_iter().chain(listed).chain([Event::InitDone]);
            // the channel is new, so there is room
            let _ = batches.try_send(batch.collect());
            Ok(Source::Fixed { _open: batches })
        }
    }
}

/// A source while it runs.
#[derive(Debug)]
enum Source {
    Directory(Watch),
    /// The driver ends when its channel closes.
    Fixed {
        _open: mpsc::Sender<Batch>,
    },
}

/// Waits for what ends the process.
struct Terminations {
    signals: Option<Signals>,
    count: watch::Receiver<u32>,
    source: Source,
}

impl Terminations {
    /// The next termination, by a signal or by the handle. Cancel-safe.
    async fn next(&mut self) {
        loop {
            let signal = async {
                match &mut self.signals {
                    Some(signals) => signals.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                signal = signal => match signal {
                    Signal::Terminate => return,
                    Signal::Rescan => {}
                },
                // the app itself holds a sender
                _ = self.count.changed() => return,
            }
            if let Source::Directory(watch) = &self.source {
                watch.rescan();
            }
        }
    }
}

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
