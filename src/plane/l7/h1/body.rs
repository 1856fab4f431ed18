//! Bodies on their way in.

use std::ops::Range;

use super::chunked::Chunks;
use super::{BodyLength, Name, ProtocolError};
use crate::plane::MOST_FIELDS;

/// Takes a body out of the bytes of a connection.
#[derive(Debug)]
pub(crate) enum Decoder {
    /// So many bytes to come.
    Exact(u64),
    /// Chunks.
    Chunked(Chunks),
    /// Whatever comes.
    UntilClose {
        /// The connection has ended.
        done: bool,
    },
}

impl Decoder {
    /// Begins a body, whose trailers may have so many bytes, and the extensions of its chunks as many.
    pub(crate) fn new(length: BodyLength, max_trailer: usize) -> Self {
        match length {
            BodyLength::Exact(length) => Self::Exact(length),
            BodyLength::Chunked => Self::Chunked(Chunks::new(max_trailer)),
            BodyLength::UntilClose => Self::UntilClose { done: false },
        }
    }

    /// Whether the body is complete.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Exact(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::UntilClose { done } => *done,
        }
    }

    /// Whether it is complete, and its last byte was known to be the last: then the connection is
    /// ready for what comes next.
    pub(crate) fn ended_exactly(&self) -> bool {
        match self {
            Self::Exact(_) | Self::Chunked(_) => self.is_done(),
            Self::UntilClose { .. } => false,
        }
    }

    /// The part of `space` that may be read into without going beyond the body, where its length
    /// is known.
    pub(crate) fn within<'a>(&self, space: &'a mut [u8]) -> &'a mut [u8] {
        let left = match self {
            Self::Exact(left) => usize::try_from(*left).unwrap_or(usize::MAX),
            Self::Chunked(_) | Self::UntilClose { .. } => usize::MAX,
        };
        let length = left.min(space.len());
        space.get_mut(..length).unwrap_or_default()
    }

    /// Takes the next data out of `input`: how much of the input was used, and where in it the
    /// data is. Call it again with the rest until it uses nothing.
    pub(crate) fn decode(&mut self, input: &[u8]) -> Result<(usize, Range<usize>), ProtocolError> {
        match self {
            Self::Exact(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left = left.saturating_sub(length as u64);
                Ok((length, 0..length))
            }
            Self::Chunked(chunks) => chunks.decode(input),
            Self::UntilClose { .. } => Ok((input.len(), 0..input.len())),
        }
    }

    /// The connection has ended: only a body without a length may end so.
    pub(crate) fn end(&mut self) -> Result<(), ProtocolError> {
        if let Self::UntilClose { done } = self {
            *done = true;
        }
        if self.is_done() { Ok(()) } else { Err(ProtocolError::Truncated) }
    }

    /// The trailer section of a complete chunked body; otherwise empty.
    pub(crate) fn trailer(&self) -> &[u8] {
        match self {
            Self::Chunked(chunks) => chunks.trailer(),
            Self::Exact(_) | Self::UntilClose { .. } => &[],
        }
    }
}

/// The fields of a trailer section that may go on (RFC 9110 section 6.5.1); what frames, routes
/// or authenticates is left out.
pub(crate) fn trailer_fields(
    trailer: &[u8],
    mut each: impl FnMut(&str, &[u8]),
) -> Result<(), ProtocolError> {
    if trailer.is_empty() {
        return Ok(());
    }
    let mut storage = [httparse::EMPTY_HEADER; MOST_FIELDS];
    match httparse::parse_headers(trailer, &mut storage) {
        Ok(httparse::Status::Complete((_, fields))) => {
            let allowed = |name: &[u8]| Name::of(name).allowed_in_trailer(name);
            for field in fields.iter().filter(|field| allowed(field.name.as_bytes())) {
                each(field.name, field.value);
            }
            Ok(())
        }
        Ok(httparse::Status::Partial) | Err(_) => Err(ProtocolError::Chunk),
    }
}
