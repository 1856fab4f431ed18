//! Responses that no client waits for: read to their end here.

use std::future::poll_fn;
use std::task::Poll;

use super::{Client, Exchange};
use crate::plane::l7::forwarded::Options;
use crate::plane::l7::h1::{Decoder, ProtocolError, ResponseHead, response_length};
use crate::snapshot::Reason;

impl Exchange {
    /// Reads a response, whose head is still in the buffer, to its end, so that the connection
    /// can be used again. The data goes to `each`; `false` from it: that is too much. The decoder
    /// has the trailers.
    pub(in crate::plane::l7) async fn read_whole(
        &mut self,
        client: &mut impl Client,
        response: &ResponseHead,
        mut each: impl FnMut(&[u8]) -> bool,
    ) -> Result<Decoder, Reason> {
        let Some(carrier) = &self.upstream else { return Err(Reason::Internal) };
        let head = carrier.connection.buffer.filled().get(..response.len).unwrap_or_default();
        let fields = response.fields.iter();
        let options = Options::of(fields.map(|it| (it.known, it.name(head), it.value(head))));
        let persistent = if response.minor == 0 { options.keep_alive } else { !options.close };
        let length = response_length(response, head, self.verb);
        let length = length.map_err(ProtocolError::response_reason)?;
        let mut body = Decoder::new(length, self.server.local.limits.trailer_bytes);
        self.consume(response.len);
        let server = self.server.clone();
        poll_fn(|cx| {
            let _ = self.poll_upload(cx, client)?;
            let Some(carrier) = &mut self.upstream else { return Poll::Ready(Ok(())) };
            let mut scratch = server.scratch.borrow_mut();
            let connection = &mut carrier.connection;
            match connection.poll_body(cx, &mut body, &mut scratch, &mut |data, _| each(data)) {
                Poll::Ready(Ok(true)) => Poll::Ready(Ok(())),
                Poll::Ready(Ok(false)) => Poll::Ready(Err(Reason::UpstreamProtocol)),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error.reason())),
                Poll::Pending => {
                    client.deadline().poll_passed(cx).map(|()| Err(Reason::ResponseTimeout))
                }
            }
        })
        .await?;
        self.release(persistent, &body);
        Ok(body)
    }
}
