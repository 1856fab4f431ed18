//! In place of HTTP/3, in a build without the feature `http3`: options do not ask for it, so that no
//! socket of UDP serves HTTP.

use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;

use crate::plane::l7::Server;
use crate::snapshot::SocketKey;

impl Server {
    /// Closes the socket.
    pub async fn serve_datagrams<T: 'static>(
        self: Rc<Self>,
        socket: UdpSocket,
        key: SocketKey,
        _: impl Fn(SocketAddr) -> Option<T> + 'static,
    ) {
        tracing::error!(%key, "this build has no HTTP/3");
        drop(socket);
    }
}
