//! Responses as HTTP/3 sends them.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h3::error::Code;
use h3::server::RequestStream;
use http::header::DATE;
use tokio::time::{Instant, timeout};

use super::request::Upload;
use crate::plane::Limits;
use crate::plane::l7::account::Holding;
use crate::plane::l7::downstream::h2::{Answer, Shared};
use crate::plane::l7::pace::Pace;
use crate::snapshot::Reason;

/// The sending half of a stream.
pub(super) type Sender = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;

/// Sends a response to its end. One that ends early is reset, so that nobody takes it for complete;
/// a client that takes it too slowly gets no more.
///
/// What waits for a client is a piece, and what QUIC has sent without an acknowledgement: at most the
/// window of a connection. It is accounted while it waits, and goes when memory runs out.
pub(super) async fn send(
    shared: &Shared,
    stream: &mut Sender,
    response: http::Response<Answer<Upload>>,
) {
    let server = &shared.server;
    let limits = &server.local.limits;
    let (mut parts, mut body) = response.into_parts();
    parts.headers.entry(DATE).or_insert_with(|| server.clock.date());
    let head = http::Response::from_parts(parts, ());
    let mut sent = timeout(limits.client_stall, stream.send_response(head)).await;
    let (mut pace, mut holding, mut given) = (Pace::default(), Holding::default(), 0_usize);
    while let Ok(Ok(())) = sent {
        let frame = match poll_fn(|cx| body.poll_frame(cx, PIECE)).await {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return stream.stop_stream(Code::H3_INTERNAL_ERROR),
            None => {
                let _ = timeout(limits.client_stall, stream.finish()).await;
                return;
            }
        };
        sent = match frame.into_data() {
            Ok(data) => {
                let (length, begun) = (data.len(), Instant::now());
                given = given.saturating_add(length);
                let sending = stream.send_data(data);
                let sending = while_waiting(shared, &mut body, &mut holding, given, sending);
                let sent = timeout(time_for(length, limits), Box::pin(sending)).await;
                pace.wait(begun);
                if let Ok(None) = sent {
                    body.note(Reason::Overloaded);
                    break;
                }
                if sent.is_err() || !pace.moved(Instant::now(), length as u64, limits) {
                    body.note(Reason::ClientTooSlow);
                    break;
                }
                sent.map(|sent| sent.unwrap_or(Ok(())))
            }
            Err(frame) => {
                let fields = frame.into_trailers().unwrap_or_default();
                timeout(limits.client_stall, stream.send_trailers(fields)).await
            }
        };
    }
    stream.stop_stream(Code::H3_REQUEST_CANCELLED);
}

/// How long a client may need to take so much. That it takes some of it does not show: h3 tells when it
/// has all.
fn time_for(length: usize, limits: &Limits) -> Duration {
    let seconds = length.checked_div(limits.client_rate).unwrap_or_default();
    limits.client_stall.saturating_add(Duration::from_secs(seconds as u64))
}

/// Waits for a client that has to take what is sent, which may not do so before its request is
/// taken: that goes on meanwhile. `None`: what is held of what it was given, which QUIC does not say but
/// which the streams of a connection share, has to go.
async fn while_waiting<F: Future>(
    shared: &Shared,
    body: &mut Answer<Upload>,
    holding: &mut Holding,
    given: usize,
    sending: F,
) -> Option<F::Output> {
    let server = &shared.server;
    let window = server.local.limits.h2_connection_window as usize;
    let mut sending = pin!(sending);
    poll_fn(|cx| {
        if let Answer::Relayed(relayed) = &mut *body {
            // an error shows again with the next piece
            let _ = relayed.poll_piece_upload(cx);
        }
        if let Poll::Ready(sent) = sending.as_mut().poll(cx) {
            *holding = Holding::default();
            return Poll::Ready(Some(sent));
        }
        let held = given.min(window / shared.activity.streams.get().max(1));
        holding.poll_note(cx, &server.accounts, held).map(|()| None)
    })
    .await
}

/// A slow client has not long to wait for it to be counted.
const PIECE: usize = 8 * 1024;
