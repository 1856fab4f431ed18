//! The whole program in process, on addresses of its own.
//!
//! Every test gets a /24 of loopback (all of 127.0.0.0/8 can be bound on Linux) for its virtual
//! addresses, pods and listeners, so that ports can be what the manifests say and tests still run
//! side by side. Nothing sleeps: tests wait for an applied generation.

#![allow(
    dead_code,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    reason = "each test file uses its own part of what is no library"
)]

pub mod backend;
pub mod dns;
pub mod http;
pub mod metrics;
pub mod netns;
pub mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rutter::app::{App, Handle, Objects};
use rutter::config::{Args, Config};
use rutter::snapshot::Generation;
use rutter::store::Status;
use tempfile::TempDir;

/// A /24 of loopback that no other test uses: `127.A.B.0`.
pub struct Block {
    a: u8,
    b: u8,
    _claim: UdpSocket,
}

impl Block {
    /// Claims the next free block. The claim is a socket, so it holds between processes too.
    pub fn claim() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        loop {
            let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) * 7 + std::process::id();
            let [_, _, a, b] = (offset % 0x6000 + 0x8000).to_be_bytes();
            if let Ok(claim) = UdpSocket::bind((Ipv4Addr::new(127, a, b, 254), 9)) {
                return Self { a, b, _claim: claim };
            }
        }
    }

    /// Address number `last` of the block.
    pub fn ip(&self, last: u8) -> IpAddr {
        IpAddr::from([127, self.a, self.b, last])
    }

    /// That address with a port.
    pub fn addr(&self, last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip(last), port)
    }

    /// `127.A.B`, which manifests in tests write as `NET.`.
    pub fn prefix(&self) -> String {
        format!("127.{}.{}", self.a, self.b)
    }
}

/// A running rutter: HTTP on `NET.2:80`, HTTPS on `NET.2:443`, DNS on `NET.3:53`, virtual
/// addresses from `NET.0/26`, load balancers from `NET.64/27`, NodePorts on `NET.2`.
pub struct Site {
    pub block: Block,
    pub dir: TempDir,
    pub handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Site {
    /// Starts with `manifests` (in which `NET` stands for the block) and waits until they serve.
    pub fn start(manifests: &str) -> Self {
        Self::start_with(manifests, |_| {})
    }

    /// The same, with other options.
    pub fn start_with(manifests: &str, change: impl FnOnce(&mut Args)) -> Self {
        Self::start_in(Block::claim(), manifests, change)
    }

    /// The same, in a block that was claimed before (because its pods run already).
    pub fn start_in(block: Block, manifests: &str, change: impl FnOnce(&mut Args)) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let text = filled(manifests, &block);
        std::fs::write(dir.path().join("main.yaml"), text).expect("a file");
        let mut args = arguments(&block, dir.path());
        change(&mut args);
        let config = Config::new(&args).expect("options must be good");
        let objects = Objects::Directory(config.manifests.clone());
        let app = App::build(config, objects).expect("it must start");
        let handle = app.handle();
        let thread = std::thread::spawn(move || app.run().expect("it must run"));
        let site = Self { block, dir, handle, thread: Some(thread) };
        site.wait("the first snapshot", |status| status.generation > Generation(0));
        site.wait_bound();
        site
    }

    /// Waits a moment until what could not be bound at first is; some tests mean it not to be. What
    /// was not bound explains a connection that is refused, so it is told if the test fails.
    fn wait_bound(&self) {
        let mut unbound = self.handle.unbound();
        for failure in unbound.borrow().iter() {
            eprintln!("at the start: {}", failure.message);
        }
        block_on(async {
            let all = unbound.wait_for(|it| it.is_empty());
            let _ = tokio::time::timeout(PATIENCE_TO_BIND, all).await;
        });
    }

    /// Writes a file and waits until what it says is served everywhere.
    pub fn save(&self, name: &str, manifests: &str) {
        let compiles = self.status().compiles;
        self.write(name, manifests);
        self.wait("the change", |status| status.compiles > compiles && !status.is_waiting);
    }

    /// Writes a file as an editor does (a new file renamed into place), and waits for nothing.
    pub fn write(&self, name: &str, manifests: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let draft = self.dir.path().join(format!(".{name}.draft"));
        std::fs::write(&draft, filled(manifests, &self.block)).expect("a file");
        std::fs::rename(&draft, &path).expect("a file in place");
        path
    }

    /// Deletes a file and waits until it is gone for the planes too.
    pub fn remove(&self, name: &str) {
        let compiles = self.status().compiles;
        std::fs::remove_file(self.dir.path().join(name)).expect("the file");
        self.wait("the removal", |status| status.compiles > compiles && !status.is_waiting);
    }

    /// What the control plane did last.
    pub fn status(&self) -> Status {
        self.handle.status().borrow().clone()
    }

    /// Waits until the status is as wanted and its generation is applied by every worker.
    pub fn wait(&self, what: &str, mut wanted: impl FnMut(&Status) -> bool) {
        block_on(async {
            let mut status = self.handle.status();
            let waiting = async {
                let generation =
                    status.wait_for(|status| wanted(status)).await.expect("running").generation;
                let mut applied = self.handle.applied();
                applied.wait_for(|applied| *applied >= generation).await.expect("running");
            };
            tokio::time::timeout(PATIENCE, waiting)
                .await
                .unwrap_or_else(|_| panic!("waited in vain for {what}"));
        });
    }

    /// Where HTTP listens.
    pub fn http(&self) -> SocketAddr {
        self.block.addr(2, 80)
    }

    /// Where HTTPS listens.
    pub fn https(&self) -> SocketAddr {
        self.block.addr(2, 443)
    }

    /// Where DNS listens.
    pub fn dns(&self) -> SocketAddr {
        self.block.addr(3, 53)
    }

    /// Where the admin API listens.
    pub fn admin(&self) -> SocketAddr {
        self.block.addr(2, 9901)
    }

    /// Terminates it and waits for its end.
    pub fn stop(mut self) {
        self.handle.terminate();
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it must end without a panic");
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.handle.terminate();
        self.handle.terminate();
        if !std::thread::panicking() {
            self.join();
        }
    }
}

/// `NET.` stands for the block. (Not `NET` alone, which a certificate may have in its base64.)
fn filled(manifests: &str, block: &Block) -> String {
    manifests.replace("NET.", &format!("{}.", block.prefix()))
}

/// The options of a [`Site`].
pub fn arguments(block: &Block, dir: &Path) -> Args {
    let net = block.prefix();
    Args {
        manifests: vec![dir.display().to_string()],
        service_cidr: vec![format!("{net}.0/26")],
        pod_cidr: vec![format!("{net}.128/26")],
        lb_pool: vec![format!("{net}.64/27")],
        ingress_address: vec![format!("{net}.2")],
        nodeport_addresses: vec![format!("{net}.2")],
        node_ip: vec![format!("{net}.2")],
        node_name: Some("node-a".into()),
        dns_listen: Some(format!("{net}.3:53")),
        dns_upstream: vec!["off".into()],
        admin: Some(format!("{net}.2:9901")),
        workers: Some("2".into()),
        drain_timeout: Some("5s".into()),
        poll: Some("500ms".into()),
        ..Args::default()
    }
}

/// Runs a future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// Somewhat longer than the time after which binding is tried again.
const PATIENCE_TO_BIND: Duration = Duration::from_secs(6);

/// How long a test waits before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
