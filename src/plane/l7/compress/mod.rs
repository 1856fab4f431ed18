//! Responses that are compressed on their way to the client.
//!
//! In: the codings that a Service allows, what a request accepts, the head of the response. Out: the
//! coding to use, what changes in the head, and a [`Compressor`] for the body. Called by `exchange`,
//! which decides, and by the codecs in `downstream`, which pass bodies through.
//!
//! Invariant: what an endpoint has coded, cut or digested, or does not want to be transformed, stays
//! as it is (RFC 9110 section 7.7).
//! Invariant: nothing waits in a compressor while the endpoint is silent: it is flushed then.
//! Invariant: a compressor takes less than 2 MiB, and a worker has so many of them
//! ([`Limits::compressors`](crate::plane::Limits::compressors)); beyond them responses go on as they are.
//! Deliberately absent: events (`text/event-stream`), which would hold a compressor for ever;
//! requests; decompression.

use std::io;
use std::task::Poll;

mod compressor;
mod negotiation;
mod response;

pub(super) use compressor::Compressor;
pub(super) use negotiation::Wish;
pub(super) use response::{Prepared, prepare};

/// After a look at a body, all of whose data went through `compressor`: the end ends it, and what it
/// holds does not wait for an endpoint that is silent. `polled` is what the connection said.
pub(super) fn settle<E>(
    compressor: &mut Option<Compressor>,
    polled: &Poll<Result<bool, E>>,
    out: impl FnOnce(&[u8]),
) -> io::Result<()> {
    match (polled, compressor.as_mut()) {
        (Poll::Pending, Some(compressor)) => compressor.flush(out),
        (Poll::Ready(Ok(true)), _) => compressor.take().map_or(Ok(()), |it| it.finish(out)),
        (Poll::Ready(Ok(false)), Some(compressor)) => compressor.check(),
        (Poll::Pending | Poll::Ready(_), _) => Ok(()),
    }
}

/// What a compressor takes at most: [`Limits::compressors`](super::Limits) times as much is what
/// compression can take of a worker's memory.
#[cfg(test)]
const COMPRESSOR_BYTES: usize = 2 * 1024 * 1024;
