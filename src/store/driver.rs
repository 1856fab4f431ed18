//! Wait → debounce → compile → publish → report: the control plane in one screenful.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout_at};

use super::{Changes, Inbox, Objects, hosts};
use crate::compile::{
    Allocations, Compiled, HostsFiles, Issued, Report, Settings, SliceChanges, compile, patch,
};
use crate::life::{Drain, spawn_local};
use crate::manifest::{Code, Finding, Kind, ObjectRef, Severity, finding};
use crate::snapshot::cell::Publisher;
use crate::snapshot::{Backend, BackendId, Generation, Snapshot};
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
    /// How long the first of the changes had waited for others before that.
    pub collect_time: Duration,
    /// A text may not be whole yet, so that another look at it follows soon.
    pub is_waiting: bool,
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
    issued: watch::Receiver<Issued>,
    publisher: Publisher,
    status: watch::Sender<Status>,
    drain: Drain,
) {
    let (hosts, read) = watch::channel(settings.dns_hosts.clone());
    if !settings.dns_hosts.paths.is_empty() {
        spawn_local("hosts", hosts::follow(hosts, drain.clone()));
    }
    let (options, certificates) = (settings.clone(), issued.clone());
    let driver = Driver {
        batches,
        hosts: read,
        issued,
        compile: move |objects: &Objects, hosts: HostsFiles, held: &Allocations| {
            let issued = certificates.borrow().clone();
            let settings = Settings { dns_hosts: hosts, issued, ..options.clone() };
            compile(objects, &settings, held, now())
        },
        settings,
        inbox: Inbox::default(),
        changed: None,
        collect_time: Duration::ZERO,
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
    /// Certificates that were ordered; without a sender they stay so.
    issued: watch::Receiver<Issued>,
    /// [`compile`], or what a test puts in its place.
    compile: C,
    /// For [`patch`], which has nothing to do with hosts files.
    settings: Settings,
    inbox: Inbox,
    /// When the first change came that is not compiled yet.
    changed: Option<Instant>,
    collect_time: Duration,
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
                Ok(()) = self.issued.changed() => self.inbox.changes = Changes::Any,
                _ = again.tick() => {}
            }
            if self.inbox.is_synced {
                self.update().await;
            }
        }
    }

    /// Takes in batches until none has come for a moment.
    async fn collect(&mut self, first: Batch) {
        let now = Instant::now();
        let deadline = now + PATIENCE;
        self.changed.get_or_insert(now);
        self.inbox.apply(first);
        while let Ok(Some(batch)) =
            timeout_at(deadline.min(Instant::now() + QUIET), self.batches.recv()).await
        {
            self.inbox.apply(batch);
        }
    }

    async fn update(&mut self) {
        let start = Instant::now();
        self.collect_time = self.changed.take().map_or(Duration::ZERO, |first| start - first);
        let changes = std::mem::take(&mut self.inbox.changes);
        let before = self.publisher.current();
        if let Changes::Slices(slices) = &changes
            && !self.hosts.has_changed().unwrap_or_default()
            && let Some((snapshot, report)) = self.patched(&before, slices)
        {
            let compile_time = start.elapsed();
            let published = self.publish(&before, snapshot, &report, compile_time);
            return self.tell(published, report, compile_time);
        }
        let hosts = self.hosts.borrow_and_update().clone();
        let Compiled { mut snapshot, mut report, allocations } =
            (self.compile)(&self.inbox.objects, hosts, &self.allocations);
        let has_failed =
            allocations.has_broken_corefile() && !self.allocations.has_broken_corefile();
        self.corefile_failures += u64::from(has_failed);
        self.allocations = allocations;
        let compile_time = start.elapsed();
        (snapshot.generation, snapshot.serial) = (before.generation, before.serial);
        snapshot.synced = true;
        report.findings.extend(self.inbox.findings.iter().cloned());
        let published = self.publish(&before, snapshot, &report, compile_time);
        report.findings = located(report.findings).await;
        log_findings(&self.status.borrow().report.findings, &report.findings);
        self.tell(published, Arc::new(report), compile_time);
    }

    /// The next snapshot and report, if only slices have changed and nothing more follows from it
    /// than [`patch`] knows: then what was found is what there is to find.
    fn patched(
        &mut self,
        before: &Snapshot,
        slices: &SliceChanges,
    ) -> Option<(Snapshot, Arc<Report>)> {
        let (objects, held) = (&self.inbox.objects, &mut self.allocations);
        let snapshot = patch(objects, &self.settings, held, before, slices)?;
        let (kind, count) = (Kind::EndpointSlice, objects.endpoint_slices.len());
        let mut report = self.status.borrow().report.clone();
        if report.objects.get(&kind).copied().unwrap_or_default() != count {
            Arc::make_mut(&mut report).count(kind, count);
        }
        Some((snapshot, report))
    }

    /// Publishes a snapshot, unless there is nothing new in it; gives when.
    fn publish(
        &mut self,
        before: &Snapshot,
        mut snapshot: Snapshot,
        report: &Report,
        compile_time: Duration,
    ) -> Option<SystemTime> {
        if snapshot == *before {
            return None;
        }
        let now = now();
        snapshot.serial = serial(before.serial, now);
        self.publisher.publish(snapshot);
        let after = self.publisher.current();
        log_publish(before, &after, &self.inbox.objects, report, compile_time);
        Some(now)
    }

    fn tell(&self, published: Option<SystemTime>, report: Arc<Report>, compile_time: Duration) {
        let stale = self.inbox.objects.total().stale;
        self.status.send_modify(|status| {
            *status = Status {
                generation: self.publisher.current().generation,
                compiles: status.compiles + 1,
                compile_time,
                collect_time: self.collect_time,
                is_waiting: self.inbox.is_waiting,
                published: published.or(status.published),
                stale,
                corefile_failures: self.corefile_failures,
                report,
            }
        });
    }
}

/// Batches that come closer together than this are compiled together: what one command changes comes
/// from several watches. A directory has waited for quiet itself …
const QUIET: Duration = Duration::from_millis(3);

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
    tracing::info!(
        generation = after.generation.0,
        objects = objects.total().all,
        findings = report.findings.len(),
        endpoints_added = endpoints_beyond(after, before),
        endpoints_removed = endpoints_beyond(before, after),
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

/// How many endpoints of backends are in one snapshot that are not in the other.
fn endpoints_beyond(snapshot: &Snapshot, other: &Snapshot) -> usize {
    let beyond = |(id, backend): (&BackendId, &Arc<Backend>)| {
        let other = other.backends.get(id);
        if other.is_some_and(|other| Arc::ptr_eq(other, backend)) {
            return 0;
        }
        let known = other.map_or(&[][..], |other| &other.endpoints);
        let known: BTreeSet<_> = known.iter().map(|endpoint| endpoint.id).collect();
        backend.endpoints.iter().filter(|endpoint| !known.contains(&endpoint.id)).count()
    };
    snapshot.backends.beyond(&other.backends).map(beyond).sum()
}

#[cfg(test)]
mod tests;
