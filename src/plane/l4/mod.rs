//! L4: what comes in by a listener goes to its backends, whatever it is.
//!
//! In: fresh TCP connections and UDP sockets from `worker`. Out: bytes at endpoints, a record a
//! session or flow. The snapshot is loaded once a session (TCP) or batch of datagrams (UDP).
//!
//! Invariant: who gets which endpoints, and who none, is the snapshot's decision
//! ([`Frontend::verdict`](crate::snapshot::Frontend::verdict)).
//! Invariant: an established session survives every change of the snapshot; only new work goes
//! elsewhere. A flow, which has no end of its own, goes elsewhere when its endpoint is gone.

mod flows;

#[cfg(test)]
mod tests;

pub mod tcp;
pub mod udp;
mod way;
