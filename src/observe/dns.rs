//! What is counted of DNS besides its queries: connections, and answers that are held back.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::rc::Rc;

use prometheus_client::encoding::DescriptorEncoder;

use super::Observer;
use super::metrics::{counters, gauges};
use crate::snapshot::Transport;

/// How a query comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsTransport {
    /// A datagram.
    Udp,
    /// A stream in the clear.
    Tcp,
    /// A stream within TLS (RFC 7858).
    Tls,
    /// A request of HTTP (RFC 8484).
    Https,
}

impl DnsTransport {
    /// As it stands in a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Https => "https",
        }
    }

    /// What carries it.
    pub fn carrier(self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp | Self::Tls | Self::Https => Transport::Tcp,
        }
    }

    /// Whether nobody on the way can read it.
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Tls | Self::Https)
    }
}

/// Why a connection was not served, or not any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsRefusal {
    /// Its client has as many as one may have.
    ClientLimit,
    /// There are as many as there may be, and all of them wait for upstreams.
    Limit,
    /// It was the one that was idle longest when another came and there was no room.
    Evicted,
    /// TLS was not agreed, or not in time.
    Handshake,
}

impl DnsRefusal {
    fn as_str(self) -> &'static str {
        match self {
            Self::ClientLimit => "client_limit",
            Self::Limit => "limit",
            Self::Evicted => "evicted",
            Self::Handshake => "handshake",
        }
    }
}

/// What becomes of an answer over UDP that is beyond the limit of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DnsLimited {
    /// The client is told to come by TCP.
    Truncated,
    /// Nothing is sent.
    Dropped,
}

impl DnsLimited {
    fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Dropped => "dropped",
        }
    }
}

/// Counts a connection as open as long as it lives.
#[derive(Debug)]
pub struct OpenDnsConnection {
    observer: Rc<Observer>,
    transport: DnsTransport,
}

impl OpenDnsConnection {
    /// Begins to count.
    pub fn new(observer: Rc<Observer>, transport: DnsTransport) -> Self {
        observer.dns(|counts| *counts.open.entry(transport).or_default() += 1);
        Self { observer, transport }
    }
}

impl Drop for OpenDnsConnection {
    fn drop(&mut self) {
        self.observer.dns(|counts| {
            let open = counts.open.entry(self.transport).or_default();
            *open = open.saturating_sub(1);
        });
    }
}

impl Observer {
    /// Counts a connection that was not served, or not any longer.
    pub fn refuse_dns(&self, transport: DnsTransport, reason: DnsRefusal) {
        self.dns(|counts| *counts.refused.entry((transport, reason)).or_default() += 1);
    }

    /// Counts queries that were dropped because there were too many to answer.
    pub fn drop_queries(&self, queries: u64) {
        self.dns(|counts| counts.dropped += queries);
    }

    /// Counts an answer over UDP that was not sent as it is.
    pub fn limit_dns(&self, limited: DnsLimited) {
        self.dns(|counts| *counts.limited.entry(limited).or_default() += 1);
    }
}

/// What one worker, or all of them, have counted.
#[derive(Clone, Debug, Default)]
pub(super) struct DnsCounts {
    open: BTreeMap<DnsTransport, u64>,
    refused: BTreeMap<(DnsTransport, DnsRefusal), u64>,
    limited: BTreeMap<DnsLimited, u64>,
    /// Queries that were too many to be answered.
    dropped: u64,
}

impl DnsCounts {
    /// Adds what another worker has counted.
    pub(super) fn add(&mut self, other: &Self) {
        let Self { open, refused, limited, dropped } = other;
        open.iter().for_each(|(of, more)| *self.open.entry(*of).or_default() += more);
        refused.iter().for_each(|(of, more)| *self.refused.entry(*of).or_default() += more);
        limited.iter().for_each(|(of, more)| *self.limited.entry(*of).or_default() += more);
        self.dropped += dropped;
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let transport = |it: &DnsTransport| ("transport", it.as_str().to_owned());
        let open = self.open.iter().map(|(of, count)| (vec![transport(of)], *count as f64));
        gauges(encoder, "rutter_dns_connections", "Open connections of DNS clients", open)?;
        let refused = self.refused.iter().map(|((of, reason), count)| {
            (vec![transport(of), ("reason", reason.as_str().to_owned())], *count)
        });
        let help = "Connections of DNS clients that were refused, or closed for others";
        counters(encoder, "rutter_dns_refused_connections", help, None, refused)?;
        let action = |it: &DnsLimited| vec![("action", it.as_str().to_owned())];
        let limited = self.limited.iter().map(|(of, count)| (action(of), *count));
        let help = "DNS answers over UDP beyond the limit of their client";
        counters(encoder, "rutter_dns_limited_responses", help, None, limited)?;
        let dropped = [(Vec::new(), self.dropped)].into_iter();
        let help =
            "DNS queries over UDP that were too many, with an estimate of what filters dropped";
        counters(encoder, "rutter_dns_dropped_requests", help, None, dropped)
    }
}
