//! Pods: the built-in echo backend, in process.

use std::net::SocketAddr;
use std::thread::JoinHandle;

use rutter::echo::{Echo, Identity};
use rutter::life::{DrainSignal, drain};
use rutter::net::ReusePort;

/// A running pod. When it is dropped, its port refuses and its connections are cut.
pub struct Backend {
    stop: DrainSignal,
    thread: Option<JoinHandle<()>>,
}

impl Backend {
    /// Answers HTTP with JSON that names `pod`.
    pub fn http(addr: SocketAddr, pod: &str) -> Self {
        let identity = Identity { pod: pod.into(), ..Identity::default() };
        Self::start(Echo { http: vec![addr], identity, ..Echo::default() })
    }

    /// Echoes TCP.
    pub fn tcp(addr: SocketAddr) -> Self {
        Self::start(Echo { tcp: vec![addr], ..Echo::default() })
    }

    /// Echoes UDP.
    pub fn udp(addr: SocketAddr) -> Self {
        Self::start(Echo { udp: vec![addr], ..Echo::default() })
    }

    /// Echoes TCP and UDP on one port, and says `pod` first.
    pub fn named(addr: SocketAddr, pod: &str) -> Self {
        let identity = Identity { greeting: Some(pod.into()), ..Identity::default() };
        Self::start(Echo { tcp: vec![addr], udp: vec![addr], identity, ..Echo::default() })
    }

    fn start(echo: Echo) -> Self {
        let bound = echo.bind(ReusePort::No).expect("the pod's address must be free");
        let (stop, drain) = drain();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, bound.run(drain)).expect("the pod must run");
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.start();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
