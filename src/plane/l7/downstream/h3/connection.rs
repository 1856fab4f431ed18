//! One connection, from its handshake to its end.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::{Code, ConnectionError, LocalError, StreamError};
use h3::server::RequestResolver;
use quinn::crypto::rustls::HandshakeData;
use tokio::time::{Instant, timeout};

use super::guard::Guarded;
use super::request::{Receiver, Upload, read};
use super::response::{Sender, send};
use crate::life;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::downstream::h2::{Answer, Ongoing, Shared};
use crate::plane::l7::{Identity, Server, http_listener};
use crate::snapshot::{Exposure, Reason, SocketKey};

type Connection = h3::server::Connection<Guarded<h3_quinn::Connection>, Bytes>;
type Resolver = RequestResolver<Guarded<h3_quinn::Connection>, Bytes>;

/// Shakes hands, and serves the connection to its end.
pub(super) async fn serve(server: Rc<Server>, key: SocketKey, connecting: quinn::Connecting) {
    let client = connecting.remote_address();
    let shaken = timeout(server.local.limits.handshake_time, connecting).await;
    let quic = match shaken {
        Ok(Ok(quic)) => quic,
        Ok(Err(error)) => return note_refused(&server, client, key, reason_of(&error)),
        Err(_) => return note_refused(&server, client, key, Reason::RequestTimeout),
    };
    let data = quic.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let name = data.and_then(|data| data.server_name);
    let mut identity = Identity::new(&server, key, client, true);
    identity.server_name = name.map(|name| name.to_ascii_lowercase().into());
    let head_bytes = server.local.limits.head_bytes;
    let guarded = Guarded::new(h3_quinn::Connection::new(quic.clone()), head_bytes);
    let mut builder = h3::server::builder();
    builder.max_field_section_size(head_bytes as u64).send_grease(false);
    let begun = Box::pin(builder.build(guarded));
    let begun = timeout(server.local.limits.handshake_time, begun).await;
    let connection = match begun {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return note_broken(&server, client, key, &error),
        Err(_) => return note_refused(&server, client, key, Reason::RequestTimeout),
    };
    let shared = Rc::new(Shared::new(&server, identity));
    Box::pin(run(connection, &quic, shared)).await;
    // the last words are sent by a task of quinn's
    for _ in 0..LAST_TURNS {
        tokio::task::yield_now().await;
    }
}

/// Takes requests until either side has had enough.
async fn run(mut connection: Connection, quic: &quinn::Connection, shared: Rc<Shared>) {
    let server = shared.server.clone();
    let limits = &server.local.limits;
    let mut drained = pin!(server.drained.notified());
    let age = server.age_left(&shared.identity, Instant::now());
    let mut watch = Deadline::after(limits.client_idle.min(age.unwrap_or(limits.client_idle)));
    let (mut close, mut closing) = (server.draining.get(), false);
    loop {
        if close && !closing {
            closing = true;
            if connection.shutdown(0).await.is_err() {
                return;
            }
            watch.set(Instant::now(), GRACE);
        }
        tokio::select! {
            biased;
            () = drained.as_mut(), if !closing => close = true,
            accepted = connection.accept() => match accepted {
                Ok(Some(resolver)) => {
                    let one = exchange(shared.clone(), resolver);
                    let quic = quic.clone();
                    life::spawn_local("h3-stream", async move {
                        tokio::select! {
                            biased;
                            _ = quic.closed() => {}
                            () = one => {}
                        }
                    });
                }
                Ok(None) => return,
                Err(error) => {
                    let Identity { client, key, .. } = shared.identity;
                    return note_broken(&server, client, key, &error);
                }
            },
            () = poll_fn(|cx| watch.poll_passed(cx)) => {
                let is_unused = shared.activity.streams.get() == 0;
                if closing && is_unused && shared.activity.silence() >= LAST_WORDS {
                    return;
                }
                let now = Instant::now();
                let left = if is_unused { shared.activity.idle_left(limits) } else { limits.client_idle };
                let left = left.min(server.age_left(&shared.identity, now).unwrap_or(left));
                close |= left.is_zero();
                watch.set(now, if closing { GRACE } else { left.max(GRACE) });
            }
        }
    }
}

/// One request and its response.
async fn exchange(shared: Rc<Shared>, resolver: Resolver) {
    let limits = &shared.server.local.limits;
    let resolved = timeout(limits.head_time, resolver.resolve_request()).await;
    let (request, stream) = match resolved {
        Ok(Ok(resolved)) => resolved,
        // h3 has answered
        Ok(Err(StreamError::HeaderTooBig { .. })) => {
            return note(&shared, Reason::HeadersTooLarge);
        }
        // of a connection that ends, that is counted
        Ok(Err(StreamError::StreamError { .. })) => return note(&shared, Reason::BadRequest),
        Ok(Err(_)) => return,
        Err(_) => return note(&shared, Reason::RequestTimeout),
    };
    let (mut sender, receiver) = stream.split();
    let carried = {
        let carrying = pin!(carry(&shared, request, receiver, &mut sender));
        life::caught("h3-stream", carrying).await
    };
    if carried.is_err() {
        // dropped, quinn would end it as if it were whole
        sender.stop_stream(Code::H3_INTERNAL_ERROR);
    }
}

/// Carries a request to an endpoint and the response back.
async fn carry(
    shared: &Rc<Shared>,
    request: http::Request<()>,
    receiver: Receiver,
    sender: &mut Sender,
) {
    let limits = &shared.server.local.limits;
    let (request, checked) = read(request, receiver, limits).await;
    let (parts, body) = request.into_parts();
    let begun = Ongoing::begin(shared.clone(), &parts, body, checked, "HTTP/3");
    drop(parts);
    let response = match begun {
        Ok(ongoing) => Box::pin(answer(ongoing, sender, limits.client_stall)).await,
        Err(response) => *response,
    };
    Box::pin(send(shared, sender, response)).await;
}

/// Waits for the final response, and passes interim ones on.
async fn answer(
    mut ongoing: Box<Ongoing<Upload>>,
    sender: &mut Sender,
    stall: Duration,
) -> http::Response<Answer<Upload>> {
    if let Err(answer) = ongoing.authorize().await {
        return ongoing.fail(answer);
    }
    loop {
        match ongoing.next().await {
            Ok(head) if head.is_interim() => {
                if let Some(passed) = ongoing.interim(&head) {
                    // a stream that is gone shows with the response
                    let _ = timeout(stall, sender.send_response(passed)).await;
                }
            }
            Ok(head) => return ongoing.finish(&head),
            Err(reason) => return ongoing.fail(reason),
        }
    }
}

/// A record of what has not become a request.
fn note(shared: &Shared, reason: Reason) {
    let server = &shared.server;
    let snapshot = server.local.snapshot.load();
    let listener = http_listener(&snapshot, shared.identity.key);
    let name = listener.map(|listener| listener.name.clone()).unwrap_or_default();
    drop(snapshot);
    let mut record = server.record(&shared.identity, name, "HTTP/3");
    record.reason = Some(reason);
    record.status = reason.status();
}

/// Counts a connection that is not served, or no longer.
pub(super) fn note_refused(server: &Server, client: SocketAddr, key: SocketKey, reason: Reason) {
    server.local.note_refused(client, key, Exposure::Gateway, reason);
}

/// Counts the end of a connection by h3, if it was for what the client did.
fn note_broken(server: &Server, client: SocketAddr, key: SocketKey, error: &ConnectionError) {
    let ConnectionError::Local { error: LocalError::Application { code, .. }, .. } = error else {
        return;
    };
    match *code {
        Code::H3_NO_ERROR => {}
        Code::H3_EXCESSIVE_LOAD => note_refused(server, client, key, Reason::EnhanceYourCalm),
        _ => note_refused(server, client, key, Reason::BadRequest),
    }
}

/// Why QUIC did not come about.
fn reason_of(error: &quinn::ConnectionError) -> Reason {
    use quinn::ConnectionError as Quic;
    match error {
        Quic::TimedOut => Reason::RequestTimeout,
        Quic::Reset | Quic::ApplicationClosed(_) => Reason::ClientClosed,
        Quic::LocallyClosed => Reason::Draining,
        Quic::VersionMismatch
        | Quic::TransportError(_)
        | Quic::ConnectionClosed(_)
        | Quic::CidsExhausted => Reason::TlsHandshake,
    }
}

/// How long a client has to answer GOAWAY, at least.
const GRACE: Duration = Duration::from_secs(1);
/// How long QUIC has to bring the end of a response to a client that does not close by itself: closed, it
/// sends no more of it.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Turns of the other tasks of this thread.
const LAST_TURNS: usize = 4;
