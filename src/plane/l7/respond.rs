//! Response heads as a client of HTTP/1 sees them, and the answers that are rutter's own.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;

use super::filter::change_section;
use super::forwarded::Options;
use super::h1::{BodyLength, Encoder, Name, Outgoing, ResponseHead, Verb};
use crate::snapshot::{HeaderModifier, Reason};

/// How a response reaches a client of HTTP/1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    /// The request's method.
    pub(super) verb: Verb,
    /// HTTP/1.0 or 1.1.
    pub(super) minor: u8,
    /// Whether the connection takes another request afterwards.
    pub(super) keep: bool,
    /// Whether the request asks for another protocol.
    pub(super) upgrade: bool,
}

/// A response of an endpoint, read and understood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received<'a> {
    /// Status and fields, as places in `head`.
    pub(super) response: &'a ResponseHead,
    /// The bytes of the head.
    pub(super) head: &'a [u8],
    /// How long the body is.
    pub(super) length: BodyLength,
    /// What `Connection` says.
    pub(super) options: &'a Options<'a>,
    /// What the rule changes.
    pub(super) modifiers: &'a [&'a HeaderModifier],
}

/// Writes the head of an endpoint's response, and says how its body is framed. `delivery.keep`
/// is taken back if only the end of the connection can end the body.
pub(super) fn write_response(
    out: &mut Outgoing,
    received: Received<'_>,
    delivery: &mut Delivery,
    clock: &Clock,
) {
    let Received { response, head, length, modifiers, .. } = received;
    let framing = Framing::of(response, length, delivery);
    write_status(out, response.status, response.phrase(head));
    let start = out.bytes.len();
    write_fields(out, received, framing, clock);
    change_section(out, start, modifiers);
    if framing == Framing::Chunked {
        out.field(b"Transfer-Encoding", b"chunked");
    }
    write_persistence(out, delivery);
    out.bytes.extend_from_slice(b"\r\n");
    out.encoder = if framing == Framing::Chunked { Encoder::Chunked } else { Encoder::Plain };
}

/// How the length of a response is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// There is no body, and no length (1xx, 204).
    None,
    /// As the endpoint tells it, which was checked to be one number: the length of the body, or
    /// of the one there would be (HEAD, 304).
    Length,
    /// In chunks.
    Chunked,
    /// By the end of the connection: HTTP/1.0 knows no chunks.
    Close,
}

impl Framing {
    fn of(response: &ResponseHead, length: BodyLength, delivery: &mut Delivery) -> Self {
        match length {
            BodyLength::Exact(_) if response.status < 200 || response.status == 204 => Self::None,
            BodyLength::Exact(_) => Self::Length,
            BodyLength::Chunked | BodyLength::UntilClose if delivery.minor > 0 => Self::Chunked,
            BodyLength::Chunked | BodyLength::UntilClose => {
                delivery.keep = false;
                Self::Close
            }
        }
    }
}

/// Writes an interim response (1xx) or the head of 101.
pub(super) fn write_interim(out: &mut Outgoing, response: &ResponseHead, head: &[u8]) {
    write_status(out, response.status, response.phrase(head));
    for field in &response.fields {
        match field.known {
            Name::Connection | Name::ContentLength | Name::HopByHop | Name::TransferEncoding => {}
            Name::Upgrade if response.status == 101 => {
                out.field(b"Connection", b"upgrade");
                out.field(b"Upgrade", field.value(head));
            }
            Name::Upgrade => {}
            Name::Cookie
            | Name::Date
            | Name::Expect
            | Name::Forwarded
            | Name::Host
            | Name::Server
            | Name::Te
            | Name::Underscore
            | Name::RequestId
            | Name::Other => out.field(field.name(head), field.value(head)),
        }
    }
    out.bytes.extend_from_slice(b"\r\n");
}

/// An answer of rutter's own: a failure and its reason, a redirect, a preflight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnAnswer {
    /// The status.
    pub(super) status: u16,
    /// Why the request was not served; absent if it was.
    pub(super) reason: Option<Reason>,
    /// Fields beside those of every answer.
    pub(super) fields: Vec<(Cow<'static, str>, String)>,
    /// A text, or empty.
    pub(super) body: Bytes,
}

impl OwnAnswer {
    /// An answer without body that is no failure.
    pub(super) fn new(status: u16) -> Self {
        Self { status, reason: None, fields: Vec::new(), body: Bytes::new() }
    }

    /// Adds a field.
    pub(super) fn field(mut self, name: impl Into<Cow<'static, str>>, value: String) -> Self {
        self.fields.push((name.into(), value));
        self
    }

    /// Changes its fields.
    pub(super) fn changed(mut self, modifier: &HeaderModifier) -> Self {
        let HeaderModifier { set, add, remove } = modifier;
        let gone = set.iter().map(|(name, _)| name).chain(remove);
        for gone in gone {
            self.fields.retain(|(name, _)| !name.eq_ignore_ascii_case(gone));
        }
        let said = set.iter().chain(add);
        said.fold(self, |answer, (name, value)| answer.field(name.to_string(), value.to_string()))
    }
}

/// The status of the reason, and the reason as text.
impl From<Reason> for OwnAnswer {
    fn from(reason: Reason) -> Self {
        let body = Bytes::from(format!("rutter: {} {reason}\n", reason.status()));
        let answer = Self { reason: Some(reason), body, ..Self::new(reason.status()) };
        let answer = answer.field("content-type", "text/plain; charset=utf-8".to_owned());
        match reason.status() {
            405 => {
                let allowed = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";
                answer.field("allow", allowed.to_owned())
            }
            503 => answer.field("retry-after", "1".to_owned()),
            _ => answer,
        }
    }
}

/// Writes an answer of rutter's own.
pub(super) fn write_own(
    out: &mut Outgoing,
    answer: &OwnAnswer,
    delivery: &Delivery,
    clock: &Clock,
) {
    write_status(out, answer.status, b"");
    write_server_and_date(out, clock);
    for (name, value) in &answer.fields {
        out.field(name.as_bytes(), value.as_bytes());
    }
    if !matches!(answer.status, 204 | 304) {
        out.line(format_args!("Content-Length: {}", answer.body.len()));
    }
    write_persistence(out, delivery);
    out.bytes.extend_from_slice(b"\r\n");
    if delivery.verb != Verb::Head {
        out.bytes.extend_from_slice(&answer.body);
    }
}

fn write_status(out: &mut Outgoing, status: u16, phrase: &[u8]) {
    out.bytes.extend_from_slice(b"HTTP/1.1 ");
    let known = http::StatusCode::from_u16(status).ok();
    for digit in [status / 100, status / 10 % 10, status % 10] {
        out.bytes.push(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
    }
    out.bytes.push(b' ');
    let canonical = known.and_then(|known| known.canonical_reason()).unwrap_or_default();
    out.bytes.extend_from_slice(if phrase.is_empty() { canonical.as_bytes() } else { phrase });
    out.bytes.extend_from_slice(b"\r\n");
}

fn write_fields(out: &mut Outgoing, received: Received<'_>, framing: Framing, clock: &Clock) {
    let Received { response, head, options, .. } = received;
    let fields = response.fields.iter().map(|it| (it.known, it.name(head), it.value(head)));
    let (mut server, mut date) = (false, false);
    for (known, name, value) in fields.clone() {
        match known {
            Name::Connection
            | Name::HopByHop
            | Name::Te
            | Name::TransferEncoding
            | Name::Upgrade => continue,
            Name::ContentLength if framing != Framing::Length => continue,
            Name::Server => server = true,
            Name::Date => date = true,
            Name::ContentLength
            | Name::Cookie
            | Name::Expect
            | Name::Forwarded
            | Name::Host
            | Name::RequestId
            | Name::Underscore
            | Name::Other => {}
        }
        if !options.nominate(fields.clone(), name) {
            out.field(name, value);
        }
    }
    if !server {
        out.field(b"Server", SERVER.as_bytes());
    }
    if !date {
        out.field(b"Date", clock.date().as_bytes());
    }
}

fn write_server_and_date(out: &mut Outgoing, clock: &Clock) {
    out.field(b"Server", SERVER.as_bytes());
    out.field(b"Date", clock.date().as_bytes());
}

/// HTTP/1.1 goes on unless it says so, HTTP/1.0 only if it says so.
fn write_persistence(out: &mut Outgoing, delivery: &Delivery) {
    if !delivery.keep {
        out.field(b"Connection", b"close");
    } else if delivery.minor == 0 {
        out.field(b"Connection", b"keep-alive");
    }
}

/// Tells a client that HTTP/3 is spoken at a port of the same host (RFC 7838), for an hour.
pub(super) fn alt_svc(port: u16) -> HeaderModifier {
    let value = format!("h3=\":{port}\"; ma=3600");
    HeaderModifier { set: vec![("Alt-Svc".into(), value.into())], ..HeaderModifier::default() }
}

/// `Date`, made anew once a second.
#[derive(Debug, Default)]
pub(super) struct Clock {
    date: RefCell<Option<(u64, HeaderValue)>>,
}

impl Clock {
    /// The date of now (RFC 9110 section 5.6.7).
    pub(super) fn date(&self) -> HeaderValue {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let second = since.unwrap_or_default().as_secs();
        let mut date = self.date.borrow_mut();
        match &*date {
            Some((made, value)) if *made == second => value.clone(),
            _ => {
                let text = format_date(second);
                let value = HeaderValue::from_str(&text);
                let value = value.unwrap_or_else(|_| HeaderValue::from_static(""));
                date.insert((second, value)).1.clone()
            }
        }
    }
}

fn format_date(second: u64) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let second = i64::try_from(second).unwrap_or(0);
    let at = time::OffsetDateTime::from_unix_timestamp(second)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let day = usize::from(at.weekday().number_days_from_monday());
    let month = usize::from(u8::from(at.month())).saturating_sub(1);
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        DAYS.get(day).unwrap_or(&"Mon"),
        at.day(),
        MONTHS.get(month).unwrap_or(&"Jan"),
        at.year(),
        at.hour(),
        at.minute(),
        at.second(),
    )
}

/// What `Server` says where an endpoint says nothing.
pub(super) const SERVER: &str = "rutter";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_written_as_http_wants_it() {
        assert_eq!(format_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
