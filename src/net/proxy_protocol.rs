//! The header by which a proxy in front tells who the client is (PROXY protocol, versions 1 and 2,
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>). Pure: bytes in, an address out.
//!
//! Strict: whoever may write a header is trusted, so what is not quite one is a mistake to be told.

use std::net::{IpAddr, SocketAddr};

/// What a header says so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// So many bytes more belong to it at least.
    Needs(usize),
    /// It is whole. The client; `None`: the proxy speaks for itself (LOCAL, UNKNOWN, UNSPEC).
    Whole(Option<SocketAddr>),
}

/// What is no header of either version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY protocol header")]
pub struct NoProxyHeader;

/// Reads a header, of which `bytes` is the beginning and nothing behind it.
pub fn read_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, NoProxyHeader> {
    let (is_binary, is_text) = (begins(bytes, &SIGNATURE), begins(bytes, b"PROXY "));
    match SHORTEST_LINE.checked_sub(bytes.len()) {
        Some(missing @ 1..) if is_binary || is_text => Ok(ProxyHeader::Needs(missing)),
        _ if is_binary => binary(bytes),
        _ if is_text => text(bytes),
        _ => Err(NoProxyHeader),
    }
}

/// As far as there are bytes, whether they are those of the beginning.
fn begins(bytes: &[u8], beginning: &[u8]) -> bool {
    bytes.iter().zip(beginning).all(|(byte, expected)| byte == expected)
}

/// Section 2.1: a line of at most 107 bytes.
fn text(bytes: &[u8]) -> Result<ProxyHeader, NoProxyHeader> {
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        let needs = if bytes.last() == Some(&b'\r') { 1 } else { 2 };
        let fits = bytes.len() + needs <= LONGEST_LINE && !bytes.contains(&b'\n');
        return if fits { Ok(ProxyHeader::Needs(needs)) } else { Err(NoProxyHeader) };
    };
    let line = std::str::from_utf8(line).map_err(|_| NoProxyHeader)?;
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => return Ok(ProxyHeader::Whole(None)),
        ["PROXY", family @ ("TCP4" | "TCP6"), client, destination, from, to] => {
            let client: IpAddr = client.parse().map_err(|_| NoProxyHeader)?;
            let destination: IpAddr = destination.parse().map_err(|_| NoProxyHeader)?;
            let is_ipv4 = *family == "TCP4";
            if client.is_ipv4() != is_ipv4 || destination.is_ipv4() != is_ipv4 {
                return Err(NoProxyHeader);
            }
            port(to)?;
            SocketAddr::new(client, port(from)?)
        }
        _ => return Err(NoProxyHeader),
    };
    Ok(ProxyHeader::Whole(Some(client)))
}

fn port(text: &str) -> Result<u16, NoProxyHeader> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(NoProxyHeader)
}

/// Section 2.2. What comes behind the addresses (TLVs) is passed over.
fn binary(bytes: &[u8]) -> Result<ProxyHeader, NoProxyHeader> {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED) else {
        return Ok(ProxyHeader::Needs(FIXED - bytes.len()));
    };
    let [command, family, high, low] = fixed[SIGNATURE.len()..] else { return Err(NoProxyHeader) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_REST || rest.len() > length || command >> 4 != 2 {
        return Err(NoProxyHeader);
    }
    if rest.len() < length {
        return Ok(ProxyHeader::Needs(length - rest.len()));
    }
    let client = match (command & 0x0f, family) {
        (LOCAL, _) | (PROXY, UNSPEC) => None,
        (PROXY, TCP4) => Some(client::<4, 12>(rest)?),
        (PROXY, TCP6) => Some(client::<16, 36>(rest)?),
        _ => return Err(NoProxyHeader),
    };
    Ok(ProxyHeader::Whole(client))
}

/// Two addresses of N bytes, then two ports.
fn client<const N: usize, const ALL: usize>(rest: &[u8]) -> Result<SocketAddr, NoProxyHeader>
where
    [u8; N]: Into<IpAddr>,
{
    let addresses = rest.first_chunk::<ALL>().ok_or(NoProxyHeader)?;
    let ip = addresses.first_chunk::<N>().ok_or(NoProxyHeader)?;
    let ports = addresses.last_chunk::<4>().ok_or(NoProxyHeader)?;
    let [high, low, _, _] = *ports;
    Ok(SocketAddr::new((*ip).into(), u16::from_be_bytes([high, low])))
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED: usize = 16;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// `PROXY UNKNOWN` with its line end.
const SHORTEST_LINE: usize = 15;
/// As the specification has it.
const LONGEST_LINE: usize = 107;
/// Addresses and TLVs. A certificate of the client may be among these.
const LONGEST_REST: usize = 4096;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads piece by piece, as a connection does: whatever is asked for is given.
    fn read(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), NoProxyHeader> {
        let mut given = 0;
        loop {
            match read_proxy_header(&bytes[..given])? {
                ProxyHeader::Whole(client) => return Ok((client, given)),
                ProxyHeader::Needs(0) => panic!("nothing is needed and nothing is known"),
                ProxyHeader::Needs(more) if given + more > bytes.len() => {
                    return Err(NoProxyHeader);
                }
                ProxyHeader::Needs(more) => given += more,
            }
        }
    }

    fn addr(text: &str) -> Option<SocketAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn a_line_of_text_names_the_client_and_nothing_behind_it_is_read() {
        let unknown = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
        let v6 = "PROXY TCP6 2001:db8::1 fd00::11 56324 443\r\n";
        for (line, client) in [
            ("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", addr("192.168.0.1:56324")),
            (v6, addr("[2001:db8::1]:56324")),
            ("PROXY UNKNOWN\r\n", None),
            (unknown, None),
        ] {
            let bytes = [line.as_bytes(), b"GET / HTTP/1.1\r\n\r\n"].concat();
            assert_eq!(read(&bytes), Ok((client, line.len())), "{line:?}");
        }
        for line in [
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
            "PROXY TCP4 192.168.0.1  192.168.0.11 56324 443\r\n",
            "PROXY TCP4 2001:db8::1 fd00::11 56324 443\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 +1 443\r\n",
            "PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n",
            "PROXY TCP4 010.168.0.1 192.168.0.11 1 443\r\n",
            "PROXY UDP4 192.168.0.1 192.168.0.11 1 443\r\n",
            "proxy TCP4 192.168.0.1 192.168.0.11 1 443\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(read(line.as_bytes()), Err(NoProxyHeader), "{line:?}");
        }
        let endless = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107));
        assert_eq!(read(endless.as_bytes()), Err(NoProxyHeader));
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn a_binary_header_names_the_client_whatever_it_says_besides() {
        let v4 = [192, 168, 0, 1, 192, 168, 0, 11, 0xdc, 0x04, 0x01, 0xbb];
        let with_tlv = [&v4[..], &[0x04, 0, 3, 0, 0, 0]].concat();
        let v6 =
            [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1], &[0xfd; 16], &[0xdc, 4, 1, 0xbb]].concat();
        for (bytes, client) in [
            (v2(0x21, 0x11, &v4), addr("192.168.0.1:56324")),
            (v2(0x21, 0x11, &with_tlv), addr("192.168.0.1:56324")),
            (v2(0x21, 0x21, &v6), addr("[2001:db8::1]:56324")),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x00, &[]), None),
        ] {
            let length = bytes.len();
            assert_eq!(read(&[&bytes[..], b"more"].concat()), Ok((client, length)));
        }
        for bytes in [
            v2(0x11, 0x11, &v4),
            v2(0x22, 0x11, &v4),
            v2(0x21, 0x12, &v4),
            v2(0x21, 0x11, &v4[..11]),
            v2(0x21, 0x21, &v4),
            v2(0x21, 0x11, &[0; 4097]),
        ] {
            assert_eq!(read(&bytes), Err(NoProxyHeader));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_ask_for_nothing(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            beginning in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", &SIGNATURE]),
        ) {
            let _ = read(&[beginning, &bytes].concat());
        }
    }
}
