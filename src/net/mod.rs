//! Sockets and bytes, no policy: bind, connect, copy.
//!
//! In: addresses and options. Out: sockets in the state that the planes need them in. Called by
//! `plane`, `echo` and `app`. Deliberately absent: what is served, and to whom.

mod bind;
mod copy;
mod datagrams;
mod descriptors;
mod stream;

#[cfg(test)]
mod tests;

pub use bind::{ReusePort, bind_udp, listen_tcp};
pub use copy::{Copied, CopyError, SharedBuffer, copy_both};
pub use datagrams::{Inbox, Outbox, enlarge_receive_buffer};
pub use descriptors::{listening_budget, raise_limit};
pub use stream::{ConnectError, connect, reached, reset_on_drop, set_options};
