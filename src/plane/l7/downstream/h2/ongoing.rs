//! A request of HTTP/2 or HTTP/3 on its way: what its front does with it, step by step.

use std::rc::Rc;

use http::Response;

use super::request::{Http2Client, begin, path_of};
use super::response::{Kind, answer_itself, interim, respond};
use super::{Active, Answer, Shared, Upload};
use crate::observe::{RequestRecord, method_name};
use crate::plane::l7::exchange::{Carrier, Exchange};
use crate::plane::l7::h1::ResponseHead;
use crate::plane::l7::http_listener;
use crate::plane::l7::respond::OwnAnswer;
use crate::snapshot::Reason;

/// A request that was understood, and what its front still needs for the response. It is large, so it
/// stays in the box that it is made in until the response is over.
pub(in crate::plane::l7::downstream) struct Ongoing<B> {
    pub(super) exchange: Box<Exchange>,
    pub(super) client: Http2Client<B>,
    pub(super) record: RequestRecord,
    pub(super) kind: Kind,
}

/// What a response comes to.
pub(in crate::plane::l7::downstream) type Final<B> = Response<Answer<B>>;

impl<B: Upload> Ongoing<B> {
    /// Decides where a request goes; otherwise gives the answer to it. `checked`: what its codec could
    /// not check, its caller has. The head is large, and moved nowhere.
    pub(in crate::plane::l7::downstream) fn begin(
        shared: Rc<Shared>,
        parts: &http::request::Parts,
        body: B,
        checked: Result<(), Reason>,
        protocol: &'static str,
    ) -> Result<Box<Self>, Box<Final<B>>> {
        let server = shared.server.clone();
        let snapshot = server.local.snapshot.load();
        let listener = http_listener(&snapshot, shared.identity.key).cloned();
        drop(snapshot);
        let name = listener.as_ref().map(|listener| listener.name.clone()).unwrap_or_default();
        let mut record = server.record(&shared.identity, name, protocol);
        shared.activity.begin(record.started);
        let kind = Kind::of(parts);
        let Some(listener) = listener else {
            return Err(answer_itself(Reason::Draining, record, kind).into());
        };
        // a WebSocket is logged as what its endpoint is asked
        record.method = method_name(if kind.is_websocket { "GET" } else { parts.method.as_str() });
        record.target = path_of(parts).to_owned();
        let begun = match checked {
            Ok(()) => begin(&shared, &listener, parts, &body, kind, &mut record),
            Err(reason) => Err(reason.into()),
        };
        let (exchange, trailers) = match begun {
            Ok(begun) => begun,
            Err(answer) => return Err(answer_itself(answer, record, kind).into()),
        };
        let client =
            Http2Client { body, trailers, bytes: 0, active: Active::begin(shared, record.started) };
        Ok(Box::new(Self { exchange, client, record, kind }))
    }

    /// Whether the client waits to be told to send its body (100), which is needed before an endpoint
    /// could say so.
    pub(in crate::plane::l7::downstream) fn owes_continue(&self) -> bool {
        self.exchange.owes_continue()
    }

    /// Waits for what authorization servers say, if they are to be asked.
    pub(in crate::plane::l7::downstream) async fn authorize(&mut self) -> Result<(), OwnAnswer> {
        let Self { exchange, client, record, .. } = self;
        if exchange.awaits_authorization() {
            Box::pin(exchange.authorize(client, record)).await?;
        }
        Ok(())
    }

    /// Waits for the next response head, interim ones included.
    pub(in crate::plane::l7::downstream) async fn next(&mut self) -> Result<ResponseHead, Reason> {
        self.exchange.answer(&mut self.client, &mut self.record).await
    }

    /// Takes an interim response; nothing, if it cannot be passed on.
    pub(in crate::plane::l7::downstream) fn interim(
        &mut self,
        response: &ResponseHead,
    ) -> Option<Response<()>> {
        let carrier = self.exchange.upstream.as_ref()?;
        let head = carrier.connection.buffer.filled().get(..response.len).unwrap_or_default();
        let passed = interim(response, head);
        self.exchange.consume(response.len);
        passed
    }

    /// The final response.
    pub(in crate::plane::l7::downstream) fn finish(
        self: Box<Self>,
        response: &ResponseHead,
    ) -> Final<B> {
        respond(self, response)
    }

    /// The answer to a request that has no response.
    pub(in crate::plane::l7::downstream) fn fail(self, answer: impl Into<OwnAnswer>) -> Final<B> {
        let Self { client, mut record, kind, .. } = self;
        record.request_bytes = client.bytes;
        answer_itself(answer, record, kind)
    }

    /// Nobody waits for a response any more.
    pub(super) fn abandon(mut self) {
        self.record.request_bytes = self.client.bytes;
        self.record.reason = Some(Reason::ClientClosed);
    }

    /// Whether the endpoint has taken up the protocol that the client asked for.
    pub(super) fn is_switched(&self, response: &ResponseHead) -> bool {
        response.status == 101 && self.kind.is_websocket
    }

    /// The head of a response that switches protocols, and what is left of the exchange then.
    pub(super) fn switch(mut self, response: &ResponseHead) -> Option<(Response<()>, Switched<B>)> {
        let mut answer = self.interim(response)?;
        *answer.status_mut() = http::StatusCode::OK;
        self.record.status = response.status;
        let Self { mut exchange, client, record, .. } = self;
        let carrier = exchange.upstream.take()?;
        let Http2Client { body, active, .. } = client;
        Some((answer, Switched { body, active, carrier, record }))
    }
}

/// What is left of a request whose stream carries another protocol from now on.
pub(super) struct Switched<B> {
    pub(super) body: B,
    pub(super) active: Active,
    pub(super) carrier: Carrier,
    pub(super) record: RequestRecord,
}
