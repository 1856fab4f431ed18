//! The header by which an endpoint is told who the client is (PROXY protocol, section 2 of
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>). Pure: addresses in, bytes out.

use std::net::{IpAddr, SocketAddr};

use crate::snapshot::ProxyProtocol;

/// What comes before the first byte: `client` connected to `destination`. Of addresses that are not of
/// one family nothing is told but that there is a proxy.
pub fn header(version: ProxyProtocol, client: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let ips = (client.ip().to_canonical(), destination.ip().to_canonical());
    match version {
        ProxyProtocol::V1 => v1(ips, [client.port(), destination.port()]).into_bytes(),
        ProxyProtocol::V2 => v2(ips, [client.port(), destination.port()]),
    }
}

/// Section 2.1: a line of text, of 107 bytes at most.
fn v1(ips: (IpAddr, IpAddr), [from, to]: [u16; 2]) -> String {
    match ips {
        (IpAddr::V4(client), IpAddr::V4(destination)) => {
            format!("PROXY TCP4 {client} {destination} {from} {to}\r\n")
        }
        (IpAddr::V6(client), IpAddr::V6(destination)) => {
            format!("PROXY TCP6 {client} {destination} {from} {to}\r\n")
        }
        _ => "PROXY UNKNOWN\r\n".to_owned(),
    }
}

/// Section 2.2: signature, version and command, family, length, addresses and ports.
fn v2(ips: (IpAddr, IpAddr), ports: [u16; 2]) -> Vec<u8> {
    let (family, addresses) = match ips {
        (IpAddr::V4(client), IpAddr::V4(destination)) => {
            (TCP4, [&client.octets()[..], &destination.octets()].concat())
        }
        (IpAddr::V6(client), IpAddr::V6(destination)) => {
            (TCP6, [&client.octets()[..], &destination.octets()].concat())
        }
        _ => return [&SIGNATURE[..], &[PROXY, UNSPEC, 0, 0]].concat(),
    };
    let ports = ports.map(u16::to_be_bytes).concat();
    let length = u8::try_from(addresses.len() + ports.len()).unwrap_or_default();
    [&SIGNATURE[..], &[PROXY, family, 0, length], &addresses, &ports].concat()
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, command PROXY.
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNSPEC: u8 = 0x00;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: ProxyProtocol, client: &str, destination: &str) -> Vec<u8> {
        let addr = |text: &str| text.parse().expect("an address");
        header(version, addr(client), addr(destination))
    }

    const V4: [&str; 2] = ["192.168.0.1:56324", "192.168.0.11:443"];
    const V6: [&str; 2] = ["[2001:db8::1]:56324", "[fd00::11]:443"];

    #[test]
    fn version_1_is_a_line_of_text() {
        let rows = [
            (V4, "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"),
            (V6, "PROXY TCP6 2001:db8::1 fd00::11 56324 443\r\n"),
            (
                ["[::ffff:192.168.0.1]:56324", V4[1]],
                "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            ),
            ([V4[0], V6[1]], "PROXY UNKNOWN\r\n"),
        ];
        for ([client, destination], expected) in rows {
            let written = of(ProxyProtocol::V1, client, destination);
            assert_eq!(String::from_utf8_lossy(&written), expected);
        }
        let longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        assert!(of(ProxyProtocol::V1, longest, longest).len() < 107, "with the NUL of C");
    }

    #[test]
    fn version_2_is_binary() {
        let signature = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
        let (from, to) = ([0xdc, 0x04], [0x01, 0xbb]);
        let client = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let destination = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11];
        let rows = [
            (
                V4,
                [&[0x21, 0x11, 0, 12][..], &[192, 168, 0, 1], &[192, 168, 0, 11], &from, &to]
                    .concat(),
            ),
            (V6, [&[0x21, 0x21, 0, 36][..], &client, &destination, &from, &to].concat()),
            ([V4[0], V6[1]], vec![0x21, 0, 0, 0]),
        ];
        for ([client, destination], expected) in rows {
            let written = of(ProxyProtocol::V2, client, destination);
            assert_eq!(written, [&signature[..], &expected].concat(), "{client}");
        }
    }
}
