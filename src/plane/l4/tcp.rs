//! TCP sessions: pick an endpoint, connect, copy.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_rustls::TlsStream;

use super::way::Way;
use crate::balance::InFlight;
use crate::net::{
    ConnectError, Copied, CopyError, Plain, SharedBuffers, connect, copy_both, reached,
    reset_on_drop,
};
use crate::observe::ConnectionRecord;
use crate::plane::proxy_protocol::header;
use crate::plane::tls::Stream;
use crate::plane::{Accepted, Local};
use crate::snapshot::{EndpointId, Exposure, Frontend, Reason, UpstreamTls};

/// Carries one connection to an endpoint of `frontend`, to its end. `ahead` is what was read of it
/// before.
///
/// Without a usable endpoint there is no socket (see `listeners`), so that the kernel refuses whoever
/// comes. What comes all the same is reset: queued before, or where a socket on every address has
/// the port. What kube-proxy drops, a client that may not connect or has no endpoint on this node,
/// is reset as well: the kernel has accepted the connection by then, and to keep it open in silence
/// would let strangers hold descriptors.
pub async fn serve(
    local: Rc<Local>,
    buffer: Rc<SharedBuffers>,
    accepted: Accepted<Stream>,
    ahead: Vec<u8>,
    frontend: Arc<Frontend>,
) {
    let Accepted { stream: mut client, client: peer, key } = accepted;
    let observer = local.observer.clone();
    let mut record = ConnectionRecord::begin(observer, peer, key, frontend.exposure);
    // boxed, so that a session that is only copying keeps neither room for connecting nor the way
    let at = SocketAddr::new(reached(client.tcp(), key.addr), key.addr.port());
    let connected = Box::pin(connect_any(&local, frontend, at, &mut record)).await;
    let (mut endpoint, _in_flight) = match connected {
        Ok(connected) => connected,
        Err(reason) => {
            record.reason = Some(reason);
            return reset_on_drop(client.tcp());
        }
    };
    let mut copied = Copied::default();
    let ended = match (&mut client, &mut endpoint) {
        (Stream::Plain(client), Stream::Plain(endpoint)) => {
            let (mut client, mut endpoint) = (Plain(client), Plain(endpoint));
            copy_both(&mut client, &mut endpoint, ahead, &buffer, &mut copied).await
        }
        (client, endpoint) => copy_both(client, endpoint, ahead, &buffer, &mut copied).await,
    };
    record.received_bytes = copied.forth;
    record.sent_bytes = copied.back;
    if let Err(error) = ended {
        record.reason = Some(reason_of(&error));
        reset_on_drop(endpoint.tcp());
        // a reset would take from the client what it has not received yet of a whole answer
        if !matches!(error, CopyError::SecondAfterEnd(_)) {
            reset_on_drop(client.tcp());
        }
    }
}

/// Resets a connection that goes nowhere, and says why: to a listener of a Gateway, or to a virtual
/// address by a port that nobody has there.
pub fn refuse(local: &Local, accepted: &Accepted, exposure: Exposure, reason: Reason) {
    local.note_refused(accepted.client, accepted.key, exposure, reason);
    reset_on_drop(&accepted.stream);
}

/// Tries endpoints of one of the frontend's backends until one accepts; none is tried twice.
async fn connect_any(
    local: &Local,
    frontend: Arc<Frontend>,
    at: SocketAddr,
    record: &mut ConnectionRecord,
) -> Result<(Stream, InFlight), Reason> {
    let way = Way::choose(local, &frontend, record.client.ip(), at.ip())?;
    let target = way.target;
    record.backend = Some(target.backend.clone());
    let version = target.backend.proxy_protocol;
    let header = version.map(|version| header(version, record.client, at)).unwrap_or_default();
    let mut tried = Vec::new();
    let mut reason = way.refusal();
    while tried.len() < local.limits.tcp_attempts {
        let Some(endpoint) = way.pick(local, &tried, Instant::now()) else { break };
        let reached = endpoint.id.by(at.port());
        record.endpoint = Some(reached);
        let in_flight = local.loads.begin(endpoint.id);
        let source = way.source(&frontend, endpoint.id);
        match reach(local, reached, source, &header, target.tls.as_ref()).await {
            Ok(stream) => return Ok((stream, in_flight)),
            Err(failed) => reason = failed,
        }
        tried.push(endpoint.id);
    }
    Err(reason)
}

/// Connects to an endpoint, tells it of the client by the PROXY protocol if it wants to know, and shakes hands with one that
/// is spoken to within TLS.
async fn reach(
    local: &Local,
    endpoint: EndpointId,
    source: Option<IpAddr>,
    header: &[u8],
    tls: Option<&Arc<UpstreamTls>>,
) -> Result<Stream, Reason> {
    let limits = &local.limits;
    let mut stream = match connect(endpoint.addr(), limits.connect_time, source, &local.tcp).await {
        Ok(stream) => stream,
        Err(ConnectError::Timeout) => return Err(Reason::ConnectTimeout),
        Err(ConnectError::Io(_)) => return Err(Reason::ConnectRefused),
    };
    // a fresh socket takes so little at once
    stream.write_all(header).await.map_err(|_| Reason::UpstreamReset)?;
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let client = local.clients.of(tls, None);
    let shaking = client.connect(stream, limits.tls_send_buffer);
    let shaken = tokio::time::timeout(limits.handshake_time, shaking).await;
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
        CopyError::Second(_) | CopyError::SecondAfterEnd(_) => Reason::UpstreamReset,
    }
}
