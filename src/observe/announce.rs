//! What is counted of the addresses that are announced, by address: a label that comes from the
//! snapshot. The names are MetalLB's (`internal/layer2/stats.go`), with a prefix of ours.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::DescriptorEncoder;

use super::metrics::counters;

/// What is counted of every address that this node announces or announced.
#[derive(Debug, Default)]
pub struct AnnounceCounts(Mutex<Addresses>);

type Addresses = BTreeMap<IpAddr, Counts>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    requests: u64,
    responses: u64,
    gratuitous: u64,
}

impl AnnounceCounts {
    /// Somebody asked for an address that is announced.
    pub fn request(&self, ip: IpAddr) {
        self.of().entry(ip).or_default().requests += 1;
    }

    /// It was answered.
    pub fn response(&self, ip: IpAddr) {
        self.of().entry(ip).or_default().responses += 1;
    }

    /// So many frames told of it unasked.
    pub fn gratuitous(&self, ip: IpAddr, frames: u64) {
        self.of().entry(ip).or_default().gratuitous += frames;
    }

    /// What was counted of addresses that are still there; the others are forgotten.
    pub(super) fn current(&self, is_there: impl Fn(&IpAddr) -> bool) -> Addresses {
        let mut all = self.of();
        all.retain(|ip, _| is_there(ip));
        all.clone()
    }

    /// A panic elsewhere while counting leaves numbers, not broken data.
    fn of(&self) -> MutexGuard<'_, Addresses> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn encode(
    addresses: &BTreeMap<IpAddr, Counts>,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), Error> {
    let by_address = |value: fn(&Counts) -> u64| {
        addresses.iter().map(move |(ip, counts)| (vec![("ip", ip.to_string())], value(counts)))
    };
    let requests = by_address(|counts| counts.requests);
    let help = "ARP requests and neighbour solicitations for addresses that are announced here";
    counters(encoder, "rutter_announce_requests_received", help, None, requests)?;
    let responses = by_address(|counts| counts.responses);
    let help = "Answers to them";
    counters(encoder, "rutter_announce_responses_sent", help, None, responses)?;
    let gratuitous = by_address(|counts| counts.gratuitous);
    let help = "Frames that tell unasked where an address is";
    counters(encoder, "rutter_announce_gratuitous_sent", help, None, gratuitous)
}
