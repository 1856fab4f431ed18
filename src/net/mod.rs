//! Sockets and bytes, no policy: bind, connect, copy; frames of a network, for who announces
//! addresses in it.
//!
//! In: addresses and options. Out: sockets in the state that the planes need them in. Called by
//! `plane`, `echo` and `app`. Deliberately absent: what is served, and to whom.

mod arp;
mod bind;
mod copy;
mod datagrams;
mod departures;
mod descriptors;
mod details;
mod ethernet;
mod frames;
mod interfaces;
mod ndp;
mod proxy_protocol;
mod source_filter;
mod stream;

#[cfg(test)]
pub(crate) mod tests;

pub use arp::{ArpOperation, ArpPacket};
pub use bind::{ReusePort, bind_each, bind_udp, bind_udp_as, listen_tcp};
pub use copy::{Connection, Copied, CopyError, Plain, SharedBuffers, copy_both};
pub use datagrams::{Arrival, Inbox, Outbox, enlarge_receive_buffer};
pub use departures::{Departure, send_departures};
pub use descriptors::{listening_budget, raise_limit, upstream_budget};
pub use details::{tell_details, tell_unreachable, unreachable};
pub use ethernet::Mac;
pub use frames::{FrameSocket, Memberships};
pub use interfaces::{Interface, interfaces};
pub use ndp::{NeighbourAdvertisement, NeighbourSolicitation, solicited_node};
pub use proxy_protocol::{NoProxyHeader, ProxyHeader, read_proxy_header};
pub use source_filter::SourceFilter;
pub use stream::{
    ConnectError, TcpOptions, bound_unsent, check_transparent, connect, reached, reset_on_drop,
};
