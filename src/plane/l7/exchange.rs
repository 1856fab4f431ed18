//! The way of a request, the same for every front: decide → pick → forward → answer.
//!
//! A front ([`Client`]) gives the request and its body; it takes the response head from
//! [`Exchange::answer`] and the body from the connection in the exchange. All of it runs in the
//! task that calls; dropping the exchange closes the upstream connection, which is how a client
//! that goes away cancels the work behind.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::deadline::Deadline;
use super::forwarded::{Request, new_request_id, write_request};
use super::h1::{BodyLength, Decoder, Encoder, Name, Outgoing, ResponseHead, Verb};
use super::upstream::{self, Connection, UpstreamError};
use super::{Identity, Server};
use crate::balance::{InFlight, pick, pick_weighted};
use crate::observe::RequestRecord;
use crate::snapshot::{Action, AppProtocol, Backend, EndpointId, HttpListener, Reason};

/// The side of the client, as an exchange sees it.
pub(super) trait Client {
    /// Adds what has been read of the request's body already: `true` when that was all.
    fn take_buffered(&mut self, request: &mut Outgoing) -> Result<bool, Reason>;

    /// Adds the next piece of the request's body: `true` when that was the last.
    fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Outgoing,
    ) -> Poll<Result<bool, Reason>>;

    /// Ready once the client has gone away.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// The timer of the connection.
    fn deadline(&mut self) -> &mut Deadline;
}

/// One request and what became of it.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The connection that carries it, once [`Self::answer`] has returned a head.
    pub(super) upstream: Option<Carrier>,
    /// How much of the request's body is on its way.
    pub(super) upload: Upload,
    server: Rc<Server>,
    backend: Arc<Backend>,
    verb: Verb,
    request: Outgoing,
    tried: Vec<EndpointId>,
    failed: Option<Reason>,
    /// Connections used or tried so far.
    attempts: u32,
    /// Interim responses that came: after one, nothing is sent again.
    interim: u32,
}

/// An upstream connection in use.
#[derive(Debug)]
pub(super) struct Carrier {
    /// The connection.
    pub(super) connection: Connection,
    /// Counts it at the endpoint.
    pub(super) in_flight: InFlight,
}

/// The state of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// There is more to come from the client.
    Going,
    /// All of it is in the buffer or sent.
    Gathered,
    /// All of it is sent.
    Done,
    /// The endpoint takes no more; it may have answered all the same.
    Refused {
        /// All of it was in the buffer.
        gathered: bool,
    },
}

/// Why an exchange ended without a response.
enum Ended {
    Client(Reason),
    Upstream(UpstreamError),
}

impl Exchange {
    /// Decides where a request goes, and writes its head.
    pub(super) fn begin<'a, F>(
        server: &Rc<Server>,
        identity: &Identity,
        listener: &HttpListener,
        request: &Request<'a, F>,
        record: &mut RequestRecord,
    ) -> Result<Self, Reason>
    where
        F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
    {
        record.host = request.host.to_owned();
        record.request_id = match request.options.request_id {
            Some(id) => id.to_owned(),
            None => new_request_id(&mut server.local.rng.borrow_mut()),
        };
        let backend = decide(server, listener, request, record)?;
        record.backend = Some(backend.clone());
        let mut outgoing = Outgoing::new(server.buffers.take());
        write_request(&mut outgoing, request, &identity.client_lines, &record.request_id);
        outgoing.encoder = Encoder::from(request.length);
        Ok(Self {
            upstream: None,
            upload: match request.length {
                BodyLength::Exact(0) => Upload::Gathered,
                BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => {
                    Upload::Going
                }
            },
            server: server.clone(),
            backend,
            verb: request.verb,
            request: outgoing,
            tried: Vec::new(),
            failed: None,
            attempts: 0,
            interim: 0,
        })
    }

    /// Puts the part of the body that has come with the head behind it, so that both leave in
    /// one write, and can be sent again.
    pub(super) fn gather(&mut self, client: &mut impl Client) -> Result<(), Reason> {
        if self.upload == Upload::Going && client.take_buffered(&mut self.request)? {
            self.upload = Upload::Gathered;
        }
        Ok(())
    }

    /// Sends the request and waits for the next response head, over as many endpoints as it
    /// takes. Called again after an interim response (1xx). The head stays in the buffer of the
    /// connection.
    pub(super) async fn answer(
        &mut self,
        client: &mut impl Client,
        record: &mut RequestRecord,
    ) -> Result<ResponseHead, Reason> {
        let now = if self.interim > 0 { Instant::now() } else { record.started };
        self.expect_progress(client, now);
        loop {
            if self.upstream.is_none() {
                self.upstream = self.obtain(record).await?;
                continue;
            }
            match poll_fn(|cx| self.poll_answer(cx, client)).await {
                Ok(head) => {
                    self.interim = self.interim.saturating_add(head.is_interim().into());
                    let endless = self.interim > MAX_INTERIM;
                    return if endless { Err(Reason::UpstreamProtocol) } else { Ok(head) };
                }
                Err(Ended::Client(reason)) => return Err(reason),
                Err(Ended::Upstream(error)) => self.fail_attempt(&error)?,
            }
        }
    }

    /// Sends what there is of the request. Ready when all of it is sent, or refused.
    pub(super) fn poll_upload(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Client,
    ) -> Poll<Result<(), Reason>> {
        while matches!(self.upload, Upload::Going | Upload::Gathered) {
            let Some(carrier) = &mut self.upstream else { return Poll::Pending };
            if ready!(carrier.connection.poll_send(cx, &mut self.request)).is_err() {
                // it may have answered and closed, as with 413: the answer is read all the same
                self.upload = Upload::Refused { gathered: self.upload == Upload::Gathered };
            } else if self.upload == Upload::Gathered {
                self.upload = Upload::Done;
            } else {
                if self.request.unsent() == 0 && !self.request.bytes.is_empty() {
                    self.request.clear();
                    self.expect_progress(client, Instant::now());
                }
                if ready!(client.poll_body(cx, &mut self.request))? {
                    self.upload = Upload::Gathered;
                }
                self.expect_progress(client, Instant::now());
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the upstream connection back to the pool, if nothing stands against using it again.
    pub(super) fn release(&mut self, persistent: bool, body: &Decoder) {
        let Some(carrier) = self.upstream.take() else { return };
        let clean = carrier.connection.buffer.is_empty() && self.upload == Upload::Done;
        if persistent && body.ended_exactly() && clean {
            self.server.pool.put(&self.backend.id, carrier.connection, Instant::now());
        }
    }

    /// Which stall counts now: that of a client that owes us its body, or of an endpoint that
    /// owes us a response or does not take the request.
    fn expect_progress(&self, client: &mut impl Client, now: Instant) {
        let limits = &self.server.limits;
        let wait =
            if self.waits_for_client() { limits.client_stall } else { limits.upstream_stall };
        client.deadline().set(now, wait);
    }

    fn waits_for_client(&self) -> bool {
        self.upload == Upload::Going && self.request.unsent() == 0
    }

    /// A connection to an endpoint that was not tried: from the pool, or a new one. `None`: that
    /// one failed, and another attempt is allowed.
    async fn obtain(&mut self, record: &mut RequestRecord) -> Result<Option<Carrier>, Reason> {
        let server = self.server.clone();
        let local = &server.local;
        let picked =
            pick(&self.backend.usable, &self.tried, &local.loads, &mut local.rng.borrow_mut());
        let Some(endpoint) = picked.map(|endpoint| endpoint.id) else {
            return Err(self.failed.unwrap_or(Reason::NoReadyEndpoint));
        };
        record.endpoint = Some(endpoint);
        record.retries = self.attempts;
        self.attempts = self.attempts.saturating_add(1);
        let in_flight = local.loads.begin(endpoint);
        if let Some(connection) = server.pool.take(endpoint, !self.verb.is_idempotent()) {
            return Ok(Some(Carrier { connection, in_flight }));
        }
        let connecting = upstream::connect(endpoint, &server.limits, &server.buffers);
        match Box::pin(connecting).await {
            Ok(connection) => Ok(Some(Carrier { connection, in_flight })),
            Err(error) => self.retry_elsewhere(endpoint, error.reason()).map(|()| None),
        }
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Client,
    ) -> Poll<Result<ResponseHead, Ended>> {
        let uploaded = self.poll_upload(cx, client).map_err(Ended::Client)?.is_ready();
        let Some(carrier) = &mut self.upstream else { return Poll::Pending };
        let max_bytes = self.server.limits.head_bytes;
        if let Poll::Ready(head) = carrier.connection.poll_head(cx, max_bytes) {
            return Poll::Ready(head.map_err(Ended::Upstream));
        }
        if uploaded && client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Ended::Client(Reason::ClientClosed)));
        }
        ready!(client.deadline().poll_passed(cx));
        Poll::Ready(Err(match self.waits_for_client() {
            true => Ended::Client(Reason::RequestTimeout),
            false => Ended::Upstream(UpstreamError::Silent),
        }))
    }

    /// Gets ready for another attempt after the connection failed, if the request allows one.
    ///
    /// A request may go elsewhere when no byte of it was sent, or when it is idempotent and the
    /// connection ended before the first byte of a response; all of it must still be here. So a
    /// POST is never sent twice.
    fn fail_attempt(&mut self, error: &UpstreamError) -> Result<(), Reason> {
        let reason = error.reason();
        let Some(carrier) = self.upstream.take() else { return Err(reason) };
        let Connection { endpoint, reused, .. } = carrier.connection;
        let unanswered = matches!(error, UpstreamError::NoResponse(_)) && self.interim == 0;
        let repeatable = self.verb.is_idempotent() || self.request.is_untouched();
        if !unanswered || !repeatable || !self.request.rewind() {
            return Err(reason);
        }
        self.upload = match self.upload {
            Upload::Going | Upload::Refused { gathered: false } => Upload::Going,
            Upload::Gathered | Upload::Done | Upload::Refused { gathered: true } => {
                Upload::Gathered
            }
        };
        if reused {
            // it was closed while it waited: that says nothing about the endpoint
            self.server.pool.forget(endpoint);
            return Ok(());
        }
        self.retry_elsewhere(endpoint, reason)
    }

    fn retry_elsewhere(&mut self, endpoint: EndpointId, reason: Reason) -> Result<(), Reason> {
        self.tried.push(endpoint);
        self.failed = Some(reason);
        if self.tried.len() < self.server.limits.attempts { Ok(()) } else { Err(reason) }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.server.buffers.give_back(std::mem::take(&mut self.request.bytes));
    }
}

/// The backend for a request, or why there is none.
fn decide<'a, F>(
    server: &Server,
    listener: &HttpListener,
    request: &Request<'a, F>,
    record: &mut RequestRecord,
) -> Result<Arc<Backend>, Reason>
where
    F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
{
    if request.verb == Verb::Connect {
        return Err(Reason::MethodNotAllowed);
    }
    let host = listener.select(request.host).ok_or(Reason::NoRoute)?;
    let rule = host.routes.select(&request.asked()).ok_or(Reason::NoRoute)?;
    record.rule = Some(rule.clone());
    let backends = match &rule.action {
        Action::Forward(backends) => backends,
        Action::Redirect(_) => return Err(Reason::Internal),
        Action::Fail(failure) => return Err(failure.reason),
    };
    let picked = pick_weighted(backends, &mut server.local.rng.borrow_mut());
    let picked = picked.ok_or(Reason::NoService)?.target.as_ref();
    let backend = picked.map_err(|failure| failure.reason)?;
    match backend.app_protocol {
        AppProtocol::Http => Ok(backend.clone()),
        AppProtocol::H2c | AppProtocol::Https => {
            record.backend = Some(backend.clone());
            Err(Reason::UnsupportedBackend)
        }
    }
}

/// Interim responses to one request; an endpoint that sends more never comes to the point.
const MAX_INTERIM: u32 = 16;
