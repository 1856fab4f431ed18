//! A response as HTTP/1 has it.

use http::header::{CONTENT_LENGTH, HeaderMap, TRAILER};
use http::{Response, StatusCode};

use crate::plane::l7::h1::{Encoder, Name, Outgoing, ProtocolError, Verb};

/// Writes the head of an interim response.
pub(super) fn write_interim(out: &mut Outgoing, response: &Response<()>) {
    write_status(out, response.status());
    write_fields(out, response.headers(), false);
    out.bytes.extend_from_slice(b"\r\n");
}

/// Writes the head of a response, and how its body is framed. `is_over`: nothing comes behind it.
pub(super) fn write_head<B>(out: &mut Outgoing, response: &Response<B>, is_over: bool, verb: Verb) {
    let (status, fields) = (response.status(), response.headers());
    let has_body = verb != Verb::Head && !matches!(status.as_u16(), 204 | 304);
    // the length is said by its field, unless trailers are to come, which need chunks
    let is_known = fields.contains_key(CONTENT_LENGTH) && !fields.contains_key(TRAILER);
    let is_chunked = has_body && !is_over && !is_known;
    write_status(out, status);
    write_fields(out, fields, !is_chunked);
    if is_chunked {
        out.field(b"Transfer-Encoding", b"chunked");
        out.encoder = Encoder::Chunked;
    } else if has_body && !fields.contains_key(CONTENT_LENGTH) {
        out.field(b"Content-Length", b"0");
    }
    out.bytes.extend_from_slice(b"\r\n");
}

/// Ends a body in chunks, with its trailers.
pub(super) fn write_end(out: &mut Outgoing, trailers: &HeaderMap) -> Result<(), ProtocolError> {
    let mut section = Outgoing::new(Vec::new());
    for (name, value) in trailers {
        section.field(name.as_str().as_bytes(), value.as_bytes());
    }
    section.bytes.extend_from_slice(b"\r\n");
    out.end(&section.bytes)
}

fn write_status(out: &mut Outgoing, status: StatusCode) {
    out.line(format_args!("HTTP/1.1 {} ", status.as_u16()));
}

fn write_fields(out: &mut Outgoing, fields: &HeaderMap, with_length: bool) {
    for (name, value) in fields {
        let name = name.as_str().as_bytes();
        match Name::of(name) {
            Name::Connection
            | Name::HopByHop
            | Name::Te
            | Name::TransferEncoding
            | Name::Upgrade => continue,
            Name::ContentLength if !with_length => continue,
            Name::ContentLength
            | Name::Cookie
            | Name::Date
            | Name::Expect
            | Name::Forwarded
            | Name::Host
            | Name::RequestId
            | Name::Server
            | Name::Underscore
            | Name::Other => out.field(name, value.as_bytes()),
        }
    }
}
