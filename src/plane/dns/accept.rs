//! The accept loop of a DNS listener.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::connections::Connection;
use super::server::{BACK_OFF, Server};
use super::{connection, https, tls};
use crate::life::spawn_local;
use crate::observe::DnsTransport;
use crate::plane::tls::Stream;
use crate::snapshot::{SocketKey, Transport};

/// A listener, and what is spoken there.
#[derive(Debug)]
pub(super) struct Listener {
    listener: TcpListener,
    transport: DnsTransport,
    key: SocketKey,
}

impl Listener {
    /// Takes over a listener, if there is one.
    pub(super) fn new(
        listener: Option<std::net::TcpListener>,
        transport: DnsTransport,
    ) -> io::Result<Option<Self>> {
        let Some(listener) = listener else { return Ok(None) };
        let listener = TcpListener::from_std(listener)?;
        let key = SocketKey { transport: Transport::Tcp, addr: listener.local_addr()? };
        Ok(Some(Self { listener, transport, key }))
    }
}

/// Accepts connections for ever, each with a task of its own. Never ends without a listener either.
pub(super) async fn run(server: &Rc<Server>, listener: Option<Listener>) {
    let Some(Listener { listener, transport, key }) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, client)) => begin(server, stream, client, transport, key),
            // it is gone already
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // whoever holds all descriptors by idle connections keeps nobody out
            Err(error) if is_exhausted(&error) && server.connections.make_room() => {
                tokio::task::yield_now().await;
            }
            Err(error) => {
                tracing::warn!(%error, %key, "cannot accept DNS connections");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Whether the process is out of descriptors.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// Serves a connection if there is a place for it: else it is closed at once, which costs no more
/// than a refusal.
fn begin(
    server: &Rc<Server>,
    stream: TcpStream,
    client: SocketAddr,
    transport: DnsTransport,
    key: SocketKey,
) {
    let Some(connection) = server.connections.admit(transport, client.ip()) else { return };
    // answers are small and must not wait; a socket that is gone shows at the first read
    let _ = stream.set_nodelay(true);
    let task = spawn(server.clone(), stream, connection.clone(), key);
    connection.begin(task.abort_handle());
}

fn spawn(
    server: Rc<Server>,
    stream: TcpStream,
    connection: Rc<Connection>,
    key: SocketKey,
) -> JoinHandle<()> {
    match connection.transport {
        DnsTransport::Udp | DnsTransport::Tcp => {
            let stream = Stream::Plain(stream);
            spawn_local("dns connection", connection::serve(server, stream, connection))
        }
        DnsTransport::Tls => spawn_local("dns over tls", async move {
            let session = tls::shake_hands(&server, stream, &connection, key).await;
            if let Some(session) = session {
                connection::serve(server, session.stream, connection).await;
            }
        }),
        DnsTransport::Https => spawn_local("dns over https", async move {
            let session = tls::shake_hands(&server, stream, &connection, key).await;
            if let Some(session) = session {
                https::serve(server, session, connection).await;
            }
        }),
    }
}
