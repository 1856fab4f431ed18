//! The beginning of a connection: TLS or not, and which protocol.

use std::rc::Rc;
use std::sync::Arc;

use tokio_rustls::LazyConfigAcceptor;

use super::downstream::{h1, h2};
use super::{Accepted, Identity, Server};
use crate::plane::tls::{self, Content, Hello, Session, Stream};
use crate::snapshot::HttpListener;

/// Serves a connection to its end.
pub(super) async fn serve(server: &Rc<Server>, accepted: Accepted, listener: Arc<HttpListener>) {
    let Accepted { stream, client, key } = accepted;
    // heads are small and must not wait; a socket that is gone shows at the first read
    let _ = stream.set_nodelay(true);
    let mut identity = Identity::new(server, key, client, listener.tls.is_some());
    let stream = match listener.tls.clone() {
        None => Stream::Plain(stream),
        Some(table) => {
            let handshake = async move {
                let start = LazyConfigAcceptor::new(Default::default(), stream).await?;
                Box::pin(tls::accept(&server.local, key, &table, Content::Http, start)).await
            };
            let session = tls::in_time(&server.local, client, key, Box::pin(handshake)).await;
            let Some(session) = session else { return };
            if session.is_http2 || session.admission.is_some() {
                drop(listener);
                return Box::pin(within_tls(server, session, identity)).await;
            }
            identity.server_name = session.server_name;
            session.stream
        }
    };
    drop(listener);
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
    let handshake = tls::accept(&server.local, key, &table, Content::Http, start);
    let session = tls::in_time(&server.local, client, key, Box::pin(handshake)).await;
    let Some(session) = session else { return };
    let identity = Identity::new(server, key, client, true);
    within_tls(server, session, identity).await;
}

/// Serves a connection after its handshake, and within its admission.
async fn within_tls(server: &Rc<Server>, session: Session, mut identity: Identity) {
    let Session { stream, server_name, is_http2, admission } = session;
    identity.server_name = server_name;
    match (is_http2, admission) {
        (true, None) => Box::pin(h2::serve(server, stream, Vec::new(), identity)).await,
        (false, None) => h1::serve(server, stream, identity).await,
        (true, Some(admission)) => {
            Box::pin(admission.limit(h2::serve(server, stream, Vec::new(), identity))).await;
        }
        (false, Some(admission)) => {
            Box::pin(admission.limit(h1::serve(server, stream, identity))).await;
        }
    }
}
