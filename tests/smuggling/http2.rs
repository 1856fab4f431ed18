//! HTTP/2 in front of origins that speak HTTP/1: S11. Frames are written by hand, so that they can say
//! what no client would.

use std::io::Read;
use std::net::TcpStream;

use crate::row::{Protocol, Row, SMUGGLED};

/// Name and value.
type Field<'a> = (&'a [u8], &'a [u8]);
/// Fields in the order in which they are sent, pseudo-header fields among them.
type Fields<'a> = [Field<'a>];

pub fn rows() -> Vec<Row> {
    let websockets = vec![early_bytes()];
    [controls(), names_and_values(), pseudo(), pseudo_sets(), lengths(), trailers(), websockets]
        .concat()
}

/// What becomes of a stream.
#[derive(Clone, Copy)]
enum End {
    /// The origin sees it: method, target, length.
    Taken(&'static str, &'static str, u64),
    /// It is refused, with this status and reason.
    Refused(u16, &'static str),
    /// It is reset, and no request.
    Reset,
    /// It takes the connection along.
    Fatal,
}

use End::{Fatal, Refused, Reset, Taken};

const BAD: End = Refused(400, "bad_request");
const NO_METHOD: End = Refused(405, "method_not_allowed");
/// It is reset when half of it is with the origin already.
const BROKEN: End = Refused(499, "client_closed");
const A: End = Taken("GET", "/a", 0);
const POSTED: End = Taken("POST", "/a", 3);

/// A row of this stream, and the victim's stream behind it.
fn row(name: &str, stream: &[Vec<u8>], end: End) -> Row {
    let victim =
        headers(3, END_STREAM | END_HEADERS, &request("GET", "/victim", "victim.test", &[]));
    let bytes = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[]), stream.concat(), victim].concat();
    let victim = ("GET", "/victim".to_owned(), 0);
    let seen = match end {
        Taken(method, target, length) => vec![(method, target.to_owned(), length), victim],
        Refused(..) | Reset => vec![victim],
        Fatal => Vec::new(),
    };
    Row {
        class: "S11",
        name: name.to_owned(),
        bytes,
        seen,
        refused: match end {
            Refused(status, reason) => Some((status, reason)),
            Taken(..) | Reset | Fatal => None,
        },
        is_optional: false,
        protocol: Protocol::Http2,
    }
}

/// A stream of one HEADERS frame.
fn get(name: &str, fields: &Fields<'_>, end: End) -> Row {
    row(name, &[headers(1, END_STREAM | END_HEADERS, fields)], end)
}

/// The fields of a request.
fn request<'a>(
    method: &'a str,
    path: &'a str,
    authority: &'a str,
    more: &[(&'a [u8], &'a [u8])],
) -> Vec<(&'a [u8], &'a [u8])> {
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", authority.as_bytes()),
    ];
    fields.extend_from_slice(more);
    fields
}

/// The fields of a plain GET, and more.
fn plain<'a>(more: &[(&'a [u8], &'a [u8])]) -> Vec<(&'a [u8], &'a [u8])> {
    request("GET", "/a", "h.test", more)
}

/// A POST of these fields, with these frames of DATA.
fn post(name: &str, more: &[(&[u8], &[u8])], data: &[&[u8]], end: End) -> Row {
    let fields = request("POST", "/a", "h.test", more);
    let mut frames = vec![headers(1, END_HEADERS, &fields)];
    frames.extend(data.iter().map(|data| frame(DATA, 0, 1, data)));
    if let Some(last) = frames.last_mut() {
        last[FLAGS] |= END_STREAM;
    }
    row(name, &frames, end)
}

/// A WebSocket that no origin here takes up, and a request where its bytes would be (S8).
fn early_bytes() -> Row {
    let fields = [
        &[(&b":method"[..], &b"CONNECT"[..]), (b":protocol", b"websocket")],
        &request("", "/a", "h.test", &[])[1..],
    ];
    let frames =
        [headers(1, END_HEADERS, &fields.concat()), frame(DATA, 0, 1, SMUGGLED.as_bytes())];
    row("early bytes of a WebSocket", &frames, A)
}

fn controls() -> Vec<Row> {
    let without_authority = [
        (&b":method"[..], &b"GET"[..]),
        (b":scheme", b"http"),
        (b":path", b"/a"),
        (b"host", b"h.test"),
    ];
    vec![
        get("GET", &plain(&[]), A),
        get("same Host", &plain(&[(b"host", b"h.test")]), A),
        get("Host alone", &without_authority, A),
        get("TE trailers", &plain(&[(b"te", b"trailers")]), A),
        get("cookies", &plain(&[(b"cookie", b"a=1"), (b"cookie", b"b=2")]), A),
        get("empty value", &plain(&[(b"x-a", b"")]), A),
        get("spaces in a value", &plain(&[(b"x-a", b"a b\tc")]), A),
        get("ISO-8859-1", &plain(&[(b"x-a", b"\xe4\xff")]), A),
        get("query", &request("GET", "/a?b=/../c", "h.test", &[]), Taken("GET", "/a?b=/../c", 0)),
        get("dot segments", &request("GET", "/a/../b//c", "h.test", &[]), Taken("GET", "/b/c", 0)),
        get(
            "underscores",
            &plain(&[(b"content_length", b"5"), (b"transfer_encoding", b"chunked")]),
            A,
        ),
        get(
            "about proxies",
            &plain(&[(b"x-forwarded-for", b"9.9.9.9"), (b"forwarded", b"for=9.9.9.9")]),
            A,
        ),
        post("no length", &[], &[b"abc"], POSTED),
        post("length", &[(b"content-length", b"3")], &[b"ab", b"c"], POSTED),
        post("length of nothing", &[(b"content-length", b"0")], &[], Taken("POST", "/a", 0)),
        post("a request", &[], &[SMUGGLED.as_bytes()], Taken("POST", "/a", SMUGGLED.len() as u64)),
        post("empty frames", &[], &[b"", b"abc", b""], POSTED),
        post(
            "Expect",
            &[(b"expect", b"100-continue"), (b"content-length", b"3")],
            &[b"abc"],
            POSTED,
        ),
    ]
}

fn names_and_values() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, value, end) in [
        (&b"x-a"[..], &b"a\r\nx-b: 1"[..], Fatal),
        (b"x-a", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n", Fatal),
        (b"x-a", b"a\nx-b: 1", Fatal),
        (b"x-a", b"a\rx-b: 1", Fatal),
        (b"x-a", b"a\0b", Fatal),
        (b"x-a", b"\x01", Fatal),
        (b"x-a", b"\x7f", Fatal),
        (b"x-a\r\nx-b", b"1", Fatal),
        (b"x-a\nx-b", b"1", Fatal),
        (b"x-a\0", b"1", Fatal),
        (b"x-a: 1\r\nx-b", b"1", Fatal),
        (b"x-a:x-b", b"1", Fatal),
        (b"x a", b"1", Fatal),
        (b"x-a ", b"1", Fatal),
        (b" x-a", b"1", Fatal),
        (b"", b"1", Fatal),
        (b":", b"1", Fatal),
        (b"X-A", b"1", Fatal),
        (b"x-\xe4", b"1", Fatal),
        (b"Transfer-Encoding", b"chunked", Fatal),
        (b"transfer-encoding", b"chunked", Reset),
        (b"transfer-encoding", b"identity", Reset),
        (b"connection", b"close", Reset),
        (b"connection", b"content-length", Reset),
        (b"keep-alive", b"timeout=1", Reset),
        (b"proxy-connection", b"close", Reset),
        (b"upgrade", b"websocket", Reset),
        (b"te", b"gzip", Reset),
        (b"te", b"trailers, chunked", Reset),
        (b"x-a", b" a", A),
        (b"x-a", b"a ", A),
        (b"x-a", b"\ta", A),
        (b"host", b"evil.test", BAD),
        (b"host", b"", BAD),
        (b"host", b"h.test:80", BAD),
        (b"host", b"h.test, h.test", BAD),
    ] {
        let told = format!("{}: {}", name.escape_ascii(), value.escape_ascii());
        rows.push(get(&told, &request("GET", "/a", "h.test", &[(name, value)]), end));
    }
    let two: [(&[u8], &[u8]); 2] = [(b"host", b"h.test"), (b"host", b"h.test")];
    rows.push(get("two Hosts", &request("GET", "/a", "h.test", &two), BAD));
    rows
}

fn pseudo() -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, path, authority, end) in [
        ("GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\nGET", "/a", "h.test", Fatal),
        ("GE T", "/a", "h.test", Fatal),
        ("GET\0", "/a", "h.test", Fatal),
        ("", "/a", "h.test", Fatal),
        ("GET", "/a HTTP/1.1\r\nHost: h.test\r\n\r\nGET /smuggled", "h.test", Reset),
        ("GET", "/a b", "h.test", Reset),
        ("GET", "/a\r\n", "h.test", Reset),
        ("GET", "/a\n", "h.test", Reset),
        ("GET", "/a\0", "h.test", Reset),
        ("GET", "/a\t", "h.test", Reset),
        ("GET", "", "h.test", Reset),
        ("GET", "a", "h.test", Reset),
        ("GET", "?a", "h.test", BAD),
        ("GET", "*", "h.test", BAD),
        ("GET", "http://evil.test/a", "h.test", Reset),
        ("GET", "/a#b", "h.test", A),
        ("GET", "/a%2fb", "h.test", BAD),
        ("GET", "/a%00", "h.test", BAD),
        ("GET", "/a\\b", "h.test", BAD),
        ("GET", "/a/..;/b", "h.test", BAD),
        ("GET", "/a", "", Reset),
        ("GET", "/a", "user@h.test", BAD),
        ("GET", "/a", "h.test/b", Reset),
        ("GET", "/a", "h.test evil.test", Reset),
        ("GET", "/a", "h.test,evil.test", BAD),
        ("GET", "/a", "h.test\r\nX-A: 1", Reset),
        ("GET", "/a", "h.test:port", BAD),
        ("CONNECT", "/a", "h.test", Reset),
    ] {
        let name = format!("{method:?} {path:?} {authority:?}");
        rows.push(get(&name, &request(method, path, authority, &[]), end));
    }
    rows
}

/// Pseudo-header fields that are not those of a request.
fn pseudo_sets() -> Vec<Row> {
    let method: Field<'_> = (b":method", b"GET");
    let scheme: Field<'_> = (b":scheme", b"http");
    let path: Field<'_> = (b":path", b"/a");
    let authority: Field<'_> = (b":authority", b"h.test");
    let tables: [(&str, &Fields<'_>, End); 16] = [
        ("no method", &[scheme, path, authority], Reset),
        ("no path", &[method, scheme, authority], Reset),
        ("no scheme", &[method, path, authority], Reset),
        ("no host", &[method, scheme, path], BAD),
        ("two methods", &[method, method, scheme, path, authority], Reset),
        ("two paths", &[method, scheme, path, (b":path", b"/b"), authority], Reset),
        ("two authorities", &[method, scheme, path, authority, authority], Reset),
        ("late path", &[method, scheme, authority, (b"x-a", b"1"), path], Reset),
        ("unknown", &[method, scheme, path, authority, (b":evil", b"1")], Fatal),
        ("of responses", &[method, scheme, path, authority, (b":status", b"200")], Reset),
        ("strange scheme", &[method, (b":scheme", b"http://evil.test/?"), path, authority], Reset),
        (
            "WebSocket",
            &[(b":method", b"CONNECT"), (b":protocol", b"websocket"), scheme, path, authority],
            A,
        ),
        (
            "another protocol",
            &[(b":method", b"CONNECT"), (b":protocol", b"connect-udp"), scheme, path, authority],
            NO_METHOD,
        ),
        (
            "a protocol of GET",
            &[method, (b":protocol", b"websocket"), scheme, path, authority],
            Reset,
        ),
        ("CONNECT", &[(b":method", b"CONNECT"), authority], NO_METHOD),
        (
            "CONNECT with a port",
            &[(b":method", b"CONNECT"), (b":authority", b"h.test:80")],
            NO_METHOD,
        ),
    ];
    tables.map(|(name, fields, end)| get(name, fields, end)).to_vec()
}

/// A length that DATA does not have.
fn lengths() -> Vec<Row> {
    let length = |value: &'static str| [(&b"content-length"[..], value.as_bytes())];
    let mut rows = Vec::new();
    rows.push(post("length \"\"", &length(""), &[b"abc"], BAD));
    for value in ["+3", "0x3", "3_0", "three", "3, 3", "18446744073709551619"] {
        rows.push(post(&format!("length {value:?}"), &length(value), &[b"abc"], Reset));
    }
    rows.push(post("too short", &length("4"), &[b"abc"], BROKEN));
    rows.push(post("too long", &length("2"), &[b"abc"], BROKEN));
    rows.push(post("length and no DATA", &length("3"), &[], Reset));
    let twice = [length("3"), length("3")].concat();
    rows.push(post("twice", &twice, &[b"abc"], BAD));
    let both = [length("3"), length("4")].concat();
    rows.push(post("two", &both, &[b"abc"], Reset));
    let te: [(&[u8], &[u8]); 1] = [(b"transfer-encoding", b"chunked")];
    rows.push(post("H2.TE", &te, &[b"0\r\n\r\n", SMUGGLED.as_bytes()], Reset));
    // whole for the origin before it turns out to be more, perhaps
    let more = post("too long in two frames", &length("3"), &[b"abc", b"d"], POSTED);
    rows.push(more.optional());
    let nothing = Taken("POST", "/a", 0);
    rows.push(post("H2.CL", &length("0"), &[SMUGGLED.as_bytes()], nothing).optional());
    rows
}

fn trailers() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, value, end) in [
        (&b"content-length"[..], &b"100"[..], POSTED),
        (b"host", b"evil.test", POSTED),
        (b"authorization", b"Basic eDp5", POSTED),
        (b"x-free", b"1", POSTED),
        (b"transfer-encoding", b"chunked", BROKEN),
        // never looked at
        (b":path", b"/b", POSTED),
        (b"x-a", b"1\r\nx-b: 1", Fatal),
    ] {
        for te in [&[][..], &[(&b"te"[..], &b"trailers"[..])][..]] {
            let frames = [
                headers(1, END_HEADERS, &request("POST", "/a", "h.test", te)),
                frame(DATA, 0, 1, b"abc"),
                headers(1, END_STREAM | END_HEADERS, &[(name, value)]),
            ];
            let told = format!("trailer {} {}", name.escape_ascii(), te.len());
            let row = row(&told, &frames, end);
            // whether the request has begun by then depends on who is faster
            rows.push(if matches!(end, Fatal | Refused(..)) { row.optional() } else { row });
        }
    }
    rows
}

/// Reads answers until both streams have ended, or the connection has.
pub fn read(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    let mut open = [true, true];
    while open.contains(&true) {
        let mut head = [0; 9];
        if let Err(error) = stream.read_exact(&mut head) {
            received.extend_from_slice(error.to_string().as_bytes());
            break;
        }
        let [a, b, c, kind, flags, .., id] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if stream.read_exact(&mut payload).is_err() {
            break;
        }
        received.extend_from_slice(format!("[{kind} {flags} {id}]").as_bytes());
        let ends = kind == RST_STREAM || (kind <= HEADERS && flags & END_STREAM > 0);
        match id {
            1 | 3 if ends => open[usize::from(id / 2)] = false,
            _ => {}
        }
    }
    received
}

fn headers(stream: u8, flags: u8, fields: &Fields<'_>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // literal, never indexed (RFC 7541 section 6.2.3)
        block.push(0x10);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    frame(HEADERS, flags, stream, &block)
}

/// An integer with a prefix of seven bits (RFC 7541 section 5.1).
fn length(block: &mut Vec<u8>, length: usize) {
    let small = u8::try_from(length).ok().filter(|it| *it < 0x7f);
    block.push(small.unwrap_or(0x7f));
    if small.is_none() {
        let mut left = length - 0x7f;
        while left >= 0x80 {
            block.push(0x80 | (left & 0x7f) as u8);
            left >>= 7;
        }
        block.push(left as u8);
    }
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = (payload.len() as u32).to_be_bytes();
    [&[a, b, c, kind, flags, 0, 0, 0, stream], payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Where the flags of a frame stand.
const FLAGS: usize = 4;
