//! What is known of one upstream.

use std::cell::Cell;
use std::net::SocketAddr;

/// An upstream of one domain, and how it does.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) addr: SocketAddr,
    /// Empty, or a stub domain.
    pub(super) domain: Box<str>,
    failures: Cell<u32>,
    is_loop: Cell<bool>,
}

impl Upstream {
    pub(super) fn new(addr: SocketAddr, domain: &str) -> Self {
        Self { addr, domain: domain.into(), failures: Cell::new(0), is_loop: Cell::new(false) }
    }

    /// Whether others are asked first.
    pub(super) fn is_down(&self) -> bool {
        self.failures.get() >= FAILURES
    }

    /// Whether it asks us what we ask it.
    pub(super) fn is_loop(&self) -> bool {
        self.is_loop.get()
    }

    /// It has answered, whatever it was.
    pub(super) fn note_answer(&self) {
        self.failures.set(0);
    }

    /// It has not answered; `true`: this is what makes it count as down.
    pub(super) fn note_failure(&self) -> bool {
        let was_down = self.is_down();
        self.failures.set(self.failures.get().saturating_add(1));
        self.is_down() && !was_down
    }

    /// Whether it loops; `true`: that is new.
    pub(super) fn note_loop(&self, is_loop: bool) -> bool {
        self.is_loop.replace(is_loop) != is_loop
    }
}

/// Failures in a row that make an upstream count as down, as by CoreDNS.
const FAILURES: u32 = 2;
