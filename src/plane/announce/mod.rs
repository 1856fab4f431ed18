//! Answers for addresses of load balancers in the network of the node: ARP for IPv4, neighbour
//! discovery for IPv6, as MetalLB does it (`internal/layer2`). Who does so is decided in `compile`.
//!
//! In: the addresses that this node [is to announce](crate::snapshot::Snapshot::announced), those
//! that have [`Served`] sockets, frames of the interfaces. Out: answers with the MAC of the interface
//! that was asked; where an address is taken over, gratuitous ARP and unsolicited advertisements at
//! once and every 1.1 s for 5 s. Called by `app`, which runs it on the control thread.
//!
//! Invariant: an address is announced only while it is wanted, and only once every worker has
//! applied a generation that wants it and it has a socket ([`State`] decides that; it does no I/O).
//! Invariant: it is announced no more before its sockets are closed ([`AnnounceGate`]), and before
//! the drain of the process begins.
//! Deliberately absent: taking addresses (they are on loopback, or routes of the table `local`), and
//! anything that outlasts the process: nobody is told that an address is gone.

mod state;
mod task;

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use rustix::io::Errno;
use tokio::sync::watch;

use super::{AnnounceGate, Served};
use crate::net::FrameSocket;
use crate::observe::AnnounceCounts;
use crate::snapshot::Generation;

pub use state::State;

/// What announces; [`Announcer::run`] it.
#[derive(Debug)]
pub struct Announcer {
    /// Names of the interfaces to announce on; `None`: every one that has neighbours.
    chosen: Option<Vec<Arc<str>>>,
    counts: Arc<AnnounceCounts>,
    served: watch::Receiver<Served>,
    withdrawn: watch::Sender<Generation>,
}

impl Announcer {
    /// Makes it, with the gate for whoever opens and closes sockets. Fails without CAP_NET_RAW.
    pub fn new(
        chosen: Option<Vec<Arc<str>>>,
        counts: Arc<AnnounceCounts>,
    ) -> io::Result<(Self, AnnounceGate)> {
        FrameSocket::check_permission()?;
        let (serve, served) = watch::channel(Served::default());
        let (withdraw, withdrawn) = watch::channel(Generation::default());
        let gate = AnnounceGate { withdrawn, served: serve };
        Ok((Self { chosen, counts, served, withdrawn: withdraw }, gate))
    }
}

/// What to do about an [`Announcer`] that cannot be made, in a clause.
pub fn remedy(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            "it needs CAP_NET_RAW: run as root, add the capability \
             NET_RAW to the container, or setcap cap_net_raw+ep the binary"
                .to_owned()
        }
        _ => error.to_string(),
    }
}
