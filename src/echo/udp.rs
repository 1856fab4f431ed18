//! UDP: every datagram comes back, after the greeting if there is one.

use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::life::Drain;

/// The largest payload of a datagram over IPv4 (65,535 − 20 − 8).
const LARGEST: usize = 65_507;

/// Serves one socket until the drain starts.
pub(super) async fn serve(socket: UdpSocket, greeting: Option<Arc<str>>, drain: Drain) {
    let mut answer = greeting.map_or_else(Vec::new, |line| format!("{line}\n").into_bytes());
    let prefix = answer.len();
    answer.resize(prefix.saturating_add(LARGEST), 0);
    loop {
        let (_, payload) = answer.split_at_mut(prefix);
        let received = tokio::select! {
            biased;
            () = drain.started() => return,
            received = socket.recv_from(payload) => received,
        };
        // errors are about earlier answers that nobody wanted (ICMP); the next datagram is fine
        let Ok((length, client)) = received else { continue };
        if let Some(datagram) = answer.get(..prefix.saturating_add(length)) {
            let _ = socket.send_to(datagram, client).await;
        }
    }
}
