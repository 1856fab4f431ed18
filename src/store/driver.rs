//! Wait → debounce → compile → publish → report: the control plane in one screenful.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::{Inbox, Objects, hosts};
use crate::compile::{Allocations, Compiled, HostsFiles, Report, Settings, compile};
use crate::life::{Drain, spawn_local};
use crate::manifest::{Code, Finding, ObjectRef, Severity, finding};
use crate::snapshot::cell::Publisher;
use crate::snapshot::{BackendId, EndpointId, Generation, Snapshot};
use crate::source::Batch;
use crate::source::directory::{Texts, locate};

/// What the control plane last did; watched by the admin API, the log and tests.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The generation that the report belongs to.
    pub generation: Generation,
    /// Compilations so far, also those that changed nothing.
    pub compiles: u64,
    /// How long the last one took.
    pub compile_time: Duration,
    /// When the content last changed.
    pub published: Option<SystemTime>,
    /// Objects that serve in an older version because their text is broken.
    pub stale: usize,
    /// How often the Corefile became one that cannot be read.
    pub corefile_failures: u64,
    /// The findings of sources and compiler, located.
    pub report: Arc<Report>,
}

/// Owns the objects and the publisher until `batches` ends or the drain starts.
pub async fn run(
    batches: mpsc::Receiver<Batch>,
    settings: Settings,
    publisher: Publisher,
    status: watch::Sender<Status>,
    drain: Drain,
) {
    let (hosts, read) = watch::channel(settings.dns_hosts.clone());
    if !settings.dns_hosts.paths.is_empty() {
        spawn_local("hosts", hosts::follow(hosts, drain.clone()));
    }
    let driver = Driver {
        batches,
        hosts: read,
        compile: move |objects: &Objects, hosts: HostsFiles, held: &Allocations| {
            let settings = Settings { dns_hosts: hosts, ..settings.clone() };
            compile(objects, &settings, held, now())
        },
        inbox: Inbox::default(),
        allocations: Allocations::default(),
        corefile_failures: 0,
        publisher,
        status,
    };
    Box::pin(driver.run(drain)).await;
}

struct Driver<C> {
    batches: mpsc::Receiver<Batch>,
    /// Hosts files as they are; without a sender they stay so.
    hosts: watch::Receiver<HostsFiles>,
    /// [`compile`], or what a test puts in its place.
    compile: C,
    inbox: Inbox,
    allocations: Allocations,
    corefile_failures: u64,
    publisher: Publisher,
    status: watch::Sender<Status>,
}

impl<C: Fn(&Objects, HostsFiles, &Allocations) -> Compiled> Driver<C> {
    async fn run(mut self, drain: Drain) {
        let mut again = interval_at(Instant::now() + RECOMPILE, RECOMPILE);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = drain.started() => return,
                batch = self.batches.recv() => match batch {
                    Some(batch) => self.collect(batch).await,
                    None => return,
                },
                Ok(()) = self.hosts.changed() => {}
                _ = again.tick() => {}
            }
            if self.inbox.is_synced {
                self.update().await;
            }
        }
    }

    /// Takes in batches until none has come for a moment.
    async fn collect(&mut self, first: Batch) {
        let deadline = Instant::now() + PATIENCE;
        self.inbox.apply(first);
        while let Ok(Some(batch)) =
            timeout_at(deadline.min(Instant::now() + QUIET), self.batches.recv()).await
        {
            self.inbox.apply(batch);
        }
    }

    async fn update(&mut self) {
        let start = Instant::now();
        let hosts = self.hosts.borrow_and_update().clone();
        let Compiled { mut snapshot, mut report, allocations } =
            (self.compile)(&self.inbox.objects, hosts, &self.allocations);
        let has_failed =
            allocations.has_broken_corefile() && !self.allocations.has_broken_corefile();
        self.corefile_failures += u64::from(has_failed);
        self.allocations = allocations;
        let compile_time = start.elapsed();
        let before = self.publisher.current();
        snapshot.synced = true;
        (snapshot.generation, snapshot.serial) = (before.generation, before.serial);
        report.findings.extend(self.inbox.findings.iter().cloned());
        let published = (snapshot != *before).then(|| {
            log_publish(&before, &snapshot, &self.inbox.objects, &report, compile_time);
            let now = now();
            snapshot.serial = serial(before.serial, now);
            self.publisher.publish(snapshot);
            now
        });
        report.findings = located(report.findings).await;
        log_findings(&self.status.borrow().report.findings, &report.findings);
        let stale = self.inbox.objects.total().stale;
        self.status.send_modify(|status| {
            *status = Status {
                generation: self.publisher.current().generation,
                compiles: status.compiles + 1,
                compile_time,
                published: published.or(status.published),
                stale,
                corefile_failures: self.corefile_failures,
                report: Arc::new(report),
            }
        });
    }
}

/// Batches that come closer together than this are compiled together …
const QUIET: Duration = Duration::from_millis(20);

/// … but a change waits no longer than this.
const PATIENCE: Duration = Duration::from_secs(1);

/// Certificates expire without any event.
const RECOMPILE: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    SystemTime::now()
}

/// The next serial of the zone (RFC 1982), as CoreDNS has it.
fn serial(before: u32, now: SystemTime) -> u32 {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(seconds).unwrap_or(u32::MAX).max(before.saturating_add(1))
}

/// Finds lines and columns, off this thread because it reads files.
async fn located(findings: Vec<Finding>) -> Vec<Finding> {
    let work = move || {
        let mut findings = findings;
        finding::sort(&mut findings);
        locate(&mut findings, &mut Texts::default());
        findings
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "locating findings failed");
        Vec::new()
    })
}

fn log_publish(
    before: &Snapshot,
    after: &Snapshot,
    objects: &Objects,
    report: &Report,
    compile_time: Duration,
) {
    let (old, new) = (endpoints(before), endpoints(after));
    tracing::info!(
        generation = before.generation.0 + 1,
        objects = objects.total().all,
        findings = report.findings.len(),
        endpoints_added = new.difference(&old).count(),
        endpoints_removed = old.difference(&new).count(),
        ms = u64::try_from(compile_time.as_millis()).unwrap_or(u64::MAX),
        "published"
    );
}

/// Logs what is wrong and was not before; edits that move a finding to another line are no news.
fn log_findings(before: &[Finding], now: &[Finding]) {
    let known: BTreeSet<_> = before.iter().map(substance).collect();
    let is_news = |finding: &&Finding| {
        finding.severity < Severity::Note && !known.contains(&substance(finding))
    };
    let mut news = now.iter().filter(is_news);
    for finding in news.by_ref().take(MOST_LOGGED) {
        tracing::warn!("{finding}");
    }
    let more = news.count();
    if more > 0 {
        tracing::warn!(more, "and further findings: see /report, or `rutter check`");
    }
}

/// A finding without its place.
fn substance(finding: &Finding) -> (Code, &Option<ObjectRef>, &str, &str) {
    (finding.code, &finding.object, &finding.field, &finding.message)
}

/// A directory that is wrong throughout must not flood the log.
const MOST_LOGGED: usize = 20;

fn endpoints(snapshot: &Snapshot) -> BTreeSet<(&BackendId, EndpointId)> {
    snapshot
        .backends
        .iter()
        .flat_map(|(id, backend)| backend.endpoints.iter().map(move |endpoint| (id, endpoint.id)))
        .collect()
}

#[cfg(test)]
mod tests;
