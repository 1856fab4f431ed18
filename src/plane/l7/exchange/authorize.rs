//! A request waits here for what an authorization server says (GEP-1494).

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::Instant;

use super::{Client, Exchange, Upload};
use crate::observe::RequestRecord;
use crate::plane::l7::deadline::Deadline;
use crate::plane::l7::filter::external_auth::{self, Answer, Grant, Question, Verdict, modifier};
use crate::plane::l7::filter::{change_head, written};
use crate::plane::l7::h1::{BodyLength, Decoder, Outgoing, ProtocolError, ResponseHead};
use crate::plane::l7::respond::OwnAnswer;
use crate::snapshot::{ExternalAuth, Reason};

impl Exchange {
    /// Whether an authorization server is to be asked before the request is sent.
    pub(in crate::plane::l7) fn awaits_authorization(&self) -> bool {
        self.question.is_some()
    }

    /// Whether the client waits to be told to send a body that is needed before it is sent on.
    pub(in crate::plane::l7) fn owes_continue(&self) -> bool {
        let asks = self.question.as_ref().is_some_and(|question| question.expects_continue);
        let mut needed = self.route.authorizations().filter_map(wanted_body);
        asks && self.upload == Upload::Going && needed.next().is_some()
    }

    /// Asks every authorization server of the rule. The error is the answer to the client.
    pub(in crate::plane::l7) async fn authorize(
        &mut self,
        client: &mut impl Client,
        record: &RequestRecord,
    ) -> Result<(), OwnAnswer> {
        let Some(question) = self.question.take() else { return Ok(()) };
        let route = self.route.clone();
        for auth in route.authorizations() {
            match self.ask(client, auth, &question, record).await? {
                Verdict::Allowed(grant) => self.take_grant(grant),
                Verdict::Denied(answer) => {
                    // scripts of other origins may see why, as they may see any response
                    return Err(route.added().iter().fold(answer, OwnAnswer::changed));
                }
            }
        }
        self.start_mirrors(record);
        Ok(())
    }

    async fn ask(
        &mut self,
        client: &mut impl Client,
        auth: &ExternalAuth,
        question: &Question,
        record: &RequestRecord,
    ) -> Result<Verdict, Reason> {
        let target = external_auth::target(auth)?;
        let body = match wanted_body(auth) {
            Some(max) => self.gather_all(client, question.length, max).await?,
            None => Vec::new(),
        };
        let mut out = Outgoing::new(self.server.buffers.take());
        let verb = external_auth::write(&mut out, auth, question, &body);
        let verb = verb.ok_or(Reason::AuthUnavailable)?;
        let mut asking = Self::new(&self.server, self.route.beside(&target), verb, out);
        asking.upload = Upload::Gathered;
        let record = record.of_copy("auth", &target.backend);
        let answer = self.unless_over(client, Box::pin(asking.hear(record))).await?;
        external_auth::verdict(auth, &answer.map_err(|_| Reason::AuthUnavailable)?)
    }

    /// Sends a question and reads the answer to it.
    async fn hear(mut self, mut record: RequestRecord) -> Result<Answer, Reason> {
        let deadline = Deadline::after(self.server.local.limits.upstream_stall);
        let heard = self.hear_answer(&mut Asking { deadline }, &mut record).await;
        record.status = heard.as_ref().map_or_else(|reason| reason.status(), |it| it.status);
        record.reason = heard.as_ref().err().copied();
        heard
    }

    async fn hear_answer(
        &mut self,
        client: &mut Asking,
        record: &mut RequestRecord,
    ) -> Result<Answer, Reason> {
        let head = loop {
            match self.answer(client, record).await? {
                head if head.is_interim() => self.consume(head.len),
                head => break head,
            }
        };
        let mut answer = Answer { status: head.status, ..Answer::default() };
        answer.fields = self.fields_of(&head);
        let most = self.server.local.limits.auth_answer_bytes;
        let body = &mut answer.body;
        let read = self.read_whole(client, &head, |data| {
            body.extend_from_slice(data);
            body.len() <= most
        });
        answer.trailer = read.await?.trailer().to_vec();
        if answer.body.len() > most { Err(Reason::UpstreamProtocol) } else { Ok(answer) }
    }

    /// Lower-case names and values of a head that is still in the buffer; what is no text is left
    /// out.
    fn fields_of(&self, head: &ResponseHead) -> Vec<(String, String)> {
        let Some(carrier) = &self.upstream else { return Vec::new() };
        let bytes = carrier.connection.buffer.filled().get(..head.len).unwrap_or_default();
        let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
        let fields = head.fields.iter().filter_map(|field| {
            Some((text(field.name(bytes))?.to_ascii_lowercase(), text(field.value(bytes))?))
        });
        fields.collect()
    }

    fn take_grant(&mut self, grant: Grant) {
        let head = &self.request.bytes;
        let has = |name: &str| {
            written(head).any(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()))
        };
        let mut changes = modifier(&grant.request, has);
        changes.remove = grant.remove;
        change_head(&mut self.request, &changes);
        self.granted.extend(grant.response);
    }

    /// The response is known: adds what depends on it, the session of the client and the fields
    /// of authorization servers.
    pub(super) fn complete(&mut self, head: &ResponseHead, record: &RequestRecord) {
        // whatever the client sends from now on, nobody waits for it
        self.pace = None;
        if let Some(endpoint) = record.endpoint {
            self.route.answered_by(endpoint);
        }
        if !self.granted.is_empty() {
            let fields = self.fields_of(head);
            let has = |name: &str| fields.iter().any(|(known, _)| known == name);
            self.route.add(modifier(&self.granted, has));
        }
        self.prepare_compression(head);
    }

    /// Waits for all of the body, which stays where it is to be sent on: at most `max` bytes.
    async fn gather_all(
        &mut self,
        client: &mut impl Client,
        length: BodyLength,
        max: usize,
    ) -> Result<Vec<u8>, Reason> {
        if matches!(length, BodyLength::Exact(length) if length > max as u64) {
            return Err(Reason::ContentTooLarge);
        }
        let head = memchr::memmem::find(&self.request.bytes, b"\r\n\r\n");
        let mut read = head.ok_or(Reason::Internal)?.saturating_add(4);
        let mut decoder = Decoder::new(length, self.server.local.limits.trailer_bytes);
        let mut body = Vec::new();
        loop {
            let fresh = self.request.bytes.get(read..).unwrap_or_default();
            read += take_data(&mut decoder, fresh, &mut body)?;
            if body.len() > max {
                return Err(Reason::ContentTooLarge);
            }
            if self.upload != Upload::Going {
                let fields = crate::snapshot::HeaderModifier {
                    remove: vec!["expect".into()],
                    ..Default::default()
                };
                change_head(&mut self.request, &fields);
                return Ok(body);
            }
            self.gather_more(client).await?;
        }
    }

    /// Waits for the next piece of the body.
    async fn gather_more(&mut self, client: &mut impl Client) -> Result<(), Reason> {
        let mut piece = Outgoing::new(Vec::new());
        piece.encoder = self.request.encoder;
        client.deadline().set(Instant::now(), self.server.local.limits.client_stall);
        let whole = poll_fn(|cx| {
            if let Poll::Ready(more) = client.poll_body(cx, &mut piece) {
                return Poll::Ready(more);
            }
            if self.timers.poll_request(cx).is_ready() {
                return Poll::Ready(Err(Reason::ResponseTimeout));
            }
            client.deadline().poll_passed(cx).map(|()| Err(Reason::RequestTimeout))
        });
        if whole.await? {
            self.upload = Upload::Gathered;
        }
        self.request.bytes.extend_from_slice(&piece.bytes);
        Ok(())
    }
}

/// How much of a body an authorization server is sent, if any.
fn wanted_body(auth: &ExternalAuth) -> Option<usize> {
    auth.max_body.filter(|max| *max > 0).map(|max| max as usize)
}

/// Decodes all of `input`: how much that was.
fn take_data(decoder: &mut Decoder, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Reason> {
    let mut used = 0;
    while used < input.len() && !decoder.is_done() {
        let rest = input.get(used..).unwrap_or_default();
        let (length, data) = decoder.decode(rest).map_err(ProtocolError::request_reason)?;
        body.extend_from_slice(rest.get(data).unwrap_or_default());
        used += length;
    }
    Ok(used)
}

/// A question, which is whole from the beginning.
struct Asking {
    deadline: Deadline,
}

impl Client for Asking {
    fn take_buffered(&mut self, _: &mut Outgoing) -> Result<bool, Reason> {
        Ok(true)
    }

    fn poll_body(
        &mut self,
        _: &mut std::task::Context<'_>,
        _: &mut Outgoing,
    ) -> Poll<Result<bool, Reason>> {
        Poll::Ready(Ok(true))
    }

    fn poll_gone(&mut self, _: &mut std::task::Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn deadline(&mut self) -> &mut Deadline {
        &mut self.deadline
    }
}
