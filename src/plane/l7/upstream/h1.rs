//! One exchange after the other in HTTP/1, or one that is translated to HTTP/2.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::h2::Translated;
use super::{Peer, Stream, UpstreamError};
use crate::plane::Limits;
use crate::plane::l7::buffer::{Buffer, Buffers};
use crate::plane::l7::h1::{Decoder, HeadEnd, Outgoing, ResponseHead};

/// A connection and what was read from it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The other end.
    pub(crate) peer: Peer,
    /// Whether it has carried an exchange before: then its end may only mean that it was idle.
    pub(crate) reused: bool,
    /// Its bytes.
    pub(crate) stream: Stream,
    /// What was read and not used yet: a response head begins here.
    pub(crate) buffer: Buffer,
    head_end: HeadEnd,
}

impl Connection {
    pub(super) fn new(peer: Peer, stream: Stream, buffers: Rc<Buffers>) -> Self {
        let buffer = Buffer::new(buffers);
        Self { peer, reused: false, stream, buffer, head_end: HeadEnd::default() }
    }

    /// For one exchange, which has a stream of a connection that others share.
    pub(super) fn translated(peer: Peer, stream: Translated, buffers: Rc<Buffers>) -> Self {
        let reused = stream.is_proven();
        let stream = Stream::Http2(Box::new(stream));
        Self { reused, ..Self::new(peer, stream, buffers) }
    }

    /// Sends what is unsent of a request.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        request: &mut Outgoing,
    ) -> Poll<std::io::Result<()>> {
        request.poll_flush(cx, &mut self.stream)
    }

    /// Reads a response head. It stays in the buffer until it is consumed by the caller.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
    ) -> Poll<Result<ResponseHead, UpstreamError>> {
        loop {
            let filled = self.buffer.filled();
            if let Some(end) = self.head_end.find_within(limits.head_bytes, filled)? {
                self.head_end = HeadEnd::default();
                let head = filled.get(..end).unwrap_or_default();
                let parsed = ResponseHead::parse(head, limits.head_fields);
                return Poll::Ready(parsed.map_err(UpstreamError::from));
            }
            let before = filled.len();
            let error = match ready!(self.buffer.poll_fill(cx, &mut self.stream)) {
                Ok(1..) => continue,
                Ok(0) => None,
                Err(error) => Some(error),
            };
            return Poll::Ready(Err(match before {
                0 => UpstreamError::unanswered(error),
                _ => UpstreamError::Broken(error),
            }));
        }
    }

    /// Goes on with a response's body: gives each piece of data to `each` until `each` says that
    /// it is enough for now (`Ok(false)`), or the body is done (`Ok(true)`).
    ///
    /// What the connection has is read into `scratch`, which the whole worker shares: a body of
    /// any size takes no memory of its own.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut Decoder,
        scratch: &mut [u8],
        each: &mut dyn FnMut(&[u8], &mut Context<'_>) -> bool,
    ) -> Poll<Result<bool, UpstreamError>> {
        if !self.buffer.is_empty() && !decoder.is_done() {
            let (used, enough) = decode(decoder, self.buffer.filled(), cx, each)?;
            self.buffer.consume(used);
            if enough {
                return Poll::Ready(Ok(decoder.is_done()));
            }
        }
        while !decoder.is_done() {
            let mut read = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Err(error) => return Poll::Ready(Err(UpstreamError::Broken(Some(error)))),
                Ok(()) if read.filled().is_empty() => decoder.end()?,
                Ok(()) => {
                    let (used, enough) = decode(decoder, read.filled(), cx, each)?;
                    self.buffer.append(read.filled().get(used..).unwrap_or_default());
                    if enough {
                        return Poll::Ready(Ok(decoder.is_done()));
                    }
                }
            }
        }
        Poll::Ready(Ok(true))
    }
}

/// Decodes all of `input` and hands on the data: how much was used, and whether it is enough.
fn decode(
    decoder: &mut Decoder,
    input: &[u8],
    cx: &mut Context<'_>,
    each: &mut dyn FnMut(&[u8], &mut Context<'_>) -> bool,
) -> Result<(usize, bool), UpstreamError> {
    let mut used = 0;
    let mut enough = false;
    while used < input.len() && !decoder.is_done() {
        let rest = input.get(used..).unwrap_or_default();
        let (length, data) = decoder.decode(rest)?;
        let data = rest.get(data).unwrap_or_default();
        enough |= !data.is_empty() && !each(data, cx);
        used += length;
    }
    Ok((used, enough))
}
