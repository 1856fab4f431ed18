//! UDP flows.

use std::net::UdpSocket;
use std::rc::Rc;

use crate::plane::Local;
use crate::snapshot::SocketKey;

/// Carries the flows of one socket.
pub async fn serve(_local: Rc<Local>, _socket: UdpSocket, _key: SocketKey) {
    std::future::pending().await
}
