//! The way of a request, the same for every front: decide → pick → forward → answer.
//!
//! A front ([`Client`]) gives the request and its body; it takes the response head from
//! [`Exchange::answer`] and the body from the connection in the exchange. All of it runs in the
//! task that calls; dropping the exchange closes the upstream connection, which is how a client
//! that goes away cancels the work behind.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::account::Holding;
use super::compress::{Compressor, Wish};
use super::deadline::Deadline;
use super::decide::{Route, decide};
use super::filter::external_auth::{Change, Question};
use super::filter::mirror::Feed;
use super::forwarded::{Request, new_request_id, write_request};
use super::h1::{BodyLength, Decoder, Encoder, Name, Outgoing, ResponseHead, Verb};
use super::pace::Pace;
use super::respond::{OwnAnswer, alt_svc};
use super::upstream::{Connection, UpstreamError};
use super::{Identity, Server};
use crate::balance::InFlight;
use crate::life::{self, Level};
use crate::observe::RequestRecord;
use crate::snapshot::{EndpointId, HttpListener, Reason};

mod admit;
mod authorize;
mod compress;
mod learn;
mod mirrors;
mod obtain;
mod pace;
mod retry;
mod shed;
mod timers;
mod upload;
mod whole;

use pace::paced;
use retry::Retries;
use timers::Timers;
pub(super) use upload::Upload;

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

    /// Bytes of the request's body that may have come beyond what was taken, and wait in memory; none
    /// where they wait within the system.
    fn window(&self) -> usize {
        0
    }

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
    /// Where the request goes.
    pub(super) route: Route,
    /// What its response is to be passed through.
    pub(super) compressor: Option<Compressor>,
    server: Rc<Server>,
    timers: Timers,
    retries: Retries,
    verb: Verb,
    request: Outgoing,
    /// How fast the client sends its body, as long as the endpoint waits for it.
    pace: Option<Pace>,
    /// What it holds in buffers.
    holding: Holding,
    /// What authorization servers are asked before it is sent.
    question: Option<Box<Question>>,
    /// What they want to be said in the response.
    granted: Vec<Change>,
    /// Which coding the client is to have.
    wish: Wish,
    mirrors: Vec<Feed>,
    /// How much of what is in `request` the mirrors have.
    mirrored: usize,
    tried: Vec<EndpointId>,
    /// When the attempt began, if all of the request was there.
    asked: Option<Instant>,
    failed: Option<Reason>,
    /// Connections used or tried so far.
    attempts: u32,
    /// Whether the endpoint was asked whether it wants the body, and has not said so: one that
    /// answers instead may take the body for the next request.
    awaits_continue: bool,
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

/// Why an exchange ended without a response.
enum Ended {
    Client(Reason),
    /// The time that the rule allows is over.
    Overdue,
    Upstream(UpstreamError),
}

impl Exchange {
    /// Decides where a request goes, and writes its head. Boxed: it is large, and moved some times.
    pub(super) fn begin<'a, F>(
        server: &Rc<Server>,
        identity: &Identity,
        listener: &HttpListener,
        request: &Request<'a, F>,
        record: &mut RequestRecord,
    ) -> Result<Box<Self>, OwnAnswer>
    where
        F: Iterator<Item = (Name, &'a [u8], &'a [u8])> + Clone,
    {
        let proxied = identity.behind_proxy(request.fields.clone());
        let identity = proxied.as_ref().unwrap_or(identity);
        record.client = identity.client;
        record.host = request.host.to_owned();
        record.request_id = match request.options.request_id {
            Some(id) => id.to_owned(),
            None => new_request_id(&mut server.local.rng.borrow_mut()),
        };
        shed::admit(server)?;
        if request.options.expects_otherwise {
            return Err(Reason::BadRequest.into());
        }
        let route = decide(server, identity, listener, request, record)?;
        let changes = route.request_changes(&request.target.path);
        let mut outgoing = Outgoing::new(server.buffers.take());
        write_request(&mut outgoing, request, identity, &record.request_id, &changes);
        outgoing.encoder = Encoder::from(request.length);
        drop(changes);
        let wish = Wish::of(route.target.backend.compress, request.fields.clone());
        let mut exchange = Self::new(server, route, request.verb, outgoing);
        exchange.wish = wish;
        if listener.has_http3 && identity.is_tls && record.protocol != "HTTP/3" {
            exchange.route.add(alt_svc(identity.key.addr.port()));
        }
        if request.length == BodyLength::Exact(0) {
            exchange.upload = Upload::Gathered;
        } else {
            exchange.pace = paced(request.fields.clone()).then(Pace::default);
            exchange.awaits_continue = request.options.expects_continue;
        }
        if exchange.route.authorizations().next().is_none() {
            exchange.start_mirrors(record);
        } else {
            let question = Question::of(request, identity, &record.request_id, record.protocol);
            exchange.question = Some(Box::new(question));
        }
        Ok(exchange)
    }

    fn new(server: &Rc<Server>, route: Route, verb: Verb, request: Outgoing) -> Box<Self> {
        if let Some(budget) = route.retry_budget() {
            let now = life::now();
            server.budgets.note_request(&route.target.backend.id, budget, now);
        }
        Box::new(Self {
            upstream: None,
            upload: Upload::Going,
            timers: Timers::new(route.timeouts()),
            retries: Retries::new(route.retry()),
            server: server.clone(),
            compressor: None,
            wish: Wish::default(),
            route,
            verb,
            request,
            pace: None,
            holding: Holding::default(),
            question: None,
            granted: Vec::new(),
            mirrors: Vec::new(),
            mirrored: 0,
            tried: Vec::new(),
            asked: None,
            failed: None,
            attempts: 0,
            awaits_continue: false,
            interim: 0,
        })
    }

    /// What the HTTP planes of the worker share.
    pub(super) fn server(&self) -> &Rc<Server> {
        &self.server
    }

    /// The head of the request, and what there is of its body.
    #[cfg(test)]
    pub(super) fn written(&self) -> &[u8] {
        &self.request.bytes
    }

    /// Takes a head that was read off the connection.
    pub(super) fn consume(&mut self, length: usize) {
        if let Some(carrier) = &mut self.upstream {
            carrier.connection.buffer.consume(length);
        }
    }

    /// Ready once the request has taken longer than its rule allows.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.timers.poll_request(cx)
    }

    /// Sends the request and waits for the next response head, over as many endpoints as it
    /// takes. Called again after an interim response (1xx). The head stays in the buffer of the
    /// connection.
    pub(super) async fn answer(
        &mut self,
        client: &mut impl Client,
        record: &mut RequestRecord,
    ) -> Result<ResponseHead, Reason> {
        let now = if self.interim > 0 { life::now() } else { record.started };
        self.expect_progress(client, now);
        self.feed_mirrors();
        loop {
            if self.upstream.is_none() {
                self.upstream = self.obtain(client, record).await?;
                if self.attempts > 1 {
                    self.expect_progress(client, life::now());
                }
                continue;
            }
            let answered = poll_fn(|cx| self.poll_answer(cx, client)).await;
            self.learn(&answered);
            match answered {
                // boxed, as what is rare: a request takes no more memory than it needs as a rule
                Ok(head) if self.is_retried(&head) => Box::pin(self.back_off(client)).await?,
                Ok(head) => {
                    if !head.is_interim() {
                        self.complete(&head, record);
                    }
                    self.awaits_continue &= head.status != 100;
                    self.interim = self.interim.saturating_add(head.is_interim().into());
                    let endless = self.interim > self.server.local.limits.interim_responses;
                    return if endless { Err(Reason::UpstreamProtocol) } else { Ok(head) };
                }
                Err(Ended::Client(reason)) => return Err(reason),
                Err(Ended::Overdue) => return Err(Reason::ResponseTimeout),
                Err(Ended::Upstream(error)) => {
                    Box::pin(self.fail_attempt(client, &error)).await?;
                }
            }
        }
    }

    /// Gives the upstream connection back to the pool, if nothing stands against using it again.
    pub(super) fn release(&mut self, persistent: bool, body: &Decoder) {
        let Some(carrier) = self.upstream.take() else { return };
        let clean = carrier.connection.buffer.is_empty() && self.upload == Upload::Done;
        let is_kept = self.server.local.level.get() == Level::None && !self.awaits_continue;
        if persistent && body.ended_exactly() && clean && is_kept {
            let backend = &self.route.target.backend.id;
            self.server.pool.put(backend, carrier.connection, life::now());
        }
    }

    /// Which stall counts now: that of a client that owes us its body, or of an endpoint that
    /// owes us a response or does not take the request.
    fn expect_progress(&self, client: &mut impl Client, now: Instant) {
        let limits = &self.server.local.limits;
        let wait = match self.waits_for_client() {
            true => limits.client_stall,
            false => self.timers.stall(limits.upstream_stall),
        };
        client.deadline().set(now, wait);
    }

    fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut impl Client,
    ) -> Poll<Result<ResponseHead, Ended>> {
        let uploaded = self.poll_upload(cx, client).map_err(Ended::Client)?.is_ready();
        let Some(carrier) = &mut self.upstream else { return Poll::Pending };
        if let Poll::Ready(head) = carrier.connection.poll_head(cx, &self.server.local.limits) {
            return Poll::Ready(head.map_err(Ended::Upstream));
        }
        if uploaded && client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Ended::Client(Reason::ClientClosed)));
        }
        if self.timers.poll_request(cx).is_ready() {
            return Poll::Ready(Err(Ended::Overdue));
        }
        if self.timers.poll_attempt(cx).is_ready() {
            return Poll::Ready(Err(Ended::Upstream(UpstreamError::Silent)));
        }
        if self.poll_shed(cx, client, 0).is_ready() {
            return Poll::Ready(Err(Ended::Client(Reason::Overloaded)));
        }
        ready!(client.deadline().poll_passed(cx));
        Poll::Ready(Err(match self.waits_for_client() {
            true => Ended::Client(Reason::RequestTimeout),
            false => Ended::Upstream(UpstreamError::Silent),
        }))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.server.buffers.give_back(std::mem::take(&mut self.request.bytes));
    }
}
