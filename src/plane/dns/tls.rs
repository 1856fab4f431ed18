//! The TLS of DNS over TLS and HTTPS: one certificate, that of the snapshot of now.

use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::connections::Connection;
use super::server::Server;
use crate::observe::{DnsRefusal, DnsTransport};
use crate::plane::tls::{self, Content, Session};
use crate::snapshot::SocketKey;

/// Shakes hands in time. `None`: it failed, or there is no certificate, and the connection is closed.
pub(super) async fn shake_hands(
    server: &Rc<Server>,
    stream: TcpStream,
    connection: &Connection,
    key: SocketKey,
) -> Option<Session> {
    let table = server.local.snapshot.load().dns_tls.clone();
    let content = match connection.transport {
        DnsTransport::Https => Content::Http,
        DnsTransport::Udp | DnsTransport::Tcp | DnsTransport::Tls => Content::Dns,
    };
    let handshake = async {
        let start = LazyConfigAcceptor::new(Default::default(), stream).await?;
        Box::pin(tls::accept(&server.local, key, &table, content, start)).await
    };
    // boxed, so that it leaves no room behind in a connection that is idle
    let session = timeout(server.limits.handshake, Box::pin(handshake)).await;
    match session {
        Ok(Ok(session)) => session,
        failed => {
            server.local.observer.refuse_dns(connection.transport, DnsRefusal::Handshake);
            if let Ok(Err(failed)) = failed {
                failed.linger(&server.local.limits).await;
            }
            None
        }
    }
}
