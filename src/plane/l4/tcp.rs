//! TCP sessions: pick an endpoint, connect, copy.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::balance::{InFlight, pick, pick_weighted};
use crate::net::{ConnectError, Copied, SharedBuffer, connect, copy_both, reset_on_drop};
use crate::observe::ConnectionRecord;
use crate::plane::{Accepted, Local};
use crate::snapshot::{Backend, Frontend, Reason, Serve, SocketKey};

/// Carries one connection to its end.
///
/// Without a usable endpoint it is reset at once: from userspace this is as close as one can come
/// to the refusal of kube-proxy, and a client sees it as fast.
pub async fn serve(local: Rc<Local>, buffer: Rc<SharedBuffer>, accepted: Accepted) {
    let Accepted { stream: mut client, client: peer, key } = accepted;
    let snapshot = local.snapshot.load();
    let Some(Serve::Frontend(frontend)) = snapshot.listeners.get(&key).map(|it| &it.serve) else {
        // the Service went away while the connection waited in the queue
        return reset_on_drop(&client);
    };
    let mut record = record(&local, frontend, peer, key);
    let chosen = choose(&local, frontend);
    drop(snapshot);
    let connected = match chosen {
        Ok(backend) => {
            record.backend = Some(backend.clone());
            // boxed, so that a session that is only copying does not keep room for connecting
            Box::pin(connect_any(&local, &backend, &mut record)).await
        }
        Err(reason) => Err(reason),
    };
    let (mut endpoint, _in_flight) = match connected {
        Ok(connected) => connected,
        Err(reason) => {
            record.reason = Some(reason);
            return reset_on_drop(&client);
        }
    };
    let mut copied = Copied::default();
    let ended = copy_both(&mut client, &mut endpoint, &buffer, &mut copied).await;
    record.received_bytes = copied.forth;
    record.sent_bytes = copied.back;
    if let Err(error) = ended {
        record.reason = Some(reason_of(&error));
        reset_on_drop(&client);
        reset_on_drop(&endpoint);
    }
}

fn record(
    local: &Local,
    frontend: &Arc<Frontend>,
    client: SocketAddr,
    key: SocketKey,
) -> ConnectionRecord {
    ConnectionRecord {
        observer: local.observer.clone(),
        started: Instant::now(),
        transport: key.transport,
        client,
        frontend: key.addr,
        exposure: frontend.exposure,
        backend: None,
        endpoint: None,
        reason: None,
        received_bytes: 0,
        sent_bytes: 0,
    }
}

/// One of the frontend's backends, by weight.
fn choose(local: &Local, frontend: &Frontend) -> Result<Arc<Backend>, Reason> {
    let picked = pick_weighted(&frontend.shares, &mut local.rng.borrow_mut());
    let (_, share) = picked.ok_or(Reason::NoService)?;
    share.target.as_ref().map(|it| it.backend.clone()).map_err(|failure| failure.reason)
}

/// Tries endpoints until one accepts; none is tried twice.
async fn connect_any(
    local: &Local,
    backend: &Arc<Backend>,
    record: &mut ConnectionRecord,
) -> Result<(TcpStream, InFlight), Reason> {
    let mut tried = Vec::new();
    let mut reason = Reason::NoReadyEndpoint;
    while tried.len() < MAX_ATTEMPTS {
        let picked = pick(&backend.usable, &tried, &local.loads, &mut local.rng.borrow_mut());
        let Some(endpoint) = picked else { break };
        record.endpoint = Some(endpoint.id);
        let in_flight = local.loads.begin(endpoint.id);
        match connect(endpoint.id.addr(), CONNECT_TIMEOUT).await {
            Ok(stream) => return Ok((stream, in_flight)),
            Err(ConnectError::Timeout) => reason = Reason::ConnectTimeout,
            Err(ConnectError::Io(_)) => reason = Reason::ConnectRefused,
        }
        tried.push(endpoint.id);
    }
    Err(reason)
}

fn reason_of(error: &io::Error) -> Reason {
    if error.kind() == io::ErrorKind::TimedOut {
        return Reason::ResponseTimeout;
    }
    Reason::UpstreamReset
}

/// Inside a cluster a connect takes a round trip; what takes longer is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Endpoints tried before the client is reset.
const MAX_ATTEMPTS: usize = 5;
