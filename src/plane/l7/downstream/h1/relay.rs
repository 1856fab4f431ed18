//! A response on its way to a client of HTTP/1, while the rest of the request may still be on
//! its way to the endpoint.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::{After, Session};
use crate::life;
use crate::net::reset_on_drop;
use crate::observe::RequestRecord;
use crate::plane::l7::compress::{Compressor, settle};
use crate::plane::l7::exchange::{Client, Exchange, Upload};
use crate::plane::l7::forwarded::Options;
use crate::plane::l7::h1::{
    BodyLength, Decoder, Encoder, Outgoing, ProtocolError, ResponseHead, response_length,
};
use crate::plane::l7::pace::Pace;
use crate::plane::l7::respond::{Delivery, Received, write_response};
use crate::snapshot::Reason;

/// A final response whose head is written and whose body follows.
pub(super) struct Relay {
    out: Outgoing,
    body: Decoder,
    compressor: Option<Compressor>,
    /// Whether the endpoint keeps its connection open.
    persistent: bool,
    delivery: Delivery,
    status: u16,
    ended: bool,
    bytes: u64,
    /// How fast the client takes what there is for it.
    pace: Pace,
}

impl Relay {
    /// Writes the head; nothing is sent yet.
    pub(super) fn begin(
        exchange: &mut Exchange,
        response: &ResponseHead,
        mut delivery: Delivery,
        session: &Session,
    ) -> Result<Self, Reason> {
        let Some(carrier) = &mut exchange.upstream else { return Err(Reason::Internal) };
        let buffer = &mut carrier.connection.buffer;
        let head = buffer.filled().get(..response.len).unwrap_or_default();
        if response.status == 101 {
            return Err(Reason::UpstreamProtocol);
        }
        let length = response_length(response, head, delivery.verb)
            .map_err(ProtocolError::response_reason)?;
        let server = &session.server;
        let compressor = exchange.compressor.take();
        // nobody knows how long it will be
        let told = if compressor.is_some() { BodyLength::UntilClose } else { length };
        let mut out = Outgoing::new(server.buffers.take());
        let fields = response.fields.iter().map(|it| (it.known, it.name(head), it.value(head)));
        let options = Options::of(fields);
        let modifiers = exchange.route.response_modifiers();
        let received =
            Received { response, head, length: told, options: &options, modifiers: &modifiers };
        write_response(&mut out, received, &mut delivery, &server.clock);
        let persistent = if response.minor == 0 { options.keep_alive } else { !options.close };
        buffer.consume(response.len);
        Ok(Self {
            out,
            body: Decoder::new(length, server.local.limits.trailer_bytes),
            compressor,
            // an endpoint that was asked for another protocol is asked for nothing else
            persistent: persistent && !delivery.upgrade,
            delivery,
            status: response.status,
            ended: false,
            bytes: 0,
            pace: Pace::default(),
        })
    }

    /// Carries the response to its end, gives the upstream connection back and completes the
    /// record.
    pub(super) async fn run(
        &mut self,
        exchange: &mut Exchange,
        session: &mut Session,
        record: &mut RequestRecord,
    ) -> After {
        record.status = self.status;
        let ended = poll_fn(|cx| self.poll(cx, exchange, session)).await;
        record.request_bytes = session.body_bytes;
        record.response_bytes = self.bytes;
        if let Err(reason) = ended {
            // who takes nothing takes no other answer either
            if self.out.is_untouched() && reason != Reason::ClientTooSlow {
                return Box::pin(session.answer_itself(reason, self.delivery, record)).await;
            }
            record.reason = Some(reason);
            return After::Abort;
        }
        let uploaded = exchange.upload == Upload::Done;
        exchange.release(self.persistent, &self.body);
        session.server.buffers.give_back(std::mem::take(&mut self.out.bytes));
        if self.delivery.keep && uploaded { After::Keep } else { After::Close }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        session: &mut Session,
    ) -> Poll<Result<(), Reason>> {
        let before = (self.bytes, session.body_bytes, self.out.unsent());
        loop {
            let _ = exchange.poll_upload(cx, session)?;
            let more = self.poll_download(cx, exchange, session);
            if let Poll::Ready(Err(reason)) = more {
                if !self.out.is_untouched() {
                    // what came is passed on; that it is not all shows in how it ends
                    let _ = self.out.poll_flush(cx, &mut session.stream);
                }
                return Poll::Ready(Err(reason));
            }
            let flushed = self.out.poll_flush(cx, &mut session.stream);
            match flushed {
                Poll::Ready(Ok(())) => self.out.clear(),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ClientClosed)),
                Poll::Pending => break,
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if more.is_pending() {
                break;
            }
        }
        if before != (self.bytes, session.body_bytes, self.out.unsent()) {
            let now = life::now();
            self.expect_progress(session, now);
            let (queued, waiting) = (self.bytes.saturating_sub(before.0), self.out.unsent());
            let taken = queued.saturating_add(before.2 as u64).saturating_sub(waiting as u64);
            if taken > 0 && !self.pace.moved(now, taken, &session.server.local.limits) {
                return Poll::Ready(Err(Reason::ClientTooSlow));
            }
            if waiting > 0 {
                self.pace.wait(now);
            }
        }
        let held = self.out.bytes.capacity().saturating_add(session.buffer.held());
        if exchange.poll_shed(cx, session, held).is_ready() {
            reset_on_drop(session.stream.tcp());
            return Poll::Ready(Err(Reason::Overloaded));
        }
        if exchange.poll_overdue(cx).is_ready() {
            return Poll::Ready(Err(Reason::ResponseTimeout));
        }
        if exchange.upload == Upload::Done && session.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(Reason::ClientClosed));
        }
        session.deadline.poll_passed(cx).map(|()| Err(self.stalled()))
    }

    /// Takes what the endpoint has into the output, until that is enough for now.
    fn poll_download(
        &mut self,
        cx: &mut Context<'_>,
        exchange: &mut Exchange,
        session: &mut Session,
    ) -> Poll<Result<(), Reason>> {
        let Self { out, body, bytes, compressor, .. } = self;
        let Some(carrier) = &mut exchange.upstream else { return Poll::Ready(Ok(())) };
        if out.unsent() >= ENOUGH || self.ended {
            return Poll::Ready(Ok(()));
        }
        let server = session.server.clone();
        let mut scratch = server.scratch.borrow_mut();
        let stream = &mut session.stream;
        let polled = carrier.connection.poll_body(cx, body, &mut scratch, &mut |data, cx| {
            if let Some(compressor) = compressor {
                compressor.data(data, |it| gather(it, out, bytes));
                return false;
            }
            *bytes = bytes.saturating_add(data.len() as u64);
            pass_on(data, out, stream, cx);
            out.unsent() < ENOUGH
        });
        if settle(compressor, &polled, |it| gather(it, out, bytes)).is_err() {
            return Poll::Ready(Err(Reason::Internal));
        }
        match polled {
            Poll::Ready(Ok(false)) if compressor.is_some() => {
                // it costs so much time that others have their turn before the next piece
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Ok(true)) => {
                self.ended = true;
                Poll::Ready(out.end(body.trailer()).map_err(ProtocolError::response_reason))
            }
            Poll::Ready(Ok(false)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.reason())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn expect_progress(&self, session: &mut Session, now: Instant) {
        let limits = &session.server.local.limits;
        let wait = if self.out.unsent() > 0 { limits.client_stall } else { limits.upstream_stall };
        session.deadline.set(now, wait);
    }

    fn stalled(&self) -> Reason {
        if self.out.unsent() > 0 { Reason::ClientTooSlow } else { Reason::ResponseTimeout }
    }
}

/// What was compressed is gathered.
fn gather(coded: &[u8], out: &mut Outgoing, bytes: &mut u64) {
    *bytes = bytes.saturating_add(coded.len() as u64);
    out.data(coded);
}

/// Large plain data goes straight to the client; the rest is gathered.
fn pass_on(
    data: &[u8],
    out: &mut Outgoing,
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
) {
    let direct = out.encoder == Encoder::Plain && out.unsent() == 0;
    let sent = match direct.then(|| Pin::new(stream).poll_write(cx, data)) {
        Some(Poll::Ready(Ok(sent))) => sent,
        // an error shows again when the rest is flushed
        Some(Poll::Ready(Err(_)) | Poll::Pending) | None => 0,
    };
    out.data(data.get(sent..).unwrap_or_default());
}

/// Output that waits for the client before more is read from the endpoint.
const ENOUGH: usize = 64 * 1024;
