//! TCP sessions: pick an endpoint, connect, copy.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_rustls::TlsStream;

use crate::balance::{InFlight, pick, pick_weighted};
use crate::net::{
    ConnectError, Copied, CopyError, SharedBuffer, connect, copy_both, reset_on_drop,
};
use crate::observe::ConnectionRecord;
use crate::plane::tls::Stream;
use crate::plane::{Accepted, Local};
use crate::snapshot::{EndpointId, Exposure, Frontend, Reason, SocketKey, Target, UpstreamTls};

/// Carries one connection to an endpoint of `frontend`, to its end. `ahead` is what was read of it
/// before.
///
/// Without a usable endpoint it is reset at once: from userspace this is as close as one can come
/// to the refusal of kube-proxy, and a client sees it as fast.
pub async fn serve(
    local: Rc<Local>,
    buffer: Rc<SharedBuffer>,
    accepted: Accepted<Stream>,
    ahead: Vec<u8>,
    frontend: Arc<Frontend>,
) {
    let Accepted { stream: mut client, client: peer, key } = accepted;
    let mut record = record(&local, frontend.exposure, peer, key);
    let chosen = choose(&local, &frontend);
    drop(frontend);
    let connected = match chosen {
        Ok(target) => {
            record.backend = Some(target.backend.clone());
            // boxed, so that a session that is only copying does not keep room for connecting
            Box::pin(connect_any(&local, &target, &mut record)).await
        }
        Err(reason) => Err(reason),
    };
    let (mut endpoint, _in_flight) = match connected {
        Ok(connected) => connected,
        Err(reason) => {
            record.reason = Some(reason);
            return reset_on_drop(client.tcp());
        }
    };
    let mut copied = Copied::default();
    let ended = copy_both(&mut client, &mut endpoint, ahead, &buffer, &mut copied).await;
    record.received_bytes = copied.forth;
    record.sent_bytes = copied.back;
    if let Err(error) = ended {
        record.reason = Some(reason_of(&error));
        reset_on_drop(client.tcp());
        reset_on_drop(endpoint.tcp());
    }
}

/// Resets a connection to a listener of a Gateway that goes nowhere, and says why.
pub fn refuse(local: &Local, accepted: &Accepted, reason: Reason) {
    let mut record = record(local, Exposure::Gateway, accepted.client, accepted.key);
    record.reason = Some(reason);
    reset_on_drop(&accepted.stream);
}

fn record(
    local: &Local,
    exposure: Exposure,
    client: SocketAddr,
    key: SocketKey,
) -> ConnectionRecord {
    ConnectionRecord {
        observer: local.observer.clone(),
        started: Instant::now(),
        transport: key.transport,
        client,
        frontend: key.addr,
        exposure,
        backend: None,
        endpoint: None,
        reason: None,
        received_bytes: 0,
        sent_bytes: 0,
    }
}

/// One of the frontend's backends, by weight.
fn choose(local: &Local, frontend: &Frontend) -> Result<Target, Reason> {
    let picked = pick_weighted(&frontend.shares, &mut local.rng.borrow_mut());
    let (_, share) = picked.ok_or(Reason::NoService)?;
    share.target.clone().map_err(|failure| failure.reason)
}

/// Tries endpoints until one accepts; none is tried twice.
async fn connect_any(
    local: &Local,
    target: &Target,
    record: &mut ConnectionRecord,
) -> Result<(Stream, InFlight), Reason> {
    let usable = &target.backend.usable;
    let mut tried = Vec::new();
    let mut reason = Reason::NoReadyEndpoint;
    while tried.len() < MAX_ATTEMPTS {
        let picked = pick(usable, &tried, &local.loads, &mut local.rng.borrow_mut());
        let Some(endpoint) = picked else { break };
        record.endpoint = Some(endpoint.id);
        let in_flight = local.loads.begin(endpoint.id);
        match reach(local, endpoint.id, target.tls.as_ref()).await {
            Ok(stream) => return Ok((stream, in_flight)),
            Err(failed) => reason = failed,
        }
        tried.push(endpoint.id);
    }
    Err(reason)
}

/// Connects to an endpoint, and shakes hands with one that is spoken to within TLS.
async fn reach(
    local: &Local,
    endpoint: EndpointId,
    tls: Option<&Arc<UpstreamTls>>,
) -> Result<Stream, Reason> {
    let stream = match connect(endpoint.addr(), CONNECT_TIMEOUT).await {
        Ok(stream) => stream,
        Err(ConnectError::Timeout) => return Err(Reason::ConnectTimeout),
        Err(ConnectError::Io(_)) => return Err(Reason::ConnectRefused),
    };
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let client = local.clients.of(tls, None);
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, client.connect(stream)).await;
    let stream = shaken.map_err(|_| Reason::ConnectTimeout)?.map_err(|_| Reason::UpstreamTls)?;
    Ok(Stream::Tls(Box::new(TlsStream::Client(*stream))))
}

/// Within TLS, a client that ends without saying so has failed: it may be an attack.
fn reason_of(error: &CopyError) -> Reason {
    match error {
        CopyError::First(_) => Reason::ClientClosed,
        CopyError::Second(error) if error.kind() == io::ErrorKind::TimedOut => {
            Reason::ResponseTimeout
        }
        CopyError::Second(_) => Reason::UpstreamReset,
    }
}

/// Inside a cluster a connect takes a round trip; what takes longer is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Inside a cluster a handshake takes milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Endpoints tried before the client is reset.
const MAX_ATTEMPTS: usize = 5;
