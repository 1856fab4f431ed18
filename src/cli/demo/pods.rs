//! The demo's pods: an echo server in this process for every Pod of the manifests.
//!
//! The directory is scanned again and again, cheaply (modification times), so that pods come and
//! go with the files. Following the store's events instead was rejected: the app shows snapshots
//! to its planes only, and a demo is no reason to change that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::echo::{Bound, Echo, Identity};
use crate::life::{DrainSignal, drain, spawn_local};
use crate::manifest::pod::Pod;
use crate::manifest::{Object, ObjectKey, yaml};
use crate::net::ReusePort;

/// How often the directory is looked at.
const INTERVAL: Duration = Duration::from_millis(200);

/// The pods of a directory, those that run and those that are about to.
#[derive(Debug)]
pub(super) struct Pods {
    dir: PathBuf,
    files: BTreeMap<PathBuf, File>,
    running: BTreeMap<ObjectKey, Running>,
    /// Not served yet.
    bound: Vec<(ObjectKey, Bound)>,
}

/// One file as it was last read.
#[derive(Clone, Debug)]
struct File {
    changed: Option<SystemTime>,
    pods: Vec<Wanted>,
}

/// One pod as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    key: ObjectKey,
    http: BTreeSet<SocketAddr>,
    tcp: BTreeSet<SocketAddr>,
    udp: BTreeSet<SocketAddr>,
}

#[derive(Debug)]
struct Running {
    wanted: Wanted,
    /// Dropped with the pod, which ends it; `None` until it serves.
    signal: Option<DrainSignal>,
}

impl Pods {
    /// Reads the directory and opens the sockets of its pods.
    pub(super) fn bind(dir: &Path) -> anyhow::Result<Self> {
        let mut pods = Self {
            dir: dir.to_owned(),
            files: BTreeMap::new(),
            running: BTreeMap::new(),
            bound: Vec::new(),
        };
        pods.reread()?;
        pods.start()?;
        Ok(pods)
    }

    /// Serves on a thread of its own and follows the directory, until the process ends.
    pub(super) fn spawn(self) -> anyhow::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("pods".to_owned())
            .spawn(move || LocalSet::new().block_on(&runtime, self.follow()))
            .context("cannot start a thread")?;
        Ok(())
    }

    async fn follow(mut self) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            self.serve();
            ticks.tick().await;
            if let Err(error) = self.rescan().await {
                eprintln!("rutter demo: {error:#}");
            }
        }
    }

    async fn rescan(&mut self) -> anyhow::Result<()> {
        if !self.reread()? {
            return Ok(());
        }
        self.retire();
        // the accept loops of the retired close their sockets; an address may move to another pod
        tokio::task::yield_now().await;
        self.start()
    }

    fn wanted(&self) -> BTreeMap<ObjectKey, Wanted> {
        let pods = self.files.values().flat_map(|file| &file.pods);
        pods.map(|pod| (pod.key.clone(), pod.clone())).collect()
    }

    /// Ends the pods that are gone or different.
    fn retire(&mut self) {
        let wanted = self.wanted();
        self.running.retain(|key, running| wanted.get(key) == Some(&running.wanted));
    }

    /// Binds the pods that do not run. One that cannot be bound is told once: it counts as running
    /// until its file changes.
    fn start(&mut self) -> anyhow::Result<()> {
        let mut problem = Ok(());
        for (key, wanted) in self.wanted() {
            if self.running.contains_key(&key) {
                continue;
            }
            match wanted.echo().bind(ReusePort::No) {
                Ok(bound) => self.bound.push((key.clone(), bound)),
                Err(error) => problem = Err(error).with_context(|| format!("pod {key}")),
            }
            self.running.insert(key, Running { wanted, signal: None });
        }
        problem
    }

    /// Serves what was bound.
    fn serve(&mut self) {
        for (key, bound) in self.bound.drain(..) {
            let (signal, drain) = drain();
            if let Some(running) = self.running.get_mut(&key) {
                running.signal = Some(signal);
            }
            spawn_local("pod", async move {
                if let Err(error) = bound.run(drain).await {
                    eprintln!("rutter demo: pod {key}: {error}");
                }
            });
        }
    }

    /// Reads the files that changed. `true`: at least one did.
    fn reread(&mut self) -> anyhow::Result<bool> {
        let paths = manifests(&self.dir)?;
        let before = self.files.len();
        self.files.retain(|path, _| paths.contains_key(path));
        let mut is_changed = self.files.len() != before;
        for (path, changed) in paths {
            if self.files.get(&path).is_some_and(|file| file.changed == changed) {
                continue;
            }
            is_changed = true;
            let known = self.files.remove(&path).map(|file| file.pods).unwrap_or_default();
            let pods = read(&path).unwrap_or(known);
            self.files.insert(path, File { changed, pods });
        }
        Ok(is_changed)
    }
}

/// Every manifest below `dir`, with the time of its last change.
fn manifests(dir: &Path) -> anyhow::Result<BTreeMap<PathBuf, Option<SystemTime>>> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        let entries =
            fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))?;
        for entry in entries.flatten() {
            let path = entry.path();
            let extension = path.extension().and_then(|text| text.to_str());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(path);
            } else if matches!(extension, Some("yaml" | "yml" | "json")) {
                let changed = entry.metadata().and_then(|metadata| metadata.modified()).ok();
                found.insert(path, changed);
            }
        }
    }
    Ok(found)
}

/// The pods of a file; `None` if a part of it is broken: what ran before goes on, as it does in
/// the store.
fn read(path: &Path) -> Option<Vec<Wanted>> {
    let text = fs::read_to_string(path).ok()?;
    let decoded = yaml::decode(&path.to_string_lossy(), &text);
    let pod = |object: &Object| match object {
        Object::Pod(pod) => Wanted::of(pod),
        _ => None,
    };
    let is_broken = !decoded.broken.is_empty();
    (!is_broken).then(|| decoded.objects.iter().filter_map(|(object, _)| pod(object)).collect())
}

impl Wanted {
    /// `None`: the pod has no address.
    fn of(pod: &Pod) -> Option<Self> {
        let ip = pod.status.pod_ip.as_ref()?.parse::<IpAddr>().ok()?;
        let mut wanted = Self {
            key: pod.metadata.key(),
            http: BTreeSet::new(),
            tcp: BTreeSet::new(),
            udp: BTreeSet::new(),
        };
        for port in pod.spec.containers.iter().flat_map(|container| &container.ports) {
            let Ok(number) = u16::try_from(port.container_port) else { continue };
            let name = port.name.as_deref().unwrap_or_default();
            let addrs = match port.protocol.as_deref() {
                Some("UDP") => &mut wanted.udp,
                Some("TCP") | None if name.starts_with("http") => &mut wanted.http,
                Some("TCP") | None => &mut wanted.tcp,
                Some(_) => continue,
            };
            addrs.insert(SocketAddr::new(ip, number));
        }
        Some(wanted)
    }

    fn echo(&self) -> Echo {
        Echo {
            http: self.http.iter().copied().collect(),
            tcp: self.tcp.iter().copied().collect(),
            udp: self.udp.iter().copied().collect(),
            identity: Identity {
                pod: self.key.name.clone(),
                namespace: self.key.namespace.clone(),
                greeting: Some(self.key.name.clone()),
                ..Identity::default()
            },
            json: false,
        }
    }
}
