//! What clients may use up, for each worker.

use std::time::Duration;

/// Limits of DNS over TCP, and of what is forwarded. Over UDP what is ours needs none: a datagram is
/// answered or dropped at once.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Connections at a time from one address.
    pub connections_per_client: usize,
    /// Queries on one connection, which is then closed.
    pub queries: usize,
    /// How long the next whole query may take to arrive.
    pub idle: Duration,
    /// How long the client may take to accept an answer.
    pub write: Duration,
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2_000,
            connections_per_client: 20,
            queries: 128,
            idle: Duration::from_secs(5),
            write: Duration::from_secs(5),
            forwarded: 1_000,
            at_upstream: 500,
            attempt: Duration::from_millis(1_500),
            upstream_idle: Duration::from_secs(10),
            stale_after: Duration::from_millis(1_800),
        }
    }
}

/// The largest answer over UDP, in bytes: fits every path unfragmented (DNS flag day 2020), and
/// bounds amplification.
pub(super) const UDP_ANSWER: u16 = 1232;

/// The largest answer over UDP without EDNS, in bytes (RFC 1035 section 2.3.4).
pub(super) const PLAIN_UDP_ANSWER: u16 = 512;

/// The largest query over TCP, in bytes. A question with a full name has 271; the rest is room for
/// options.
pub(super) const QUERY: usize = 4096;

/// The largest query over UDP, in bytes: what we say that we take (RFC 6891 section 6.2.3).
pub(super) const UDP_QUERY: usize = UDP_ANSWER as usize;
