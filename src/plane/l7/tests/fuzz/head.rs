//! Heads: of requests and responses, which begin alike for whoever damages them.

use regex::bytes::Regex;

use crate::fuzz_tests::{Target, pieces};
use crate::plane::Limits;
use crate::plane::l7::h1::{
    BodyLength, Field, HeadEnd, Name, Outgoing, ProtocolError, RequestHead, ResponseHead, Verb,
    request_length, response_length,
};

const HEADS: Target<'_> = Target {
    name: "head",
    words: &[
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        ": ",
        ":",
        " ",
        "\t",
        "GET ",
        "HEAD ",
        "POST / HTTP/1.1\r\n",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "HTTP/1.1 200 OK\r\n",
        "Host: h\r\n",
        "Content-Length: 3\r\n",
        "content-length:3\r\n",
        "Content-Length: 03\r\n",
        "Content-Length: +3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Connection: close\r\n",
        "Cookie: a=b\r\n",
        "X_Y: z\r\n",
        "\0",
        "\x7f",
        "é",
        "chunked",
        "identity",
    ],
    inputs: 40_000,
};

/// The grammar of RFC 9112, as strictly as a proxy can be.
struct Grammar {
    request: Regex,
    response: Regex,
    length: Regex,
}

impl Grammar {
    fn new() -> Self {
        let token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
        let fields = format!(r"(?:{token}:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n");
        let regex = |text: &str| Regex::new(&format!("(?-u)\\A{text}\\z")).expect("a pattern");
        Self {
            request: regex(&format!(r"{token} [\x21-\x7e\x80-\xff]+ HTTP/1\.[01]\r\n{fields}")),
            response: regex(&format!(
                r"HTTP/1\.[01] [1-9][0-9][0-9](?: [\t\x20-\x7e\x80-\xff]*)?\r\n{fields}"
            )),
            length: regex("(?:0|[1-9][0-9]*)"),
        }
    }

    /// What the fields say of a body's length, if it is one thing: `None` for nothing.
    fn length(&self, fields: &[Field], head: &[u8], minor: u8) -> Result<Option<BodyLength>, ()> {
        let of = |name| fields.iter().filter(move |field| field.known == name);
        let lengths: Vec<_> = of(Name::ContentLength).map(|field| field.value(head)).collect();
        let codings: Vec<_> = of(Name::TransferEncoding).map(|field| field.value(head)).collect();
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(None),
            ([length], []) if self.length.is_match(length) => {
                let number: u64 = String::from_utf8_lossy(length).parse().map_err(|_| ())?;
                if number > i64::MAX as u64 { Err(()) } else { Ok(Some(BodyLength::Exact(number))) }
            }
            ([], [coding]) if minor == 1 && coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Some(BodyLength::Chunked))
            }
            _ => Err(()),
        }
    }
}

/// Where the head ends, however it arrives.
fn end(bytes: &[u8], pieces: &[&[u8]]) -> Result<Option<usize>, ProtocolError> {
    let (mut end, mut came) = (HeadEnd::default(), 0);
    for piece in pieces {
        came += piece.len();
        if let Some(found) = end.find(bytes.get(..came).unwrap_or_default())? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Writes fields behind a first line; what is read of that again.
fn written(first: &[&[u8]], fields: &[Field], head: &[u8]) -> Vec<u8> {
    let mut out = Outgoing::new(first.concat());
    for field in fields {
        out.field(field.name(head), field.value(head));
    }
    out.bytes.extend_from_slice(b"\r\n");
    out.bytes
}

fn pairs<'h>(fields: &[Field], head: &'h [u8]) -> Vec<(&'h [u8], &'h [u8])> {
    fields.iter().map(|field| (field.name(head), field.value(head))).collect()
}

/// White space around a value is gone, and nothing else.
fn check_fields(fields: &[Field], head: &[u8]) {
    for (name, value) in pairs(fields, head) {
        assert!(!name.is_empty());
        let edges = [value.first(), value.last()];
        assert!(!edges.into_iter().flatten().any(|byte| matches!(byte, b' ' | b'\t')), "{value:?}");
    }
}

fn check_request(head: &[u8], grammar: &Grammar) -> Option<(u8, usize, usize, Option<u64>)> {
    let most = head.len();
    let limits =
        Limits { method_bytes: most, target_bytes: most, field_bytes: most, ..Limits::default() };
    let request = match RequestHead::parse(head, &limits) {
        Ok(request) => request,
        Err(ProtocolError::HeadTooLarge) => return None,
        Err(_) => {
            let is_good = grammar.request.is_match(head);
            assert!(!is_good || std::str::from_utf8(head).is_err(), "it is a request");
            return None;
        }
    };
    assert!(grammar.request.is_match(head), "it is no request");
    check_fields(&request.fields, head);
    let (method, target) = (request.method(head), request.target(head));
    assert!(!method.is_empty() && !target.is_empty());
    let minor = [b'0' + request.minor];
    let first: [&[u8]; 6] =
        [method.as_bytes(), b" ", target.as_bytes(), b" HTTP/1.", &minor, b"\r\n"];
    let bytes = written(&first, &request.fields, head);
    let again = RequestHead::parse(&bytes, &limits).expect("it must be read again");
    assert_eq!((again.method(&bytes), again.target(&bytes)), (method, target));
    assert_eq!((again.minor, again.verb), (request.minor, request.verb));
    assert_eq!(pairs(&again.fields, &bytes), pairs(&request.fields, head));
    let length = request_length(&request, head).ok();
    let expected = grammar.length(&request.fields, head, request.minor);
    assert_eq!(length, expected.ok().map(|length| length.unwrap_or(BodyLength::Exact(0))));
    assert_eq!(request_length(&again, &bytes).ok(), length);
    Some((request.minor, method.len(), request.fields.len(), kind(length)))
}

fn check_response(head: &[u8], grammar: &Grammar) -> Option<(u8, u16, usize, Option<u64>)> {
    let response = match ResponseHead::parse(head, 100) {
        Ok(response) => response,
        Err(ProtocolError::HeadTooLarge) => return None,
        Err(_) => {
            assert!(!grammar.response.is_match(head), "it is a response");
            return None;
        }
    };
    assert!(grammar.response.is_match(head), "it is no response");
    check_fields(&response.fields, head);
    let line = format!("HTTP/1.{} {} ", response.minor, response.status);
    let first = [line.as_bytes(), response.phrase(head), b"\r\n"];
    let bytes = written(&first, &response.fields, head);
    let again = ResponseHead::parse(&bytes, 100).expect("it must be read again");
    assert_eq!((again.status, again.minor), (response.status, response.minor));
    assert_eq!(again.phrase(&bytes), response.phrase(head));
    assert_eq!(pairs(&again.fields, &bytes), pairs(&response.fields, head));
    let expected = grammar.length(&response.fields, head, response.minor);
    let has_body = response.status >= 200 && !matches!(response.status, 204 | 304);
    let without = expected.map(|_| BodyLength::Exact(0));
    assert_eq!(response_length(&response, head, Verb::Head).map_err(|_| ()), without);
    let length = response_length(&response, head, Verb::Idempotent);
    let expected = expected.map(|length| length.unwrap_or(BodyLength::UntilClose));
    assert_eq!(length.map_err(|_| ()), if has_body { expected } else { without });
    Some((response.minor, response.status / 100, response.fields.len(), kind(length.ok())))
}

fn kind(length: Option<BodyLength>) -> Option<u64> {
    match length? {
        BodyLength::Exact(length) => {
            Some(2 + u64::from(length.checked_ilog2().unwrap_or_default()))
        }
        BodyLength::Chunked => Some(0),
        BodyLength::UntilClose => Some(1),
    }
}

#[test]
fn damaged_heads_are_read_as_the_grammar_says_or_refused() {
    let grammar = Grammar::new();
    HEADS.fuzz(|input, rng| {
        let found = end(input, &[input]);
        assert_eq!(end(input, &pieces(input, rng)), found, "in pieces");
        let Ok(Some(length)) = found else { return (found.is_ok(), None, None) };
        let head = input.get(..length).expect("a head within the input");
        (true, check_request(head, &grammar), check_response(head, &grammar))
    });
}
