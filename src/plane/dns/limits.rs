//! What clients may use up, for each worker.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::snapshot::Transport;

/// Limits of DNS, and of what is forwarded.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, over TCP, TLS and HTTPS together. Beyond, the one that is idle
    /// longest makes room.
    pub connections: usize,
    /// Connections at a time from one client.
    pub connections_per_client: usize,
    /// Queries on one connection, which is then closed.
    pub queries: usize,
    /// How long the next whole query may take to arrive.
    pub idle: Duration,
    /// How long the client may take to accept an answer.
    pub write: Duration,
    /// How long TLS may take to be agreed.
    pub handshake: Duration,
    /// Answers over UDP that clients get; `None`: as many as they ask for.
    pub rate: Option<RateLimits>,
    /// Where clients are known one by one, and cannot be strangers.
    pub inside: Vec<IpNet>,
    /// Questions that wait for the upstreams of one domain, at a time.
    pub forwarded: usize,
    /// Queries that wait at one upstream, at a time; a slow one fills this, and the next is asked.
    pub at_upstream: usize,
    /// How long an upstream may take.
    pub attempt: Duration,
    /// How long a connection to an upstream is kept without a query.
    pub upstream_idle: Duration,
    /// How long a client waits where there is an answer that is out of date (RFC 8767 section 5).
    pub stale_after: Duration,
}

/// Answers a second over UDP, of all workers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// For an address (IPv6: a /64).
    pub client: u32,
    /// For a /24 (IPv6: a /56).
    pub prefix: u32,
    /// Whether clients inside are limited too.
    pub everybody: bool,
    /// How many workers share it evenly.
    pub workers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            connections_per_client: 20,
            queries: 128,
            idle: Duration::from_secs(5),
            write: Duration::from_secs(5),
            handshake: Duration::from_secs(5),
            rate: None,
            inside: PRIVATE.to_vec(),
            forwarded: 1_000,
            at_upstream: 500,
            attempt: Duration::from_millis(1_500),
            upstream_idle: Duration::from_secs(10),
            stale_after: Duration::from_millis(1_800),
        }
    }
}

impl Limits {
    /// With more addresses inside, beside private ones.
    #[must_use]
    pub fn with_inside(mut self, more: Vec<IpNet>) -> Self {
        self.inside.extend(more);
        self
    }

    /// Whether clients there are known one by one.
    pub(super) fn is_inside(&self, client: IpAddr) -> bool {
        self.inside.iter().any(|net| net.contains(&client))
    }

    /// Who counts as one client: an address, but of strangers with IPv6 a /64, of which one host
    /// has every address.
    pub(super) fn client(&self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V6(strange) if !self.is_inside(strange.into()) => {
                Ipv6Addr::from_bits(strange.to_bits() >> 64 << 64).into()
            }
            known @ (IpAddr::V4(_) | IpAddr::V6(_)) => known,
        }
    }
}

/// Loopback, private (RFC 1918, RFC 4193), shared (RFC 6598) and link-local addresses.
const PRIVATE: [IpNet; 9] = [
    v4([127, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([172, 16, 0, 0], 12),
    v4([192, 168, 0, 0], 16),
    v4([100, 64, 0, 0], 10),
    v4([169, 254, 0, 0], 16),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)),
];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

/// The largest answer over UDP, in bytes: fits every path unfragmented (DNS flag day 2020), and
/// bounds amplification.
pub(super) const UDP_ANSWER: u16 = 1232;

/// The largest answer over UDP without EDNS, in bytes (RFC 1035 section 2.3.4).
pub(super) const PLAIN_UDP_ANSWER: u16 = 512;

/// How many bytes an answer may have. `payload`: what the client says that it takes, if it speaks EDNS.
pub(super) fn largest_answer(transport: Transport, payload: Option<u16>) -> u16 {
    match transport {
        Transport::Tcp => u16::MAX,
        Transport::Udp => {
            payload.map_or(PLAIN_UDP_ANSWER, |it| it.clamp(PLAIN_UDP_ANSWER, UDP_ANSWER))
        }
    }
}

/// The largest query over TCP, in bytes. A question with a full name has 271; the rest is room for
/// options.
pub(super) const QUERY: usize = 4096;

/// The largest query over UDP, in bytes: what we say that we take (RFC 6891 section 6.2.3).
pub(super) const UDP_QUERY: usize = UDP_ANSWER as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_with_ipv6_are_known_by_their_network() {
        let limits = Limits::default().with_inside(vec!["2001:db8:1::/48".parse().expect("a net")]);
        for (address, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1:2:3:4", "2001:db8::"),
            ("2001:db8:1::1:2:3:4", "2001:db8:1::1:2:3:4"),
            ("fd00::1:2:3:4", "fd00::1:2:3:4"),
            ("::1", "::1"),
        ] {
            let client: IpAddr = client.parse().expect("an address");
            assert_eq!(limits.client(address.parse().expect("an address")), client);
        }
    }
}
