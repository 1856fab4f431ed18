//! Headers of the PROXY protocol: those that come are read to their end and not beyond, and those
//! that are written say what was read.

use std::net::SocketAddr;

use crate::fuzz_tests::Target;
use crate::net::{ProxyHeader, read_proxy_header};
use crate::plane::proxy_protocol::header;
use crate::snapshot::ProxyProtocol;

const HEADERS: Target<'_> = Target {
    name: "proxy-header",
    words: &[
        "PROXY ",
        "TCP4 ",
        "TCP6 ",
        "UNKNOWN",
        "\r\n",
        "\n",
        "\r",
        " ",
        "192.168.0.1",
        "2001:db8::1",
        "::",
        "::ffff:1.2.3.4",
        "65535",
        "65536",
        "+1",
        "00",
        "\r\n\r\n\0\r\nQUIT\n",
        "\x21\x11\0\x0c",
        "\x21\x21\0\x24",
        "\x20\0\0\0",
        "\x21\0\0\0",
        "\x03\0\x04",
        "\x10\0",
    ],
    inputs: 60_000,
};

/// Reads as a connection does: so many bytes as are asked for.
fn read(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut given = 0;
    loop {
        match read_proxy_header(bytes.get(..given)?).ok()? {
            ProxyHeader::Whole(client) => return Some((client, given)),
            ProxyHeader::Needs(more) => {
                assert!(more > 0, "nothing is needed and nothing is known");
                given += more;
            }
        }
    }
}

/// However far it has come, no more is asked for than belongs to it.
fn check_beginnings(whole: &[u8]) {
    for cut in 0..whole.len() {
        match read_proxy_header(whole.get(..cut).unwrap_or_default()) {
            Ok(ProxyHeader::Needs(more)) => assert!(cut + more <= whole.len(), "{cut} + {more}"),
            other => panic!("{other:?} of {cut} bytes"),
        }
    }
}

/// What an endpoint is told of this client is this client.
fn check_written(client: SocketAddr) {
    let destination = SocketAddr::new(client.ip(), 443);
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let bytes = header(version, client, destination);
        check_beginnings(&bytes);
        let read = read(&[&bytes[..], b"GET / HTTP/1.1\r\n"].concat());
        let canonical = SocketAddr::new(client.ip().to_canonical(), client.port());
        assert_eq!(read, Some((Some(canonical), bytes.len())));
    }
}

#[test]
fn damaged_proxy_headers_are_read_to_their_end_or_refused() {
    HEADERS.fuzz(|input, _| {
        let outcome = read(input);
        let Some((client, length)) = outcome else { return (false, false, 0) };
        let header = input.get(..length).expect("no more than there is");
        check_beginnings(header);
        if header.starts_with(b"PROXY ") {
            assert!(header.ends_with(b"\r\n") && length <= 107);
            assert_eq!(memchr::memchr_iter(b'\n', header).count(), 1);
        } else {
            let [high, low] = [header[14], header[15]];
            assert_eq!(length, 16 + usize::from(u16::from_be_bytes([high, low])));
        }
        if let Some(client) = client {
            check_written(client);
        }
        (true, client.is_some_and(|it| it.is_ipv4()), length.min(200))
    });
}
