//! Keeps the sockets as the snapshot wants them.
//!
//! In: snapshots. Out: bound sockets for the workers ([`Change`]), what could not be bound
//! ([`Unbound`]), and the generation that every worker has applied. Called by `worker`, which
//! spawns the reconciler on the control thread, so that all binding and all failing happens in
//! one place.
//!
//! An address that nobody is behind has no socket, so that the kernel refuses whoever comes; such
//! refusals are in no metric and in no log. Only where a socket on every address has the same port it
//! keeps its own, or the other would answer: its connections are reset (`no_ready_endpoint`).
//!
//! Where addresses are announced, nothing is closed before that has ended, and it begins once every
//! worker has applied what is open ([`AnnounceGate`](super::AnnounceGate)).
//!
//! A socket that stays wanted is never opened anew, whatever it serves; one that is wanted no more
//! is drained (its queue is accepted empty) before it is closed. What cannot be bound is retried
//! with every change and every few seconds, and keeps nothing else from serving.

mod plan;
mod reconcile;
mod unbound;

#[cfg(test)]
mod tests;

use std::net::{TcpListener, UdpSocket};

use crate::snapshot::{Generation, SocketKey};

pub use reconcile::{Reconciler, warn_of_shared};
pub use unbound::{Unbound, remedy};

/// What a worker is told to do, in order.
#[derive(Debug)]
pub enum Change {
    /// Accept from this socket.
    OpenTcp(SocketKey, TcpListener),
    /// Receive from this socket.
    OpenUdp(SocketKey, UdpSocket),
    /// Accept what is queued, then close.
    Close(SocketKey),
    /// Everything up to this generation is told; answer with it.
    Applied(Generation),
}
