//! The demo's pods: an echo server in this process for every Pod of the manifests.
//!
//! The directory is watched a second time, by the same source that the app has. Asking the app
//! for its objects was rejected: planes only ever see snapshots, and a demo is no reason to
//! change that.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::{JoinHandle, LocalSet};

use crate::echo::{Bound, Echo, Identity};
use crate::life::{DrainSignal, drain, spawn_local};
use crate::manifest::ObjectKey;
use crate::manifest::pod::Pod;
use crate::net::ReusePort;
use crate::source::Batch;
use crate::source::directory::{DEFAULT_POLL, Directory, Watch, watch};
use crate::store::Inbox;

/// The pods of a directory.
#[derive(Debug)]
pub(super) struct Pods {
    inbox: Inbox,
    batches: Receiver<Batch>,
    running: BTreeMap<ObjectKey, Running>,
    /// Not served yet.
    bound: Vec<(ObjectKey, Bound)>,
    /// Ends with the pods.
    _watch: Watch,
}

#[derive(Debug)]
struct Running {
    wanted: Wanted,
    /// How to end it, and its end; `None` until it serves.
    served: Option<(DrainSignal, JoinHandle<()>)>,
}

/// One pod as it is written: where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    key: ObjectKey,
    http: BTreeSet<SocketAddr>,
    tcp: BTreeSet<SocketAddr>,
    udp: BTreeSet<SocketAddr>,
}

impl Pods {
    /// Reads the directory and opens the sockets of its pods.
    pub(super) fn bind(dir: &Path) -> anyhow::Result<Self> {
        let mut directory = Directory::open(&[dir.to_owned()])?;
        let mut inbox = Inbox::default();
        inbox.apply(directory.scan());
        let (sender, batches) = mpsc::channel(1);
        let watch = watch(directory, DEFAULT_POLL, sender).context("cannot start a thread")?;
        let (running, bound) = Default::default();
        let mut pods = Self { inbox, batches, running, bound, _watch: watch };
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
        self.serve();
        while let Some(batch) = self.batches.recv().await {
            self.inbox.apply(batch);
            self.retire().await;
            if let Err(error) = self.start() {
                eprintln!("rutter demo: {error:#}");
            }
            self.serve();
        }
    }

    fn wanted(&self) -> BTreeMap<ObjectKey, Wanted> {
        let pods = self.inbox.objects.pods.values();
        let wanted = pods.filter_map(|stored| Wanted::of(&stored.object));
        wanted.map(|pod| (pod.key.clone(), pod)).collect()
    }

    /// Ends the pods that are gone or different. Their sockets are closed then, as an address may
    /// go over to another pod.
    async fn retire(&mut self) {
        let wanted = self.wanted();
        let is_retired =
            |key: &ObjectKey, running: &mut Running| wanted.get(key) != Some(&running.wanted);
        let retired: Vec<_> = self.running.extract_if(.., is_retired).collect();
        for (signal, end) in retired.into_iter().filter_map(|(_, running)| running.served) {
            signal.start();
            let _ = end.await;
        }
    }

    /// Binds the pods that do not run. One that cannot be bound is tried again with the next
    /// change: a renamed pod has its address only after the old name is gone.
    fn start(&mut self) -> anyhow::Result<()> {
        let mut problem = Ok(());
        for (key, wanted) in self.wanted() {
            if self.running.contains_key(&key) {
                continue;
            }
            match wanted.echo().bind(ReusePort::No) {
                Ok(bound) => {
                    self.bound.push((key.clone(), bound));
                    self.running.insert(key, Running { wanted, served: None });
                }
                Err(error) => problem = Err(error).with_context(|| format!("pod {key}")),
            }
        }
        problem
    }

    /// Serves what was bound.
    fn serve(&mut self) {
        for (key, bound) in self.bound.drain(..) {
            let (signal, drain) = drain();
            let running = self.running.get_mut(&key);
            let end = spawn_local("pod", async move {
                if let Err(error) = bound.run(drain).await {
                    eprintln!("rutter demo: pod {key}: {error}");
                }
            });
            if let Some(running) = running {
                running.served = Some((signal, end));
            }
        }
    }
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
            ..Echo::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::net::TcpStream;

    use super::*;

    fn write(dir: &Path, name: &str, ip: &str, port: u16) {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  \
             - ports: [{{name: redis, containerPort: {port}}}]\nstatus: {{podIP: {ip}}}\n"
        );
        std::fs::write(dir.join("pod.yaml"), text).unwrap();
    }

    /// Connects when somebody listens, and reads the greeting.
    async fn greeting(addr: (&str, u16)) -> String {
        let stream = loop {
            match TcpStream::connect(addr).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    }

    #[tokio::test]
    async fn pods_follow_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.97.250.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        write(dir.path(), "first", "127.97.250.1", port);
        let pods = Pods::bind(dir.path()).unwrap();
        let scenario = async {
            spawn_local("pods", pods.follow());
            assert_eq!(greeting(("127.97.250.1", port)).await, "first\n");
            write(dir.path(), "second", "127.97.250.2", port);
            assert_eq!(greeting(("127.97.250.2", port)).await, "second\n");
            // the source believes that the second is gone a moment after the third is there
            write(dir.path(), "third", "127.97.250.2", port);
            while greeting(("127.97.250.2", port)).await != "third\n" {}
        };
        let deadline = Duration::from_secs(10);
        tokio::time::timeout(deadline, LocalSet::new().run_until(scenario)).await.unwrap();
    }
}
