//! A socket and the connections that come by it.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TransportConfig, VarInt};

use super::connection;
use crate::life;
use crate::plane::Limits;
use crate::plane::l7::{Server, http_listener};
use crate::plane::tls::quic_config;
use crate::snapshot::{Reason, SocketKey, TlsTable};

/// Takes connections in until it is dropped.
pub(super) async fn serve<T: 'static>(
    server: Rc<Server>,
    socket: UdpSocket,
    key: SocketKey,
    hold: impl Fn(SocketAddr) -> Option<T> + 'static,
) {
    let configs = Configs { server: server.clone(), key, known: RefCell::default() };
    let listening = match Listening::open(&configs, socket) {
        Ok(listening) => listening,
        Err(error) => return tracing::error!(%key, %error, "cannot serve HTTP/3"),
    };
    let most = server.local.limits.h3_connections;
    while let Some(incoming) = listening.0.accept().await {
        let open = listening.0.open_connections();
        if is_astray(&server, key, &incoming) {
            // it is for a virtual address, where others would answer
            incoming.ignore();
            continue;
        }
        let client = incoming.remote_address();
        if let Some(reason) = refusal(&server, open) {
            connection::note_refused(&server, client, key, reason);
            incoming.refuse();
            continue;
        }
        if open >= most / 2 && !incoming.remote_address_validated() {
            // from now on clients have to be where they say that they are: forged ones get no place
            let _ = incoming.retry();
            continue;
        }
        let Some(held) = hold(client) else {
            connection::note_refused(&server, client, key, Reason::ClientLimit);
            incoming.refuse();
            continue;
        };
        let Some(connecting) = configs.accept(incoming) else {
            connection::note_refused(&server, client, key, Reason::TlsHandshake);
            continue;
        };
        let server = server.clone();
        life::spawn_local("http3", async move {
            Box::pin(connection::serve(server, key, connecting)).await;
            drop(held);
        });
    }
}

/// Why no connection is taken where `open` are.
fn refusal(server: &Server, open: usize) -> Option<Reason> {
    if open >= server.local.limits.h3_connections {
        return Some(Reason::ConnectionLimit);
    }
    server.draining.get().then_some(Reason::Draining)
}

fn is_astray(server: &Server, key: SocketKey, incoming: &Incoming) -> bool {
    let at = incoming.local_ip();
    at.is_some_and(|at| server.local.snapshot.load().is_astray(key, at))
}

/// Takes in nothing more once it is dropped; connections that are open go on.
struct Listening(Endpoint);

impl Listening {
    fn open(configs: &Configs, socket: UdpSocket) -> io::Result<Self> {
        let config = configs.current().ok_or(io::ErrorKind::NotFound)?;
        let config = Some(ServerConfig::clone(&config));
        let runtime = Arc::new(quinn::TokioRuntime);
        Endpoint::new(EndpointConfig::default(), config, socket, runtime).map(Self)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.set_server_config(None);
    }
}

/// What connections are begun with: the certificates of then.
struct Configs {
    server: Rc<Server>,
    key: SocketKey,
    known: RefCell<Option<(Arc<TlsTable>, Arc<ServerConfig>)>>,
}

impl Configs {
    fn accept(&self, incoming: Incoming) -> Option<quinn::Connecting> {
        let Some(config) = self.current() else {
            incoming.refuse();
            return None;
        };
        incoming.accept_with(config).ok()
    }

    /// `None`: the snapshot serves no HTTPS here, or TLS cannot be set up, which is logged.
    fn current(&self) -> Option<Arc<ServerConfig>> {
        let snapshot = self.server.local.snapshot.load();
        let table = http_listener(&snapshot, self.key)?.tls.clone()?;
        drop(snapshot);
        let mut known = self.known.borrow_mut();
        if let Some((of, config)) = &*known
            && (Arc::ptr_eq(of, &table) || **of == *table)
        {
            return Some(config.clone());
        }
        let config = quic_config(table.clone()).ok()?;
        let crypto = QuicServerConfig::try_from(config).ok()?;
        let config = Arc::new(server_config(crypto, &self.server.local.limits));
        *known = Some((table, config.clone()));
        Some(config)
    }
}

fn server_config(crypto: QuicServerConfig, limits: &Limits) -> ServerConfig {
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport(limits)))
        .migration(false)
        .max_incoming(limits.h3_handshakes)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES.saturating_mul(limits.h3_handshakes as u64));
    config
}

/// The limits of HTTP/2, as far as QUIC has the same.
fn transport(limits: &Limits) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(limits.h2_streams.into())
        .max_concurrent_uni_streams(UNIDIRECTIONAL.into())
        .stream_receive_window(limits.h2_stream_window.into())
        .receive_window(limits.h2_window(limits.h2_streams).into())
        .send_window(limits.h2_connection_window.into())
        .keep_alive_interval(Some(limits.h2_ping_interval))
        .max_idle_timeout(idle(limits.h2_ping_interval.saturating_add(limits.h2_ping_time)))
        .datagram_receive_buffer_size(None);
    transport
}

/// QUIC counts milliseconds.
fn idle(after: Duration) -> Option<quinn::IdleTimeout> {
    let millis = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    Some(VarInt::from_u32(millis).into())
}

/// What may wait with a connection that has been announced but not been looked at.
const INCOMING_BYTES: u64 = 16 * 1024;
/// Streams of a connection that carry no request: control, both of QPACK, and what is unknown.
const UNIDIRECTIONAL: u32 = 8;
