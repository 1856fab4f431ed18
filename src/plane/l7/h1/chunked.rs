//! Chunked bodies (RFC 9112 section 7.1).
//!
//! Strict: CRLF everywhere, no white space, extensions only as tokens and quoted strings.
//! Extensions are dropped, and counted, so that nobody sends for ever without sending anything.

use std::ops::Range;

use super::head::HeadEnd;
use super::{ProtocolError, trailer_fields};

/// Reads one chunked body.
#[derive(Debug)]
pub(crate) struct Chunks {
    state: State,
    /// What is left of the current chunk's data.
    left: u64,
    /// Digits of its size, zeros in front among them.
    digits: u8,
    extension_bytes: u32,
    trailer: Vec<u8>,
    trailer_end: HeadEnd,
    /// Bytes that all extensions together may have, and that the trailer section may have.
    max_side_bytes: u32,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first digit of a size.
    #[default]
    Size,
    /// A further digit, or the end of the size.
    Digit,
    /// The first byte of an extension's name.
    Name,
    /// Within the name.
    InName,
    /// The first byte of an extension's value.
    Value,
    /// Within a value without quotes.
    InValue,
    /// Within a quoted value.
    Quoted,
    /// After a backslash in a quoted value.
    Escaped,
    /// After the closing quote.
    AfterQuote,
    /// The LF of a size line.
    SizeLineFeed,
    /// Data of a chunk.
    Data,
    /// The CR after the data.
    DataReturn,
    /// The LF after the data.
    DataLineFeed,
    /// The trailer section.
    Trailer,
    /// Nothing: the body is complete.
    Done,
}

impl Chunks {
    pub(super) fn new(max_side_bytes: usize) -> Self {
        Self {
            state: State::default(),
            left: 0,
            digits: 0,
            extension_bytes: 0,
            trailer: Vec::new(),
            trailer_end: HeadEnd::default(),
            max_side_bytes: u32::try_from(max_side_bytes).unwrap_or(u32::MAX),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer section with its empty line; complete when the body is.
    pub(super) fn trailer(&self) -> &[u8] {
        &self.trailer
    }

    /// Goes on until there is data, the input is used up or the body is complete. Gives how much
    /// of the input was used, and where in it the data is.
    pub(super) fn decode(&mut self, input: &[u8]) -> Result<(usize, Range<usize>), ProtocolError> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.state == State::Data {
                let length = self.take_data(input.len() - at);
                return Ok((at + length, at..at + length));
            }
            if self.state == State::Trailer {
                at += self.read_trailer(input.get(at..).unwrap_or_default())?;
            } else if self.state == State::Done {
                break;
            } else {
                self.state = self.step(self.state, byte).ok_or(ProtocolError::Chunk)?;
                at += 1;
            }
        }
        Ok((at, at..at))
    }

    fn take_data(&mut self, available: usize) -> usize {
        let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(available);
        self.left = self.left.saturating_sub(length as u64);
        if self.left == 0 {
            self.state = State::DataReturn;
        }
        length
    }

    /// The state after one byte of framing.
    fn step(&mut self, state: State, byte: u8) -> Option<State> {
        use State::*;
        match (state, byte) {
            (Size | Digit, _) if byte.is_ascii_hexdigit() => self.add_digit(byte),
            (Digit | InName | InValue | AfterQuote, b'\r') => Some(SizeLineFeed),
            (Digit | InName | InValue | AfterQuote, b';') => self.extension(Name),
            (Name | InName, _) if is_token(byte) => self.extension(InName),
            (InName, b'=') => self.extension(Value),
            (Value, b'"') | (Escaped, b'\t' | b' '..=b'~') => self.extension(Quoted),
            (Value | InValue, _) if is_token(byte) => self.extension(InValue),
            (Quoted, b'"') => self.extension(AfterQuote),
            (Quoted, b'\\') => self.extension(Escaped),
            (Quoted, b'\t' | b' '..=b'~') => self.extension(Quoted),
            (SizeLineFeed, b'\n') if self.left == 0 => Some(Trailer),
            (SizeLineFeed, b'\n') => Some(Data),
            (DataReturn, b'\r') => Some(DataLineFeed),
            (DataLineFeed, b'\n') => Some(Size),
            _ => None,
        }
    }

    /// At most 2⁶³−1, as for `Content-Length`, in as many digits as that could need: nobody sends
    /// zeros for ever either.
    fn add_digit(&mut self, byte: u8) -> Option<State> {
        let digit = char::from(byte).to_digit(16)?;
        self.digits = if self.state == State::Size { 1 } else { self.digits + 1 };
        self.left = self.left.checked_mul(16)?.checked_add(u64::from(digit))?;
        (self.left <= i64::MAX as u64 && self.digits <= MAX_DIGITS).then_some(State::Digit)
    }

    fn extension(&mut self, next: State) -> Option<State> {
        self.extension_bytes = self.extension_bytes.saturating_add(1);
        (self.extension_bytes <= self.max_side_bytes).then_some(next)
    }

    /// Collects the trailer section; gives how much of the input was used.
    fn read_trailer(&mut self, input: &[u8]) -> Result<usize, ProtocolError> {
        let before = self.trailer.len();
        let most = self.max_side_bytes as usize;
        let room = most.saturating_sub(before).min(input.len());
        self.trailer.extend_from_slice(input.get(..room).unwrap_or_default());
        match self.trailer_end.find(&self.trailer).map_err(|_| ProtocolError::Chunk)? {
            Some(end) => {
                self.trailer.truncate(end);
                // also where it is dropped: what breaks the grammar may be meant for somebody else
                trailer_fields(&self.trailer, |_, _| {})?;
                self.state = State::Done;
                Ok(end.saturating_sub(before))
            }
            None if room < input.len() || room == 0 => Err(ProtocolError::HeadTooLarge),
            None => Ok(room),
        }
    }
}

/// Whether a byte may be in a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Of the size of a chunk.
const MAX_DIGITS: u8 = 16;
