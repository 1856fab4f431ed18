//! Heads: their grammar (S6), other protocols (S8), fields for the next hop (S9), bodies that
//! nobody waits for (S10).

use crate::row::{Row, SMUGGLED, as_chunk, get, length, post};

pub fn rows() -> Vec<Row> {
    [grammar(), request_lines(), other_protocols(), next_hop(), expectations()].concat()
}

/// S6.
fn grammar() -> Vec<Row> {
    let mut rows = Vec::new();
    for lines in FIELDS {
        rows.push(Row::refused("S6", &format!("{lines:?}"), get(lines) + SMUGGLED));
    }
    let unix = |text: String| text.replace("\r\n", "\n");
    rows.push(Row::refused("S6", "bare LF everywhere", unix(get(""))));
    rows.push(Row::refused("S6", "bare LF at the end", "GET /a HTTP/1.1\r\nHost: h.test\r\n\n"));
    rows.push(Row::refused(
        "S6",
        "bare CR at the end",
        "GET /a HTTP/1.1\r\nHost: h.test\r\n\r\r\n",
    ));
    rows.push(Row::refused("S6", "bare CRs", get("").replace("\r\n", "\r")));
    rows.push(Row::refused("S6", "two empty lines in front", format!("\r\n\r\n{}", get(""))));
    rows.push(Row::refused("S6", "bare LF in front", format!("\n{}", get(""))));
    rows.push(Row::refused("S6", "space in front", format!(" {}", get(""))));
    rows.push(Row::refused("S6", "NUL in front", format!("\0{}", get(""))));
    rows.push(Row::refused(
        "S6",
        "first line folded",
        "GET /a HTTP/1.1\r\n Host: h.test\r\nHost: h.test\r\n\r\n",
    ));
    for line in
        [&b"X-A: \xe4\xff"[..], b"X!#$%&'*+.^`|~: 1", b"X-A:", b"X-A: \t ", b"X-A: a: b", b"1: 2"]
    {
        let request = [b"GET /a HTTP/1.1\r\nHost: h.test\r\n", line, b"\r\n\r\n"].concat();
        rows.push(Row::taken(
            "S6",
            &format!("{}", line.escape_ascii()),
            request,
            &[("GET", "/a", 0)],
        ));
    }
    let many = "X-A: 1\r\n".repeat(101);
    rows.push(Row::refused("S6", "many fields", get(&many)).with(431, "headers_too_large"));
    let large = format!("X-A: {}\r\n", "a".repeat(33_000));
    rows.push(Row::refused("S6", "large field", get(&large)).with(431, "headers_too_large"));
    rows
}

/// S6, in the first line.
fn request_lines() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in [
        "GET  /a HTTP/1.1",
        "GET /a  HTTP/1.1",
        "GET\t/a HTTP/1.1",
        "GET /a\tHTTP/1.1",
        "GET\x0b/a HTTP/1.1",
        "GET /a HTTP/1.1 ",
        "GET /a HTTP/1.1 x",
        "GET /a b HTTP/1.1",
        "GET /a",
        "GET /a ",
        "GET /a HTTP/1.2",
        "GET /a HTTP/1.10",
        "GET /a HTTP/01.1",
        "GET /a HTTP/1,1",
        "GET /a HTTP/2.0",
        "GET /a HTTP/0.9",
        "GET /a HTTP/1",
        "GET /a http/1.1",
        "GET /a HTTPS/1.1",
        "GET /a HTTP /1.1",
        "GET /a H",
        "G\0ET /a HTTP/1.1",
        "G(T /a HTTP/1.1",
        "G:T /a HTTP/1.1",
        " /a HTTP/1.1",
        "/a HTTP/1.1",
        "GET HTTP/1.1",
        "GET",
        "HTTP/1.1 200 OK",
        "GET /a HTTP/1.1\r",
        "GET /\0 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "PRI * HTTP/2.0",
    ] {
        let request = format!("{line}\r\nHost: h.test\r\n\r\n");
        rows.push(Row::refused("S6", &format!("{line:?}"), request));
    }
    for method in ["get", "gEt", "PURGE", "PROPFIND", "X-1.2", "M-SEARCH", "POSTPOST"] {
        let request = get("").replacen("GET", method, 1);
        rows.push(Row::taken("S6", method, request, &[(method, "/a", 0)]).optional());
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: h.test\r\n\r\n", "a".repeat(9_000));
    rows.push(Row::refused("S6", "long target", long).with(414, "uri_too_long"));
    rows
}

/// S8: bytes behind a request for another protocol are no request until it is agreed on, which no
/// origin here does.
fn other_protocols() -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in ["x", "websocket", "TLS/1.0", "h2", "h3, x"] {
        let fields = format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n");
        let request = get(&fields) + SMUGGLED;
        rows.push(Row::taken("S8", protocol, request, &[("GET", "/a", 0)]).last());
    }
    let upgrade = "Connection: keep-alive, upgrade\r\nUpgrade: x\r\n";
    let socket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    rows.push(Row::taken("S8", "WebSocket", get(socket) + SMUGGLED, &[("GET", "/a", 0)]).last());
    rows.push(
        Row::taken(
            "S8",
            "CL 0",
            get(&[upgrade, "Content-Length: 0\r\n"].concat()) + SMUGGLED,
            &[("GET", "/a", 0)],
        )
        .last(),
    );
    let lengths = format!("Content-Length: {}\r\n", SMUGGLED.len());
    for (name, framing, body) in [
        ("with a body", &*lengths, SMUGGLED.to_owned()),
        ("with chunks", "Transfer-Encoding: chunked\r\n", as_chunk(SMUGGLED)),
        ("with an empty body in chunks", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n".to_owned()),
    ] {
        let request = post(&[upgrade, framing].concat(), &body);
        rows.push(Row::refused("S8", name, request));
    }
    // what is no upgrade is not held
    let seen = [("GET", "/a", 0), ("GET", "/smuggled", 0)];
    for (name, fields) in [
        ("not nominated", "Upgrade: x\r\n"),
        (
            "h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        ("without protocol", "Connection: Upgrade\r\n"),
    ] {
        rows.push(Row::taken("S8", name, get(fields) + SMUGGLED, &seen));
    }
    let h2c =
        get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n");
    let preface = h2c + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    rows.push(Row::refused("S8", "h2c and its preface", preface).behind(&seen[..1]));
    for target in ["h.test:80", "/a", "http://h.test/a", "*"] {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: h.test\r\n\r\n{SMUGGLED}");
        rows.push(
            Row::refused("S8", &format!("CONNECT {target}"), request)
                .with(405, "method_not_allowed"),
        );
    }
    rows
}

/// S9.
fn next_hop() -> Vec<Row> {
    let mut rows = Vec::new();
    let three = [("POST", "/a", 3)];
    for option in [
        "content-length",
        "host",
        "Host, Content-Length",
        "x-forwarded-for",
        "x-request-id",
        "content-length, te",
        "close2",
    ] {
        let fields = format!("Connection: {option}\r\nContent-Length: 3\r\n");
        rows.push(Row::taken("S9", option, post(&fields, "abc"), &three));
    }
    for option in ["transfer-encoding", "transfer-encoding, content-length", "te, trailer"] {
        let fields = format!("Connection: {option}\r\nTransfer-Encoding: chunked\r\n");
        let seen = [("POST", "/a", length(SMUGGLED))];
        rows.push(Row::taken("S9", option, post(&fields, &as_chunk(SMUGGLED)), &seen));
    }
    let proxy = "Proxy-Connection: close\r\nKeep-Alive: timeout=1\r\nProxy: http://evil.test\r\n";
    rows.push(Row::taken("S9", "of proxies", get(proxy), &[("GET", "/a", 0)]));
    rows
}

/// S10.
fn expectations() -> Vec<Row> {
    let mut rows = Vec::new();
    let all = length(SMUGGLED);
    for method in ["POST", "GET", "OPTIONS"] {
        let fields = format!("Expect: 100-continue\r\nContent-Length: {all}\r\n");
        let request = post(&fields, SMUGGLED).replacen("POST", method, 1);
        rows.push(Row::taken("S10", method, request, &[(method, "/a", all)]));
    }
    let chunks =
        post("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", &as_chunk(SMUGGLED));
    rows.push(Row::taken("S10", "chunks", chunks, &[("POST", "/a", all)]));
    let seen = [("GET", "/a", 0)];
    rows.push(Row::taken("S10", "no body", get("Expect: 100-continue\r\n"), &seen));
    for expectation in [
        "y 100-continue",
        "100-continue, y",
        "100-continue y",
        "y",
        "100-continue\r\nExpect: y",
        "200-ok",
        "100-continue\r\nExpect: 100-continue",
        "",
    ] {
        let fields = format!("Expect: {expectation}\r\nContent-Length: {all}\r\n");
        rows.push(Row::refused("S10", &format!("{expectation:?}"), post(&fields, SMUGGLED)));
    }
    rows
}

/// Lines that are no fields.
const FIELDS: [&str; 30] = [
    "X-A: 1\nX-B: 2\r\n",
    "X-A: 1\rX-B: 2\r\n",
    "X-A: 1\r\r\n",
    "X-A: 1\n\r\n",
    "X-A: \r1\r\n",
    "X-A: \0\r\n",
    "X-A: a\0b\r\n",
    "X-\0A: 1\r\n",
    "X-A: 1\r\n folded\r\n",
    "X-A: 1\r\n\tfolded\r\n",
    "X-A:\r\n folded\r\n",
    " X-A: 1\r\n",
    "\tX-A: 1\r\n",
    "X-A : 1\r\n",
    "X-A\t: 1\r\n",
    "X-A\r\n",
    ": 1\r\n",
    " : 1\r\n",
    "X A: 1\r\n",
    "X-A\x0b: 1\r\n",
    "X-A: \x0b\r\n",
    "X-A: \x7f\r\n",
    "X-A: \x1b[0m\r\n",
    "(X-A): 1\r\n",
    "X-A/B: 1\r\n",
    "X-A@B: 1\r\n",
    "[X-A]: 1\r\n",
    "\"X-A\": 1\r\n",
    "{X-A}: 1\r\n",
    "X-\u{e4}: 1\r\n",
];
