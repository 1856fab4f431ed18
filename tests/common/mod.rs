//! The program, on addresses of its own.
//!
//! Every test gets a /24 of loopback (all of 127.0.0.0/8 can be bound on Linux) for its virtual
//! addresses, pods and listeners, so that ports can be what the manifests say and tests still run
//! side by side. Tests wait for an applied generation: they ask until it is told.

#![allow(
    dead_code,
    missing_debug_implementations,
    missing_docs,
    unused_imports,
    unreachable_pub,
    reason = "each test file uses its own part of what is no library"
)]

pub mod backend;
pub mod dns;
pub mod http;
pub mod metrics;
pub mod netns;
pub mod site;
pub mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

pub use site::{Options, Site};
use tokio::time::Instant;

/// A /24 of loopback that no other test uses: `127.A.B.0`.
pub struct Block {
    a: u8,
    b: u8,
    _claim: UdpSocket,
}

impl Block {
    /// Claims the next free block. The claim is a socket, so it holds between processes too; where
    /// the admin API listens, the rutter of tests that were killed may be left.
    pub fn claim() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        loop {
            let offset = u32::from(NEXT.fetch_add(1, Ordering::Relaxed)) * 7 + std::process::id();
            let [_, _, a, b] = (offset % 0x6000 + 0x8000).to_be_bytes();
            let is_left = TcpStream::connect((Ipv4Addr::new(127, a, b, 2), 9901)).is_ok();
            if let Ok(claim) = UdpSocket::bind((Ipv4Addr::new(127, a, b, 254), 9))
                && !is_left
            {
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

/// Runs a future on a runtime of its own.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

/// The program: that of this build, or another one that is to be tested, as the one that is released.
pub fn rutter() -> PathBuf {
    let other = std::env::var_os("RUTTER_BINARY");
    let other = other.map(|path| std::path::absolute(path).expect("a path"));
    other.unwrap_or_else(|| env!("CARGO_BIN_EXE_rutter").into())
}

/// Asks again and again until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        pause();
    }
}

/// Between two looks at a process that can only be asked.
#[expect(clippy::disallowed_methods, reason = "there is nothing else to wait for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// How long a test waits before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
