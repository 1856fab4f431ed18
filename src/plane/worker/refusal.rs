//! Connections that there is no room for: reset at once, counted and told of.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::sessions::Session;
use super::thread::Worker;
use crate::life::{Level, Shed};
use crate::plane::{Accepted, l4};
use crate::snapshot::{Exposure, Reason, Serve, SocketKey};

impl Worker {
    /// Why a fresh connection is not taken. Questions after rutter's health always are.
    pub(super) fn refusal(&self, key: SocketKey) -> Option<Reason> {
        let (is_full, level) = (self.sessions.are_full(), self.local.level.get());
        if !is_full && level < Level::Shed {
            return None;
        }
        let snapshot = self.local.snapshot.load();
        let serve = snapshot.listeners.get(&key).map(|spec| &spec.serve);
        match serve {
            Some(Serve::Health(_)) => None,
            _ if is_full => Some(Reason::ConnectionLimit),
            // it costs little to be told so, in the clear
            Some(Serve::Http(http)) if http.tls.is_none() && level == Level::Shed => None,
            _ => {
                self.local.overload.count(Shed::Connection, 1);
                Some(Reason::Overloaded)
            }
        }
    }

    /// A session as one of its client, if that may have another one. Proxies in front bring many
    /// clients, so they have no share.
    pub(super) fn share(&self, session: Session, client: IpAddr) -> Option<Session> {
        let network = self.local.snapshot.load().network.clone();
        if network.is_trusted_proxy(client) { Some(session) } else { session.of_client(client) }
    }

    /// Resets a connection.
    pub(super) fn refuse(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        key: SocketKey,
        reason: Reason,
    ) {
        let snapshot = self.local.snapshot.load();
        let exposure = match snapshot.listeners.get(&key).map(|spec| &spec.serve) {
            Some(Serve::Frontend(frontend)) => frontend.exposure,
            Some(Serve::Http(_) | Serve::Tls(_) | Serve::Health(_)) | None => Exposure::Gateway,
        };
        l4::tcp::refuse(&self.local, &Accepted { stream, client, key }, exposure, reason);
        let now = Instant::now();
        let is_due = self.warned.get().is_none_or(|last| now.duration_since(last) >= WARN_INTERVAL);
        if is_due {
            self.warned.set(Some(now));
            tracing::warn!(%key, %client, %reason, "refusing connections");
        }
    }
}

/// A flood is told of once in so long, by each worker.
const WARN_INTERVAL: Duration = Duration::from_secs(10);
