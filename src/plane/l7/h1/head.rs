//! Request and response heads.

use std::mem::MaybeUninit;

use httparse::Status;

use super::{Name, ProtocolError};
use crate::plane::{Limits, MOST_FIELDS};

/// Finds the end of a head in bytes that arrive piece by piece, and checks its line ends.
///
/// httparse takes a bare LF for a line end and has no switch for it, so this comes before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadEnd {
    scanned: usize,
    line: usize,
}

impl HeadEnd {
    /// The length of the head, with the empty line, once it is all there. `bytes` begin at the
    /// same place at every call.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let fresh = bytes.get(self.scanned..).unwrap_or_default();
        for offset in memchr::memchr_iter(b'\n', fresh) {
            let feed = self.scanned + offset;
            if feed == 0 || bytes.get(feed - 1) != Some(&b'\r') {
                return Err(ProtocolError::Head);
            }
            if feed == self.line + 1 {
                return Ok(Some(feed + 1));
            }
            self.line = feed + 1;
        }
        self.scanned = bytes.len();
        Ok(None)
    }

    /// The same for a head of `most` bytes at most. What comes behind them is not looked at, for it is not
    /// always there yet.
    pub(crate) fn find_within(
        &mut self,
        most: usize,
        bytes: &[u8],
    ) -> Result<Option<usize>, ProtocolError> {
        let bytes = bytes.get(..most).unwrap_or(bytes);
        match self.find(bytes)? {
            None if bytes.len() == most => Err(ProtocolError::HeadTooLarge),
            end => Ok(end),
        }
    }
}

/// Where something stands in the bytes of its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The place of `part` in `whole`, by address: httparse gives slices of its input.
    fn of(part: &[u8], whole: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
        let end = start.saturating_add(part.len());
        Self {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: u32::try_from(end).unwrap_or(u32::MAX),
        }
    }

    /// How many bytes there are.
    fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// What stands there; empty in other bytes than it was made from.
    pub(crate) fn of_head(self, head: &[u8]) -> &[u8] {
        head.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A field of a head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// What it is to a proxy.
    pub(crate) known: Name,
    name: Span,
    value: Span,
}

impl Field {
    fn of(header: &httparse::Header<'_>, head: &[u8]) -> Self {
        let name = header.name.as_bytes();
        Self {
            known: Name::of(name),
            name: Span::of(name, head),
            value: Span::of(header.value, head),
        }
    }

    /// The name as sent.
    pub(crate) fn name(self, head: &[u8]) -> &[u8] {
        self.name.of_head(head)
    }

    /// The value without white space around it.
    pub(crate) fn value(self, head: &[u8]) -> &[u8] {
        self.value.of_head(head)
    }
}

/// What a method means to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Answers have no body.
    Head,
    /// Refused: rutter is no tunnel.
    Connect,
    /// May be sent twice (RFC 9110 section 9.2.2): GET, OPTIONS, TRACE, PUT, DELETE.
    Idempotent,
    /// Anything else.
    Other,
}

impl Verb {
    /// Classifies a method; methods are case-sensitive.
    pub(crate) fn of(method: &[u8]) -> Self {
        match method {
            b"HEAD" => Self::Head,
            b"CONNECT" => Self::Connect,
            b"GET" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE" => Self::Idempotent,
            _ => Self::Other,
        }
    }

    /// Whether a request may be sent again after it may have been received.
    pub(crate) fn is_idempotent(self) -> bool {
        match self {
            Self::Head | Self::Idempotent => true,
            Self::Connect | Self::Other => false,
        }
    }
}

/// A request head: offsets into the bytes it was read from.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Bytes of the head, with the empty line.
    pub(crate) len: usize,
    /// What the method means.
    pub(crate) verb: Verb,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub(crate) minor: u8,
    /// Every field, in order.
    pub(crate) fields: Vec<Field>,
    method: Span,
    target: Span,
}

impl RequestHead {
    /// Parses a whole head, as [`HeadEnd`] delimits it.
    pub(crate) fn parse(head: &[u8], limits: &Limits) -> Result<Self, ProtocolError> {
        let parsed = Self::parse_with::<MOST_FIELDS>(head, limits.head_fields)?;
        if parsed.method.len() > limits.method_bytes {
            return Err(ProtocolError::MethodTooLong);
        }
        if parsed.target.len() > limits.target_bytes {
            return Err(ProtocolError::TargetTooLong);
        }
        let is_too_large = |it: &Field| it.name.len() + it.value.len() > limits.field_bytes;
        if head.len() > limits.field_bytes && parsed.fields.iter().any(is_too_large) {
            return Err(ProtocolError::HeadTooLarge);
        }
        Ok(parsed)
    }

    /// Parses a head that was written here: of the fields of a client, which were counted, and
    /// those that proxy and rule add to them.
    pub(crate) fn parse_own(head: &[u8]) -> Result<Self, ProtocolError> {
        Self::parse_with::<MAX_OWN_FIELDS>(head, MAX_OWN_FIELDS)
    }

    fn parse_with<const FIELDS: usize>(
        head: &[u8],
        max_fields: usize,
    ) -> Result<Self, ProtocolError> {
        let mut storage = [const { MaybeUninit::uninit() }; FIELDS];
        let mut request = httparse::Request::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_request_with_uninit_headers(
            &mut request,
            head,
            first(&mut storage, max_fields),
        );
        expect_all(parsed, head)?;
        let (Some(method), Some(target), Some(minor)) =
            (request.method, request.path, request.version)
        else {
            return Err(ProtocolError::Head);
        };
        Ok(Self {
            len: head.len(),
            verb: Verb::of(method.as_bytes()),
            minor,
            fields: request.headers.iter().map(|header| Field::of(header, head)).collect(),
            method: Span::of(method.as_bytes(), head),
            target: Span::of(target.as_bytes(), head),
        })
    }

    /// The method as sent.
    pub(crate) fn method<'a>(&self, head: &'a [u8]) -> &'a str {
        std::str::from_utf8(self.method.of_head(head)).unwrap_or_default()
    }

    /// The target as sent: visible ASCII.
    pub(crate) fn target<'a>(&self, head: &'a [u8]) -> &'a str {
        std::str::from_utf8(self.target.of_head(head)).unwrap_or_default()
    }
}

/// A response head: offsets into the bytes it was read from.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// Bytes of the head, with the empty line.
    pub(crate) len: usize,
    /// 100 to 999.
    pub(crate) status: u16,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub(crate) minor: u8,
    /// Every field, in order.
    pub(crate) fields: Vec<Field>,
    phrase: Span,
}

impl ResponseHead {
    /// Parses a whole head, as [`HeadEnd`] delimits it.
    pub(crate) fn parse(head: &[u8], max_fields: usize) -> Result<Self, ProtocolError> {
        let mut storage = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            head,
            first(&mut storage, max_fields),
        );
        expect_all(parsed, head)?;
        let (Some(status), Some(minor)) = (response.code, response.version) else {
            return Err(ProtocolError::Head);
        };
        if !(100..1000).contains(&status) {
            return Err(ProtocolError::Head);
        }
        Ok(Self {
            len: head.len(),
            status,
            minor,
            fields: response.headers.iter().map(|header| Field::of(header, head)).collect(),
            phrase: Span::of(response.reason.unwrap_or_default().as_bytes(), head),
        })
    }

    /// The reason phrase as sent; may be empty.
    pub(crate) fn phrase<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        self.phrase.of_head(head)
    }

    /// Whether it announces another response (RFC 9110 section 15.2); 101 is final.
    pub(crate) fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }
}

/// The parser must agree with [`HeadEnd`] about where the head ends.
fn expect_all(
    parsed: Result<Status<usize>, httparse::Error>,
    head: &[u8],
) -> Result<(), ProtocolError> {
    match parsed {
        Ok(Status::Complete(length)) if length == head.len() => Ok(()),
        Ok(_) => Err(ProtocolError::Head),
        Err(httparse::Error::TooManyHeaders) => Err(ProtocolError::HeadTooLarge),
        Err(_) => Err(ProtocolError::Head),
    }
}

/// Room for so many fields at most.
fn first<T>(storage: &mut [T], most: usize) -> &mut [T] {
    let most = most.min(storage.len());
    storage.get_mut(..most).unwrap_or_default()
}

/// Fields in a head that was written here: a filter adds 16 at most, and a rule has few filters.
const MAX_OWN_FIELDS: usize = MOST_FIELDS + 512;
