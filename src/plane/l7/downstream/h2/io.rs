//! The stream under HTTP/2, of which something was read already, and the frames that come by it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::calm::Calm;
use crate::plane::Limits;
use crate::plane::l7::deadline::Deadline;
use crate::plane::tls::Stream;

/// Gives what was read first, and counts frames.
#[derive(Debug)]
pub(super) struct Watched {
    read: Vec<u8>,
    under: Rc<Under>,
    frames: Frames,
    calm: Rc<Calm>,
}

/// What is left when HTTP/2 is done with it, and whether it moves.
#[derive(Debug)]
pub(super) struct Under {
    stream: RefCell<Stream>,
    /// Bytes came, or went, since somebody looked.
    pub(super) has_read: Cell<bool>,
    pub(super) has_written: Cell<bool>,
}

impl Under {
    pub(super) fn new(stream: Stream) -> Self {
        let (has_read, has_written) = Default::default();
        Self { stream: stream.into(), has_read, has_written }
    }

    /// Reads and drops what a client still sends after our last word, until it has closed: to close with
    /// unread bytes, or to get some afterwards, is a reset, which takes from it what it has not read yet.
    pub(super) async fn linger(&self, limits: &Limits) {
        let mut scratch = vec![0; LINGER_READ];
        let mut left = limits.linger_bytes;
        let mut moved = Deadline::after(limits.linger_time);
        let mut all = Deadline::after(limits.client_stall);
        poll_fn(|cx| {
            loop {
                let mut read = ReadBuf::new(&mut scratch);
                match Pin::new(&mut *self.stream.borrow_mut()).poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) if (1..=left).contains(&read.filled().len()) => {
                        left -= read.filled().len();
                        moved.set(Instant::now(), limits.linger_time);
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending if moved.poll_passed(cx).is_ready() => return Poll::Ready(()),
                    Poll::Pending => return all.poll_passed(cx),
                }
            }
        })
        .await;
    }
}

impl Watched {
    pub(super) fn new(read: Vec<u8>, under: Rc<Under>, calm: Rc<Calm>) -> Self {
        Self { read, under, frames: Frames::default(), calm }
    }

    fn poll_any(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut *self.under.stream.borrow_mut()).poll_read(cx, buf);
        }
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(self.read.get(..length).unwrap_or_default());
        self.read.drain(..length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = this.poll_any(cx, buf);
        let fresh = buf.filled().get(before..).unwrap_or_default();
        this.under.has_read.set(this.under.has_read.get() || !fresh.is_empty());
        let calm = &this.calm;
        this.frames.read(fresh, |kind| {
            if matches!(kind, PRIORITY | SETTINGS | PING | WINDOW_UPDATE) || kind > CONTINUATION {
                calm.note_control_frame();
            }
        });
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let under = &self.get_mut().under;
        let polled = Pin::new(&mut *under.stream.borrow_mut()).poll_write(cx, buf);
        under.has_written.set(under.has_written.get() || polled.is_ready());
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().under.stream.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().under.stream.borrow_mut()).poll_shutdown(cx)
    }
}

/// Where in the frames of a connection we are (RFC 9113 section 4.1).
#[derive(Debug)]
struct Frames {
    /// Bytes that belong to no header: of the preface, of payloads.
    skip: usize,
    header: [u8; HEADER_BYTES],
    filled: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { skip: PREFACE_BYTES, header: [0; HEADER_BYTES], filled: 0 }
    }
}

impl Frames {
    /// Reads on, and tells the type of every frame that begins.
    fn read(&mut self, mut bytes: &[u8], mut tell: impl FnMut(u8)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let missing = self.header.get_mut(self.filled..).unwrap_or_default();
            let taken = missing.len().min(bytes.len());
            if self.skip > 0 || taken == 0 {
                continue;
            }
            let (header, rest) = bytes.split_at(taken);
            missing.iter_mut().zip(header).for_each(|(place, byte)| *place = *byte);
            self.filled += taken;
            bytes = rest;
            if self.filled == HEADER_BYTES {
                let [high, middle, low, kind, ..] = self.header;
                self.skip = u32::from_be_bytes([0, high, middle, low]) as usize;
                self.filled = 0;
                tell(kind);
            }
        }
    }
}

/// What is dropped at once.
const LINGER_READ: usize = 4 * 1024;
const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
/// Types of frames (RFC 9113 section 6).
const PRIORITY: u8 = 2;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut frames, mut kinds) = (Frames::default(), Vec::new());
        pieces.iter().for_each(|piece| frames.read(piece, |kind| kinds.push(kind)));
        kinds
    }

    proptest! {
        #[test]
        fn frames_are_found_however_their_bytes_come(
            sent in prop::collection::vec((any::<u8>(), 0_u8..40), 0..20),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            for (kind, length) in &sent {
                bytes.extend([0, 0, *length, *kind, 0, 0, 0, 0, 1]);
                bytes.extend(std::iter::repeat_n(9, usize::from(*length)));
            }
            let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            places.extend([0, bytes.len()]);
            places.sort_unstable();
            let pieces: Vec<_> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let expected: Vec<_> = sent.iter().map(|(kind, _)| *kind).collect();
            prop_assert_eq!(&kinds(&pieces), &expected);
            let single: Vec<_> = bytes.chunks(1).collect();
            prop_assert_eq!(kinds(&single), expected);
        }
    }
}
