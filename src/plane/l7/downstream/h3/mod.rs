//! Clients that speak HTTP/3 (RFC 9114), by quinn and h3. Only with the feature `http3`.
//!
//! In: a UDP socket of this worker, and the listener of the snapshot that it belongs to. Out: the
//! same exchanges as from HTTP/2, whose code for requests and responses is used. Called by
//! `worker`, through [`Server::serve_datagrams`].
//!
//! quinn keeps the connections, a task each; h3 reads frames and fields; each stream of a request is
//! a task, which ends with its connection.
//!
//! Invariant: a connection belongs to the worker whose socket its packets come by. The kernel
//! chooses the socket by addresses and ports, so that clients cannot take a connection along to
//! another address: they open another one.
//! Invariant: no early data (0-RTT), which could be played again.
//! Invariant: no frame but those of bodies is read that is longer than a head may be ([`guard`]):
//! h3 itself would keep any length in memory.
//! A client that wants no response any more is noticed when the next piece of it is sent: h3 does not
//! tell before. Until then its stream counts among those that the connection may have.
//! Deliberately absent: push, datagrams, WebTransport, CONNECT.

mod connection;
mod endpoint;
mod guard;
mod request;
mod response;

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

use crate::plane::l7::Server;
use crate::snapshot::SocketKey;

impl Server {
    /// Serves HTTP/3 on a socket until the task is aborted; connections go on until they end. Each
    /// keeps what `hold` gives for as long as it lives; those that it gives nothing are refused.
    pub async fn serve_datagrams<T: 'static>(
        self: Rc<Self>,
        socket: UdpSocket,
        key: SocketKey,
        hold: impl Fn(SocketAddr) -> Option<T> + 'static,
    ) {
        endpoint::serve(self, socket, key, hold).await;
    }
}
