//! `[IP:]PORT`, as options take it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Parses `8080`, `:8080` (both: every IPv4 address), `127.0.0.1:8080` and `[::1]:8080`.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    port.parse()
        .map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port))
        .map_err(|_| "expected [IP:]PORT, such as 8080 or 127.0.0.1:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_every_address() {
        for (text, addr) in [
            ("8080", "0.0.0.0:8080"),
            (":8080", "0.0.0.0:8080"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(address(text), Ok(addr.parse().unwrap()), "{text}");
        }
        for text in ["", ":", "localhost:80", "127.0.0.1", "70000", "::1"] {
            assert!(address(text).is_err(), "{text}");
        }
    }
}
