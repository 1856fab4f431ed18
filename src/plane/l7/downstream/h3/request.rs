//! Requests of HTTP/3 as those of HTTP/2 are taken.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::RequestStream;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TE, TRANSFER_ENCODING, UPGRADE};
use http_body::{Body, Frame, SizeHint};

use super::guard::Guarded;
use crate::life;
use crate::plane::Limits;
use crate::snapshot::Reason;

/// The receiving half of a stream.
pub(super) type Receiver = RequestStream<Guarded<h3_quinn::RecvStream>, Bytes>;

/// A request whose body can be read, and whether its fields are in order. How long the body is may
/// show only in its beginning, which is waited for.
pub(super) async fn read(
    request: http::Request<()>,
    stream: Receiver,
    limits: &Limits,
) -> (http::Request<Upload>, Result<(), Reason>) {
    let length = check(request.headers());
    let left = length.ok().flatten();
    let patience = Patience { bytes: limits.linger_bytes, time: limits.linger_time };
    let stream = Some(stream);
    let mut body = Upload { stream, patience, left, state: State::Data, first: None };
    if length == Ok(None) {
        // where there is no body as a rule, the end of it is waited for; elsewhere the client may
        // wait for our answer before it sends any
        let waits = matches!(request.method().as_str(), "GET" | "HEAD" | "OPTIONS" | "DELETE");
        let patience = if waits { limits.head_time } else { Duration::ZERO };
        let begun = std::future::poll_fn(|cx| body.poll_first(cx));
        let _ = tokio::time::timeout(patience, begun).await;
    }
    (request.map(|()| body), length.map(|_| ()))
}

/// The length that is said. h3 does not look at fields that belong to a connection, which have no
/// place here (RFC 9114 section 4.2).
fn check(fields: &HeaderMap) -> Result<Option<u64>, Reason> {
    let hops = [CONNECTION.as_str(), TRANSFER_ENCODING.as_str(), UPGRADE.as_str()];
    let hops = hops.iter().chain(&["keep-alive", "proxy-connection"]);
    let te = fields.get_all(TE).iter();
    let is_te = te.into_iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if !is_te || hops.into_iter().any(|name| fields.contains_key(*name)) {
        return Err(Reason::BadRequest);
    }
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let digits = length.as_bytes();
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    match length {
        Some(length) if is_number && lengths.next().is_none() => Ok(Some(length)),
        _ => Err(Reason::BadRequest),
    }
}

/// The body of a request.
pub(super) struct Upload {
    /// Until it is dropped.
    stream: Option<Receiver>,
    patience: Patience,
    /// What is still to come of the length that was said.
    left: Option<u64>,
    state: State,
    /// What was read before the request was looked at.
    first: Option<Result<Frame<Bytes>, Cut>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Data,
    Trailers,
    Done,
    /// Whoever asks again is told again: what is cut short must never seem whole.
    Failed,
}

/// What is read of a body that nobody wants.
#[derive(Clone, Copy, Debug)]
struct Patience {
    bytes: usize,
    time: Duration,
}

/// The stream was reset, or the body has another length than was said.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("body cut short")]
pub(super) struct Cut;

impl Upload {
    /// Ready once it is known whether there is a body.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.is_none() {
            self.first = ready!(Pin::new(&mut *self).poll_frame(cx));
        }
        Poll::Ready(())
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Cut>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(Cut)) };
        let data = ready!(stream.poll_recv_data(cx)).map_err(|_| Cut)?;
        let Some(mut data) = data else {
            self.state = State::Trailers;
            return Poll::Ready(if self.left.is_some_and(|left| left > 0) {
                Err(Cut)
            } else {
                Ok(None)
            });
        };
        let data = data.copy_to_bytes(data.remaining());
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or(Cut)?;
        }
        Poll::Ready(Ok(Some(data)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(first));
        }
        let polled = this.poll_next(cx);
        if let Poll::Ready(Some(Err(_))) = &polled {
            this.state = State::Failed;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.state == State::Done && self.first.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Upload {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self;
        if this.state == State::Failed {
            return Poll::Ready(Some(Err(Cut)));
        }
        if this.state == State::Data {
            match ready!(this.poll_data(cx)) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Ok(None) => {}
                Err(cut) => return Poll::Ready(Some(Err(cut))),
            }
        }
        if this.state == State::Trailers
            && let Some(stream) = &mut this.stream
        {
            let trailers = ready!(stream.poll_recv_trailers(cx));
            this.state = State::Done;
            match trailers {
                Ok(Some(fields)) => return Poll::Ready(Some(Ok(Frame::trailers(fields)))),
                Ok(None) => {}
                Err(_) => return Poll::Ready(Some(Err(Cut))),
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Upload {
    /// What is left of it is not wanted, but its end may be on its way: to stop a client that has
    /// said everything would look like a failure to it.
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take().filter(|_| self.state != State::Done) {
            life::spawn_local("h3-linger", linger(stream, self.patience));
        }
    }
}

/// Reads and drops a body, up to a limit.
async fn linger(mut stream: Receiver, Patience { bytes, time }: Patience) {
    let read = async {
        let mut left = bytes;
        while let Ok(Some(data)) = stream.recv_data().await {
            match left.checked_sub(data.remaining()) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // dropped within its stream, quinn tells the client to stop
    let _ = tokio::time::timeout(time, read).await;
    stream.stop_sending(Code::H3_NO_ERROR);
}
