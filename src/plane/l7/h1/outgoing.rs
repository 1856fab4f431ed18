//! Bytes on their way out.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::{BodyLength, ProtocolError, trailer_fields};

/// How a body is framed on the way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// As it is: its length was said, or the connection's end says it.
    Plain,
    /// In chunks, one for every piece of data.
    Chunked,
}

impl From<BodyLength> for Encoder {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::Exact(_) => Self::Plain,
            BodyLength::Chunked | BodyLength::UntilClose => Self::Chunked,
        }
    }
}

/// A head and the body behind it, gathered so that both leave in one write.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// The bytes; a head is written here first.
    pub(crate) bytes: Vec<u8>,
    /// How the body is framed.
    pub(crate) encoder: Encoder,
    sent: usize,
    dropped: bool,
}

impl Outgoing {
    /// Begins with an empty buffer.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, encoder: Encoder::Plain, sent: 0, dropped: false }
    }

    /// Adds a piece of the body; an empty one is nothing (in chunks it would mean the end).
    pub(crate) fn data(&mut self, data: &[u8]) {
        match self.encoder {
            Encoder::Plain => self.bytes.extend_from_slice(data),
            Encoder::Chunked if data.is_empty() => {}
            Encoder::Chunked => {
                self.line(format_args!("{:x}", data.len()));
                self.bytes.extend_from_slice(data);
                self.bytes.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Ends the body, with the fields of `trailer` that may go on if it is framed in chunks.
    pub(crate) fn end(&mut self, trailer: &[u8]) -> Result<(), ProtocolError> {
        if self.encoder == Encoder::Chunked {
            self.bytes.extend_from_slice(b"0\r\n");
            if trailer.len() > 2 {
                trailer_fields(trailer, |name, value| self.field(name.as_bytes(), value))?;
            }
            self.bytes.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    /// Adds a field line.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, b": ", value, b"\r\n"] {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Adds a line of formatted text.
    pub(crate) fn line(&mut self, text: std::fmt::Arguments<'_>) {
        // writing to a Vec cannot fail
        let _ = self.bytes.write_fmt(text);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Bytes that are not sent yet.
    pub(crate) fn unsent(&self) -> usize {
        self.bytes.len().saturating_sub(self.sent)
    }

    /// Whether it can be sent again from its first byte.
    pub(crate) fn is_whole(&self) -> bool {
        !self.dropped
    }

    /// Whether no byte was sent since the beginning or the last rewind.
    pub(crate) fn is_untouched(&self) -> bool {
        self.sent == 0 && !self.dropped
    }

    /// Goes back to the first byte, for another attempt. `false`: it was given away already.
    pub(crate) fn rewind(&mut self) -> bool {
        self.sent = 0;
        !self.dropped
    }

    /// Makes room when everything was sent: the bytes are gone then.
    pub(crate) fn clear(&mut self) {
        self.dropped = true;
        self.bytes.clear();
        self.sent = 0;
    }

    /// Sends what is unsent.
    pub(crate) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        mut io: impl AsyncWrite + Unpin,
    ) -> Poll<io::Result<()>> {
        while self.unsent() > 0 {
            let unsent = self.bytes.get(self.sent..).unwrap_or_default();
            let sent = ready!(Pin::new(&mut io).poll_write(cx, unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = self.sent.saturating_add(sent);
        }
        // TLS may hold records back; for a socket this is nothing
        Pin::new(&mut io).poll_flush(cx)
    }
}
