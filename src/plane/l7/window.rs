//! How much the other side of an HTTP/2 stream takes now, client or endpoint.

use std::io;
use std::task::{Context, Poll, ready};

use ::h2::SendStream;
use bytes::Bytes;

/// Asks for room for so many bytes; ready with how much there is, which is not nothing. The error:
/// the stream is gone.
pub(super) fn poll_room(
    stream: &mut SendStream<Bytes>,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    stream.reserve_capacity(wanted);
    loop {
        match stream.capacity() {
            0 => {}
            room => return Poll::Ready(Ok(room)),
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
}
