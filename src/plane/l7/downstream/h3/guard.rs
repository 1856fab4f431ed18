//! Stands between h3 and quinn: h3 keeps a frame in memory until all of it is there, however long.

use std::task::{Context, Poll};

use bytes::Bytes;
use h3::quic::{
    self, BidiStream, ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream,
    StreamErrorIncoming, StreamId, WriteBuf,
};

/// A connection or stream of which no long frame is read.
pub(super) struct Guarded<S> {
    inner: S,
    most: u64,
    frames: Frames,
    /// Whether a read is under way: h3-quinn 0.0.10 panics when it is to stop then.
    is_reading: bool,
}

impl<S> Guarded<S> {
    /// A connection on whose streams a frame (but for those of bodies) has `most` bytes at most.
    pub(super) fn new(inner: S, most: usize) -> Self {
        Self::with(inner, most as u64, Frames::Kind(Integer::default()))
    }

    fn with(inner: S, most: u64, frames: Frames) -> Self {
        Self { inner, most, frames, is_reading: false }
    }
}

impl<C: quic::Connection<Bytes>> quic::Connection<Bytes> for Guarded<C>
where
    C::RecvStream: RecvStream<Buf = Bytes>,
    C::BidiStream: RecvStream<Buf = Bytes>,
{
    type RecvStream = Guarded<C::RecvStream>;
    type OpenStreams = Guarded<C::OpenStreams>;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        let begin = Frames::StreamKind(Integer::default());
        self.inner.poll_accept_recv(cx).map_ok(|it| Guarded::with(it, self.most, begin))
    }

    fn poll_accept_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        let begin = Frames::Kind(Integer::default());
        self.inner.poll_accept_bidi(cx).map_ok(|it| Guarded::with(it, self.most, begin))
    }

    fn opener(&self) -> Self::OpenStreams {
        Guarded::with(self.inner.opener(), self.most, self.frames)
    }
}

impl<O: OpenStreams<Bytes>> OpenStreams<Bytes> for Guarded<O>
where
    O::BidiStream: RecvStream<Buf = Bytes>,
{
    type BidiStream = Guarded<O::BidiStream>;
    type SendStream = O::SendStream;

    fn poll_open_bidi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        let begin = Frames::Kind(Integer::default());
        self.inner.poll_open_bidi(cx).map_ok(|it| Guarded::with(it, self.most, begin))
    }

    fn poll_open_send(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.inner.poll_open_send(cx)
    }

    fn close(&mut self, code: h3::error::Code, reason: &[u8]) {
        self.inner.close(code, reason);
    }
}

impl<S: RecvStream<Buf = Bytes>> RecvStream for Guarded<S> {
    type Buf = Bytes;

    fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        let polled = self.inner.poll_data(cx);
        self.is_reading = polled.is_pending();
        if let Poll::Ready(Ok(Some(data))) = &polled
            && !self.frames.take(data, self.most)
        {
            self.inner.stop_sending(h3::error::Code::H3_EXCESSIVE_LOAD.value());
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(TooLong))));
        }
        polled
    }

    fn stop_sending(&mut self, error_code: u64) {
        if !self.is_reading {
            self.inner.stop_sending(error_code);
        }
    }

    fn recv_id(&self) -> StreamId {
        self.inner.recv_id()
    }
}

impl<S: SendStream<Bytes>> SendStream<Bytes> for Guarded<S> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.inner.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.inner.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.inner.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.inner.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.inner.send_id()
    }
}

impl<S: BidiStream<Bytes> + RecvStream<Buf = Bytes>> BidiStream<Bytes> for Guarded<S>
where
    S::RecvStream: RecvStream<Buf = Bytes>,
{
    type SendStream = S::SendStream;
    type RecvStream = Guarded<S::RecvStream>;

    fn split(self) -> (Self::SendStream, Self::RecvStream) {
        let Self { inner, most, frames, is_reading } = self;
        let (sender, inner) = inner.split();
        (sender, Guarded { inner, most, frames, is_reading })
    }
}

/// A frame is longer than a head may be.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a frame is too long")]
struct TooLong;

/// Where in a stream the next byte is (RFC 9114 sections 6.2 and 7.1). Sans-IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frames {
    /// In the kind of a unidirectional stream.
    StreamKind(Integer),
    /// In the kind of a frame.
    Kind(Integer),
    /// In the length of one of that kind.
    Length(u64, Integer),
    /// In a frame, with so many bytes to come.
    Payload(u64),
    /// In a stream that has no frames.
    Unframed,
}

impl Frames {
    /// Goes on over `data`; `false`: a frame that is no piece of a body has more than `most` bytes.
    fn take(&mut self, data: &[u8], most: u64) -> bool {
        let mut rest = data;
        while let Some((byte, behind)) = rest.split_first() {
            match self {
                Self::Unframed => return true,
                Self::Payload(left) => {
                    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    rest = rest.get(length..).unwrap_or_default();
                    *left = left.saturating_sub(length as u64);
                    if *left == 0 {
                        *self = Self::Kind(Integer::default());
                    }
                    continue;
                }
                Self::StreamKind(kind) => match kind.push(*byte) {
                    Some(CONTROL) => *self = Self::Kind(Integer::default()),
                    Some(_) => *self = Self::Unframed,
                    None => {}
                },
                Self::Kind(kind) => {
                    if let Some(kind) = kind.push(*byte) {
                        *self = Self::Length(kind, Integer::default());
                    }
                }
                Self::Length(kind, length) => {
                    let is_body = *kind == DATA;
                    match length.push(*byte) {
                        Some(length) if length > most && !is_body => return false,
                        Some(0) => *self = Self::Kind(Integer::default()),
                        Some(length) => *self = Self::Payload(length),
                        None => {}
                    }
                }
            }
            rest = behind;
        }
        true
    }
}

/// A number of variable length (RFC 9000 section 16), byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Integer {
    value: u64,
    /// Bytes that are still to come; 0 before the first.
    missing: u8,
}

impl Integer {
    /// Takes a byte; the number, if that was the last.
    fn push(&mut self, byte: u8) -> Option<u64> {
        if self.missing == 0 {
            self.value = u64::from(byte & 0x3f);
            self.missing = (1 << (byte >> 6)) - 1;
        } else {
            self.value = self.value << 8 | u64::from(byte);
            self.missing -= 1;
        }
        (self.missing == 0).then_some(self.value)
    }
}

/// The kind of a frame that is a piece of a body.
const DATA: u64 = 0;
/// The kind of a stream that carries what concerns the whole connection.
const CONTROL: u64 = 0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGIN: Frames = Frames::Kind(Integer { value: 0, missing: 0 });
    const BEGIN_UNI: Frames = Frames::StreamKind(Integer { value: 0, missing: 0 });

    #[test]
    fn numbers_are_read_as_the_specification_has_them() {
        // RFC 9000 appendix A.1
        for (bytes, expected) in [
            (&b"\xc2\x19\x7c\x5e\xff\x14\xe8\x8c"[..], 151_288_809_941_952_652),
            (b"\x9d\x7f\x3e\x7d", 494_878_333),
            (b"\x7b\xbd", 15_293),
            (b"\x25", 37),
            (b"\x40\x25", 37),
        ] {
            let mut integer = Integer::default();
            let (last, first) = bytes.split_last().expect("a byte");
            assert!(first.iter().all(|byte| integer.push(*byte).is_none()));
            assert_eq!(integer.push(*last), Some(expected));
        }
    }

    #[test]
    fn long_frames_are_refused_unless_they_are_of_a_body() {
        for (begin, bytes, expected) in [
            // HEADERS of 16 bytes, and of 17
            (BEGIN, &b"\x01\x10"[..], true),
            (BEGIN, b"\x01\x11", false),
            // DATA of 1 GiB, in which anything may stand
            (BEGIN, b"\x00\x80\x40\x00\x00\x00\x01\xff\xff\xff", true),
            // DATA of 1 byte, HEADERS of 0, then SETTINGS of 63
            (BEGIN, b"\x00\x01x\x01\x00\x04\x3f", false),
            // a control stream, and others, which have no frames
            (BEGIN_UNI, b"\x00\x04\x3f", false),
            (BEGIN_UNI, b"\x00\x04\x01x\x07\x3f", false),
            (BEGIN_UNI, b"\x02\x04\x3f", true),
        ] {
            let mut frames = begin;
            assert_eq!(frames.take(bytes, 16), expected, "{bytes:?}");
            let mut frames = begin;
            let one_by_one = bytes.iter().all(|byte| frames.take(&[*byte], 16));
            assert_eq!(one_by_one, expected, "{bytes:?} one by one");
        }
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let (mut whole, mut split) = (BEGIN, BEGIN);
            let expected = whole.take(&bytes, 8);
            prop_assert_eq!(split.take(first, 8) && split.take(second, 8), expected);
            if expected {
                prop_assert_eq!(whole, split);
            }
        }
    }
}
