//! Addresses as names write them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `1-2-3-4` and `fd00--1` as addresses.
pub(super) fn undashed(label: &str) -> Option<IpAddr> {
    let v4 = label.replace('-', ".").parse::<Ipv4Addr>();
    v4.map(IpAddr::V4).or_else(|_| label.replace('-', ":").parse().map(IpAddr::V6)).ok()
}

/// The address of `4.3.2.1.in-addr.arpa` (RFC 1035) or of 32 digits in `ip6.arpa` (RFC 3596).
pub(super) fn reversed(name: &str) -> Option<IpAddr> {
    if let Some(octets) = name.strip_suffix(".in-addr.arpa") {
        let forwards: Vec<&str> = octets.rsplit('.').collect();
        return forwards.join(".").parse().map(IpAddr::V4).ok();
    }
    let digits = name.strip_suffix(".ip6.arpa")?;
    let digits: Vec<&str> = digits.rsplit('.').collect();
    if digits.len() != 32 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    u128::from_str_radix(&digits.concat(), 16).map(|bits| Ipv6Addr::from_bits(bits).into()).ok()
}
