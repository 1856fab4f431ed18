//! What is sent to the client beside the responses of endpoints.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{After, Session};
use crate::life;
use crate::net::reset_on_drop;
use crate::observe::RequestRecord;
use crate::plane::l7::exchange::Exchange;
use crate::plane::l7::h1::{Outgoing, ResponseHead, Verb};
use crate::plane::l7::respond::{Delivery, OwnAnswer, write_interim, write_own};
use crate::plane::l7::{http_listener, upgrade};
use crate::plane::tls::Stream;
use crate::snapshot::Reason;

impl Session {
    /// Answers in the place of an endpoint.
    pub(super) async fn answer_itself(
        &mut self,
        answer: impl Into<OwnAnswer>,
        mut delivery: Delivery,
        record: &mut RequestRecord,
    ) -> After {
        let answer = answer.into();
        record.reason = answer.reason;
        record.request_bytes = self.body_bytes;
        if answer.reason == Some(Reason::ClientClosed) {
            return After::Abort;
        }
        // what is left of a body is not read as a request
        let whole = self.body.is_done() && !delivery.upgrade;
        let closes = answer.reason.is_some_and(closes);
        delivery.keep &= whole && !closes && !self.is_last(record);
        let mut out = Outgoing::new(self.server.buffers.take());
        write_own(&mut out, &answer, &delivery, &self.server.clock);
        record.status = answer.status;
        if delivery.verb != Verb::Head {
            record.response_bytes = answer.body.len() as u64;
        }
        match self.send(out).await {
            true if delivery.keep => After::Keep,
            true => After::Close,
            false => After::Abort,
        }
    }

    /// Closes without an answer.
    pub(super) fn turn_away(&self) -> After {
        self.begin_record().reason = Some(Reason::BadRequest);
        After::Close
    }

    /// Answers what is no request.
    pub(super) async fn refuse(&mut self, reason: Reason) -> After {
        let mut record = self.begin_record();
        let delivery = Delivery { verb: Verb::Other, minor: 1, keep: false, upgrade: false };
        self.answer_itself(reason, delivery, &mut record).await
    }

    fn begin_record(&self) -> RequestRecord {
        let snapshot = self.server.local.snapshot.load();
        let listener = http_listener(&snapshot, self.identity.key);
        let name = listener.map(|listener| listener.name.clone()).unwrap_or_default();
        self.server.record(&self.identity, name, "HTTP/1.1")
    }

    /// Passes an interim response on; clients of HTTP/1.0 do not know them. `false`: the client
    /// is gone.
    pub(super) async fn pass_interim(
        &mut self,
        exchange: &mut Exchange,
        response: &ResponseHead,
        delivery: Delivery,
    ) -> bool {
        let out = self.interim_head(exchange, response);
        delivery.minor == 0 || self.send(out).await
    }

    /// Waits for what authorization servers say about a request, and for its body if they are to
    /// see it.
    pub(super) async fn authorize(
        &mut self,
        exchange: &mut Exchange,
        record: &RequestRecord,
    ) -> Result<(), OwnAnswer> {
        if exchange.owes_continue() {
            let mut out = Outgoing::new(self.server.buffers.take());
            out.bytes.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            if !self.send(out).await {
                return Err(Reason::ClientClosed.into());
            }
        }
        exchange.authorize(self, record).await
    }

    /// Tells the client that the protocol changes, and carries the other one to its end.
    pub(super) async fn switch(
        &mut self,
        exchange: &mut Exchange,
        response: ResponseHead,
        record: &mut RequestRecord,
    ) -> After {
        record.status = response.status;
        let out = self.interim_head(exchange, &response);
        let Some(carrier) = exchange.upstream.take() else { return After::Abort };
        if self.send(out).await {
            let ahead = self.buffer.take();
            upgrade::run(&self.server, &mut self.stream, ahead.filled(), carrier, record).await;
            if record.reason == Some(Reason::Overloaded) {
                reset_on_drop(self.stream.tcp());
            }
        }
        After::Abort
    }

    fn interim_head(&self, exchange: &mut Exchange, response: &ResponseHead) -> Outgoing {
        let mut out = Outgoing::new(self.server.buffers.take());
        if let Some(carrier) = &mut exchange.upstream {
            let buffer = &mut carrier.connection.buffer;
            let head = buffer.filled().get(..response.len).unwrap_or_default();
            write_interim(&mut out, response, head);
            buffer.consume(response.len);
        }
        out
    }

    /// Sends all of it; `false` if the client is gone or takes too long.
    async fn send(&mut self, mut out: Outgoing) -> bool {
        self.deadline.set(life::now(), self.server.local.limits.client_stall);
        let sent = poll_fn(|cx| {
            if let Poll::Ready(sent) = out.poll_flush(cx, &mut self.stream) {
                return Poll::Ready(sent.is_ok());
            }
            self.deadline.poll_passed(cx).map(|()| false)
        });
        let sent = sent.await;
        self.server.buffers.give_back(std::mem::take(&mut out.bytes));
        sent
    }

    /// Closes so that the client gets to read the answer: our side first, then what it is still
    /// sending is read and dropped, up to a limit. To close with unread bytes would reset the
    /// connection and take the answer back.
    pub(super) async fn linger(mut self) {
        if self.body.is_done() && self.buffer.is_empty() && matches!(self.stream, Stream::Plain(_))
        {
            // nothing is left to read, as far as anybody knows: spare the system calls
            return;
        }
        let limits = &self.server.local.limits;
        self.deadline.set(Instant::now(), limits.linger_time);
        let mut left = limits.linger_bytes;
        let mut shut = false;
        poll_fn(|cx| {
            if !shut {
                shut = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
            }
            loop {
                self.buffer.consume(usize::MAX);
                match self.buffer.poll_fill(cx, &mut self.stream) {
                    Poll::Ready(Ok(length @ 1..)) if length <= left => left -= length,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.deadline.poll_passed(cx),
                }
            }
        })
        .await;
    }
}

/// Whether a connection ends with this answer: nobody knows where the next request begins.
fn closes(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::BadRequest
            | Reason::UriTooLong
            | Reason::HeadersTooLarge
            | Reason::MethodNotAllowed
            | Reason::MethodTooLong
            | Reason::RequestTimeout
            | Reason::ClientTooSlow
            | Reason::Draining
    )
}
