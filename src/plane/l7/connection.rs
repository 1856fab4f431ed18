//! The beginning of a connection: TLS or not, and which protocol.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio_rustls::LazyConfigAcceptor;

use super::downstream::{h1, h2};
use super::forwarded::client_lines;
use super::{Accepted, Identity, Server};
use crate::plane::tls::{self, Content, Hello, Session, Stream};
use crate::snapshot::{HttpListener, SocketKey};

/// Serves a connection to its end.
pub(super) async fn serve(server: &Rc<Server>, accepted: Accepted, listener: Arc<HttpListener>) {
    let Accepted { stream, client, key } = accepted;
    // heads are small and must not wait; a socket that is gone shows at the first read
    let _ = stream.set_nodelay(true);
    let mut identity = identity(key, client, listener.tls.is_some());
    let (stream, is_http2) = match listener.tls.clone() {
        None => (Stream::Plain(stream), false),
        Some(table) => {
            let handshake = async move {
                let start = LazyConfigAcceptor::new(Default::default(), stream).await?;
                Box::pin(tls::accept(&server.local.tls, key, &table, Content::Http, start)).await
            };
            let session = in_time(server, client, Box::pin(handshake)).await;
            let Some(session) = session else { return };
            identity.server_name = session.server_name;
            (session.stream, session.is_http2)
        }
    };
    drop(listener);
    if is_http2 {
        return Box::pin(h2::serve(server, stream, Vec::new(), identity)).await;
    }
    h1::serve(server, stream, identity).await;
}

/// Serves a connection whose client has begun with TLS already. Without certificates on the
/// listener it is closed: the client means something else than what is served by now.
pub(super) async fn serve_tls(
    server: &Rc<Server>,
    accepted: Accepted<Hello>,
    listener: Arc<HttpListener>,
) {
    let Accepted { stream: hello, client, key } = accepted;
    let Some(table) = listener.tls.clone() else { return };
    drop(listener);
    let start = hello.into_handshake();
    let handshake = tls::accept(&server.local.tls, key, &table, Content::Http, start);
    let Some(session) = in_time(server, client, Box::pin(handshake)).await else { return };
    let mut identity = identity(key, client, true);
    identity.server_name = session.server_name;
    if session.is_http2 {
        return Box::pin(h2::serve(server, session.stream, Vec::new(), identity)).await;
    }
    h1::serve(server, session.stream, identity).await;
}

fn identity(key: SocketKey, client: SocketAddr, is_tls: bool) -> Identity {
    let client_lines = client_lines(client, is_tls, key.addr.port());
    Identity { key, client, is_tls, server_name: None, client_lines }
}

/// Shakes hands within [`super::Limits::handshake_time`]. `None`: it failed, and the connection is
/// closed.
async fn in_time(
    server: &Server,
    client: SocketAddr,
    handshake: impl Future<Output = io::Result<Session>>,
) -> Option<Session> {
    let session = tokio::time::timeout(server.limits.handshake_time, handshake).await.ok()?;
    session.inspect_err(|error| tracing::debug!(%client, %error, "no TLS")).ok()
}
