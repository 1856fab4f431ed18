//! `tls://10.0.0.1#dns.example` → a server to forward to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use crate::snapshot::{Upstream, UpstreamTransport};

/// Reads a server as CoreDNS and people write it: an address, with or without port, behind `tcp://`
/// or `tls://` where it is not to be asked over UDP. Behind `#` is the name that the certificate
/// must be for; without one it must be for the address. The error says what is wrong and what is
/// expected.
pub fn parse_upstream(text: &str) -> Result<Upstream, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("dns", text));
    let (place, name) = match rest.split_once('#') {
        Some((place, name)) => (place, Some(name)),
        None => (rest, None),
    };
    let (port, is_tls) = match scheme {
        "dns" | "udp" | "tcp" => (DNS, false),
        "tls" => (DNS_OVER_TLS, true),
        _ => {
            return Err(format!(
                "{text:?} is for {scheme}, which is not carried: an upstream is asked over UDP, \
                 tcp:// or tls://"
            ));
        }
    };
    if name.is_some() && !is_tls {
        return Err(format!("{text:?} has a server name (#…), which goes with tls:// only"));
    }
    let addr = address(place, port).ok_or_else(|| not_an_address(text, place))?;
    let transport = match scheme {
        "tls" => UpstreamTransport::Tls { server_name: server_name(text, name, addr.ip())? },
        "tcp" => UpstreamTransport::Tcp,
        _ => UpstreamTransport::Udp,
    };
    Ok(Upstream { addr, transport })
}

/// `10.0.0.1`, `10.0.0.1:53`, `fd00::1`, `[fd00::1]` or `[fd00::1]:53`; one that can be asked.
fn address(text: &str, port: u16) -> Option<SocketAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let bare = || text.parse::<IpAddr>().ok().or_else(|| bracketed().map(IpAddr::V6));
    let addr = text.parse().ok().or_else(|| Some(SocketAddr::new(bare()?, port)))?;
    let is_one = !addr.ip().is_unspecified() && !addr.ip().is_multicast() && addr.port() != 0;
    is_one.then_some(addr)
}

fn not_an_address(text: &str, place: &str) -> String {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let is_name = host.contains(|char: char| char.is_ascii_alphabetic())
        && host.chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char));
    if is_name {
        return format!(
            "{text:?} names a server that would have to be looked up; give its address, such as \
             10.0.0.1, and over TLS its name behind it, as in tls://10.0.0.1#{host}"
        );
    }
    format!(
        "{text:?} is not an address of a server, such as 10.0.0.1, [fd00::1]:5353, tcp://10.0.0.1 \
         or tls://10.0.0.1#dns.example"
    )
}

fn server_name(text: &str, name: Option<&str>, ip: IpAddr) -> Result<Arc<str>, String> {
    let Some(name) = name else { return Ok(ip.to_string().into()) };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    match ServerName::try_from(name.as_str()) {
        Ok(_) => Ok(name.into()),
        Err(_) => Err(format!("{text:?} has {name:?} behind #, which is no name of a server")),
    }
}

/// Ports (RFC 1035 section 4.2, RFC 7858 section 3.1).
const DNS: u16 = 53;
const DNS_OVER_TLS: u16 = 853;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_read_as_people_write_them() {
        let rows = [
            ("10.0.0.1", "10.0.0.1:53"),
            ("10.0.0.1:5353", "10.0.0.1:5353"),
            ("fd00::1", "[fd00::1]:53"),
            ("[fd00::1]", "[fd00::1]:53"),
            ("[fd00::1]:5353", "[fd00::1]:5353"),
            ("dns://10.0.0.1", "10.0.0.1:53"),
            ("udp://10.0.0.1", "10.0.0.1:53"),
            ("tcp://10.0.0.1", "tcp://10.0.0.1:53"),
            ("tcp://[fd00::1]:5353", "tcp://[fd00::1]:5353"),
            ("tls://10.0.0.1", "tls://10.0.0.1:853"),
            ("tls://10.0.0.1:8853", "tls://10.0.0.1:8853"),
            ("tls://10.0.0.1#DNS.example.", "tls://10.0.0.1:853#dns.example"),
            ("tls://[fd00::1]:853#dns.example", "tls://[fd00::1]:853#dns.example"),
            ("tls://10.0.0.1#10.0.0.2", "tls://10.0.0.1:853#10.0.0.2"),
        ];
        for (text, expected) in rows {
            let upstream = parse_upstream(text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(upstream.to_string(), expected);
            // what is shown means the same when it is typed
            assert_eq!(parse_upstream(expected), Ok(upstream), "{text}");
        }
    }

    #[test]
    fn what_is_no_upstream_is_told_with_what_would_be() {
        let rows = [
            ("", "is not an address"),
            ("10.0.0", "is not an address"),
            ("0.0.0.0", "is not an address"),
            ("[::]:53", "is not an address"),
            ("224.0.0.251", "is not an address"),
            ("10.0.0.1:0", "is not an address"),
            ("10.0.0.1:99999", "is not an address"),
            ("tls://", "is not an address"),
            ("tls://10.0.0.1:853:853", "is not an address"),
            ("fe80::1%eth0", "is not an address"),
            ("dns.example", "as in tls://10.0.0.1#dns.example"),
            ("tls://dns.example:853", "as in tls://10.0.0.1#dns.example"),
            ("https://10.0.0.1/dns-query", "is for https, which is not carried"),
            ("quic://10.0.0.1", "is for quic, which is not carried"),
            ("10.0.0.1#dns.example", "goes with tls:// only"),
            ("tcp://10.0.0.1#dns.example", "goes with tls:// only"),
            ("tls://10.0.0.1#", "is no name of a server"),
            ("tls://10.0.0.1#a b", "is no name of a server"),
        ];
        for (text, expected) in rows {
            let error = parse_upstream(text).expect_err(text);
            assert!(error.starts_with(&format!("{text:?} ")), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }
}
