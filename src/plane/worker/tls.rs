//! A connection to a socket whose listeners are told apart by server name: read what the client
//! wants, then give it to the plane that carries it.

use std::rc::Rc;
use std::sync::Arc;

use super::thread::Worker;
use crate::plane::tls::{self, Admission, Content, Hello, Stream};
use crate::plane::{Accepted, l4};
use crate::snapshot::{
    Exposure, Frontend, HttpListener, Reason, Serve, Snapshot, SocketKey, TlsServe, TlsTable,
};

/// Carries a connection to its end.
///
/// A client that asks for a name which nobody serves is reset, as where there is no endpoint. An
/// alert (unrecognized_name) would tell it more, but not every client takes one for a refusal:
/// those of the conformance tests of the Gateway API wait for the end of the connection.
pub(super) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let Accepted { stream, client, key } = accepted;
    // boxed, as is what follows: none of them leaves its room to a session that is only copying
    let hello =
        Box::pin(tokio::time::timeout(worker.local.limits.handshake_time, Hello::read(stream)));
    let hello = match hello.await.unwrap_or(Err(Reason::RequestTimeout)) {
        Ok(hello) => hello,
        Err(reason) => {
            return worker.local.note_refused(client, key, Exposure::Gateway, reason);
        }
    };
    // the session begins here: what the socket serves may have changed while the client was slow
    let snapshot = worker.local.snapshot.load();
    let way = Way::of(&snapshot, key, &hello.server_name());
    drop(snapshot);
    match way {
        Ok(Way::Http(listener)) => {
            let accepted = Accepted { stream: hello, client, key };
            Box::pin(worker.http.serve_tls(accepted, listener)).await;
        }
        Ok(Way::Pass(frontend)) => {
            let (stream, ahead) = hello.into_parts();
            let accepted = Accepted { stream: Stream::Plain(stream), client, key };
            carry(&worker, accepted, ahead, frontend).await;
        }
        Ok(Way::End(table, frontend)) => {
            let accepted = Accepted { stream: hello, client, key };
            let ended = Box::pin(end_tls(&worker, accepted, table)).await;
            let Some((accepted, admission)) = ended else { return };
            let carried = carry(&worker, accepted, Vec::new(), frontend);
            match admission {
                Some(admission) => Box::pin(admission.limit(carried)).await,
                None => carried.await,
            }
        }
        Err(reason) => {
            let (stream, _) = hello.into_parts();
            let accepted = Accepted { stream, client, key };
            l4::tcp::refuse(&worker.local, &accepted, Exposure::Gateway, reason);
        }
    }
}

/// Where a client is taken.
enum Way {
    /// TLS ends here, HTTP is in it.
    Http(Arc<HttpListener>),
    /// On, as it came.
    Pass(Arc<Frontend>),
    /// TLS ends here, what is in it goes on.
    End(Arc<TlsTable>, Arc<Frontend>),
}

impl Way {
    fn of(snapshot: &Snapshot, key: SocketKey, server_name: &str) -> Result<Self, Reason> {
        let listener = match snapshot.listeners.get(&key).map(|spec| &spec.serve) {
            Some(Serve::Tls(listener)) => listener,
            Some(Serve::Http(listener)) => return Ok(Self::Http(listener.clone())),
            Some(Serve::Frontend(frontend)) => return Ok(Self::Pass(frontend.clone())),
            Some(Serve::Health(_)) | None => return Err(Reason::NoService),
        };
        let host = listener.select(server_name).ok_or(Reason::NoRoute)?;
        match &host.serve {
            TlsServe::Passthrough(routes) => {
                let frontend = routes.select(server_name).ok_or(Reason::NoRoute)?;
                Ok(Self::Pass(frontend.clone()))
            }
            TlsServe::Terminate(table, routes) => {
                let frontend = routes.select(server_name).ok_or(Reason::NoRoute)?;
                Ok(Self::End(table.clone(), frontend.clone()))
            }
            TlsServe::Http => listener.http.clone().map(Self::Http).ok_or(Reason::NoRoute),
        }
    }
}

/// Shakes hands. `None`: it failed, and rustls has told the client why; or there is nothing to carry.
async fn end_tls(
    worker: &Worker,
    accepted: Accepted<Hello>,
    table: Arc<TlsTable>,
) -> Option<(Accepted<Stream>, Option<Admission>)> {
    let Accepted { stream: hello, client, key } = accepted;
    let start = hello.into_handshake();
    let handshake = tls::accept(&worker.local, key, &table, Content::Bytes, start);
    let session = tls::in_time(&worker.local, client, key, Box::pin(handshake)).await?;
    Some((Accepted { stream: session.stream, client, key }, session.admission))
}

async fn carry(
    worker: &Worker,
    accepted: Accepted<Stream>,
    ahead: Vec<u8>,
    frontend: Arc<Frontend>,
) {
    let (local, buffer) = (worker.local.clone(), worker.buffer.clone());
    Box::pin(l4::tcp::serve(local, buffer, accepted, ahead, frontend)).await;
}
