//! UDP: every datagram comes back, after the greeting if there is one, or within JSON.

use serde::Serialize;
use tokio::net::UdpSocket;

use super::Identity;
use crate::life::Drain;

/// The largest payload of a datagram over IPv4 (65,535 − 20 − 8).
const LARGEST: usize = 65_507;

/// Serves one socket until the drain starts. Answers in JSON where `json` says so.
pub(super) async fn serve(socket: UdpSocket, identity: Identity, json: bool, drain: Drain) {
    let greeting = identity.greeting.as_ref().filter(|_| !json);
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
        let Some(datagram) = answer.get(..prefix.saturating_add(length)) else { continue };
        let _ = if json {
            socket.send_to(&told(datagram, &identity), client).await
        } else {
            socket.send_to(datagram, client).await
        };
    }
}

/// A datagram and who answers it.
#[derive(Debug, Serialize)]
struct Told<'a> {
    request: &'a str,
    namespace: &'a str,
    ingress: &'a str,
    service: &'a str,
    pod: &'a str,
}

fn told(datagram: &[u8], identity: &Identity) -> Vec<u8> {
    let told = Told {
        request: &String::from_utf8_lossy(datagram),
        namespace: &identity.namespace,
        ingress: &identity.ingress,
        service: &identity.service,
        pod: &identity.pod,
    };
    // text alone cannot fail
    serde_json::to_vec(&told).unwrap_or_default()
}
