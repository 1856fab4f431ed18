//! Connections that are refused or ended for what their client does: each is counted with its reason.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use common::tls::Authority;
use common::{PATIENCE, Site, until};

const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec:
  tls: [{hosts: [web.test], secretName: web}]
  defaultBackend: {service: {name: web, port: {number: 80}}}
";

/// Sends this and reads until the connection ends.
fn send(addr: SocketAddr, bytes: &[u8], then_close: bool) {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    // it may be closed before all is said
    let _ = stream.write_all(bytes);
    if then_close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A frame of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("it must be short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// GET http://h/
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'h'];

/// A connection of HTTP/2 with these frames.
fn http2(frames: &[Vec<u8>]) -> Vec<u8> {
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[]), frames.concat()]
        .concat()
}

#[test]
fn every_connection_that_is_refused_is_counted_with_its_reason() {
    let authority = Authority::new();
    let secret = authority.secret("web", &["web.test"]);
    let site = Site::start_with(&format!("{INGRESS}{secret}"), |options| {
        options.set("limit", "handshake-time=2s");
    });
    let (http, https) = (site.http(), site.https());
    let get = |stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
    let reset = |stream| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    let rapid: Vec<_> = (0..500).flat_map(|n| [get(2 * n + 1), reset(2 * n + 1)]).collect();
    let pings: Vec<_> = (0..5_000).map(|_| frame(PING, 0, 0, &[0; 8])).collect();
    let continued: Vec<_> =
        (0..2_000).map(|_| frame(CONTINUATION, 0, 1, &[0x40, 1, b'x', 1, b'y'])).collect();
    let endless = [vec![frame(HEADERS, END_STREAM, 1, GET)], continued].concat();
    let rows: [(&str, SocketAddr, Vec<u8>, bool, &str); 8] = [
        ("streams that are reset", http, http2(&rapid), false, "enhance_your_calm"),
        ("PING after PING", http, http2(&pings), false, "enhance_your_calm"),
        ("a head without an end", http, http2(&endless), false, "enhance_your_calm"),
        ("HEADERS on stream 0", http, http2(&[get(0)]), false, "bad_request"),
        (
            "HTTP where TLS is spoken",
            https,
            b"GET / HTTP/1.1\r\n\r\n".into(),
            false,
            "tls_handshake",
        ),
        ("TLS 1.0", https, TLS_1_0.into(), false, "tls_handshake"),
        ("nothing, to the end", https, vec![], true, "client_closed"),
        ("nothing, for long", https, vec![], false, "request_timeout"),
    ];
    for (what, addr, bytes, then_close, reason) in rows {
        let before = site.refused(reason);
        send(addr, &bytes, then_close);
        until(what, || site.refused(reason) > before);
        assert_eq!(site.refused(reason), before + 1, "{what}");
    }
}

/// A ClientHello of the version of 1999, with one cipher suite.
const TLS_1_0: &[u8] = b"\x16\x03\x01\0\x2d\x01\0\0\x29\x03\x01\
    0123456789abcdef0123456789abcdef\0\0\x02\0\x2f\x01\0";
