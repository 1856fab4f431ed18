//! Responses as HTTP/3 sends them.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use h3::error::Code;
use h3::server::RequestStream;
use http::header::DATE;
use tokio::time::timeout;

use super::request::Upload;
use crate::plane::l7::Server;
use crate::plane::l7::downstream::h2::Answer;

/// The sending half of a stream.
pub(super) type Sender = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;

/// Sends a response to its end. One that ends early is reset, so that nobody takes it for complete;
/// a client that takes nothing for too long gets no more.
pub(super) async fn send(
    server: &Server,
    mut stream: Sender,
    response: http::Response<Answer<Upload>>,
) {
    let (mut parts, mut body) = response.into_parts();
    parts.headers.entry(DATE).or_insert_with(|| server.clock.date());
    let stall = server.limits.client_stall;
    let head = http::Response::from_parts(parts, ());
    let mut sent = timeout(stall, stream.send_response(head)).await;
    while let Ok(Ok(())) = sent {
        let frame = match poll_fn(|cx| body.poll_frame(cx, usize::MAX)).await {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return stream.stop_stream(Code::H3_INTERNAL_ERROR),
            None => {
                let _ = timeout(stall, stream.finish()).await;
                return;
            }
        };
        sent = match frame.into_data() {
            Ok(data) => {
                let sending = while_uploading(&mut body, stream.send_data(data));
                timeout(stall, Box::pin(sending)).await
            }
            Err(frame) => {
                let fields = frame.into_trailers().unwrap_or_default();
                timeout(stall, stream.send_trailers(fields)).await
            }
        };
    }
    stream.stop_stream(Code::H3_REQUEST_CANCELLED);
}

/// Waits for a client that has to take what is sent, which may not do so before its request is
/// taken: that goes on meanwhile.
async fn while_uploading<F: Future>(body: &mut Answer<Upload>, sending: F) -> F::Output {
    let mut sending = pin!(sending);
    poll_fn(|cx| {
        if let Answer::Relayed(relayed) = &mut *body {
            // an error shows again with the next piece
            let _ = relayed.poll_piece_upload(cx);
        }
        sending.as_mut().poll(cx)
    })
    .await
}
