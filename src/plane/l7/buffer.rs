//! Buffers that connections hold only while there is something in them.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Spare buffers of one worker.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Initialised, all of [`READ_BYTES`].
    read: RefCell<Vec<Vec<u8>>>,
    /// Empty, with some capacity.
    write: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty vector to gather output in.
    pub(super) fn take(&self) -> Vec<u8> {
        self.write.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(WRITE_BYTES))
    }

    /// Takes a vector back; large ones are freed.
    pub(super) fn give_back(&self, mut bytes: Vec<u8>) {
        let mut spare = self.write.borrow_mut();
        if bytes.capacity() <= READ_BYTES && spare.len() < SPARE {
            bytes.clear();
            spare.push(bytes);
        }
    }

    fn take_read(&self) -> Vec<u8> {
        self.read.borrow_mut().pop().unwrap_or_else(|| vec![0; READ_BYTES])
    }

    fn give_back_read(&self, bytes: Vec<u8>) {
        let mut spare = self.read.borrow_mut();
        if bytes.len() == READ_BYTES && spare.len() < SPARE {
            spare.push(bytes);
        }
    }
}

/// What was read from a connection and not used yet. While empty it holds no memory: an idle
/// connection costs its task and its socket.
#[derive(Debug)]
pub(super) struct Buffer {
    home: Rc<Buffers>,
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty one.
    pub(super) fn new(home: Rc<Buffers>) -> Self {
        Self { home, bytes: Vec::new(), start: 0, end: 0 }
    }

    /// What is in it.
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How much memory it takes.
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Drops the first `length` bytes.
    pub(super) fn consume(&mut self, length: usize) {
        self.start = self.start.saturating_add(length).min(self.end);
    }

    /// Takes everything out, and leaves it empty.
    pub(super) fn take(&mut self) -> Self {
        let empty = Self::new(self.home.clone());
        std::mem::replace(self, empty)
    }

    /// Adds bytes that were read elsewhere.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.make_room(bytes.len());
        let end = self.end.saturating_add(bytes.len());
        if let Some(free) = self.bytes.get_mut(self.end..end) {
            free.copy_from_slice(bytes);
            self.end = end;
        }
    }

    /// Reads once behind what is there: the number of bytes, 0 at the end of the stream.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        mut io: impl AsyncRead + Unpin,
    ) -> Poll<io::Result<usize>> {
        self.make_room(LEAST_READ);
        let mut free = ReadBuf::new(self.bytes.get_mut(self.end..).unwrap_or_default());
        let polled = Pin::new(&mut io).poll_read(cx, &mut free);
        let length = free.filled().len();
        self.end = self.end.saturating_add(length);
        if self.is_empty() {
            self.release();
        }
        polled.map_ok(|()| length)
    }

    fn room(&self) -> usize {
        self.bytes.len().saturating_sub(self.end)
    }

    /// Makes room for `wanted` bytes: begins anew, moves what there is to the front, or grows.
    fn make_room(&mut self, wanted: usize) {
        if self.bytes.is_empty() {
            self.bytes = self.home.take_read();
        }
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        if self.room() < wanted && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end.saturating_sub(self.start));
        }
        if self.room() < wanted {
            let longer = self.end.saturating_add(wanted).next_multiple_of(READ_BYTES);
            self.bytes.resize(longer, 0);
        }
    }

    /// Gives the memory back to the worker.
    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        self.home.give_back_read(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.release();
    }
}

/// Size of a read buffer: a head fits nearly always, and a small body with it.
pub(super) const READ_BYTES: usize = 16 * 1024;
/// A read with less room than this is not worth its system call.
const LEAST_READ: usize = READ_BYTES / 4;
const WRITE_BYTES: usize = 4 * 1024;
/// Spare buffers kept by a worker; more are freed.
const SPARE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_takes_any_amount_and_keeps_the_order() {
        let mut buffer = Buffer::new(Rc::default());
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        let (first, rest) = bytes.split_at(11_000);
        buffer.append(first);
        buffer.consume(10);
        for piece in rest.chunks(9_000) {
            buffer.append(piece);
        }
        assert!(buffer.filled() == &bytes[10..]);
        buffer.consume(usize::MAX);
        assert!(buffer.is_empty());
    }
}
