//! What is announced where, and what is said: pure. Time is an argument.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::{
    ArpOperation, ArpPacket, Mac, NeighbourAdvertisement, NeighbourSolicitation, solicited_node,
};
use crate::plane::Served;
use crate::snapshot::Generation;

/// The addresses of this node's announcements, and its interfaces.
#[derive(Debug, Default)]
pub struct State {
    /// With the generation since which each is wanted without a break.
    wanted: BTreeMap<IpAddr, Generation>,
    served: Served,
    /// Wanted and served.
    announced: BTreeSet<IpAddr>,
    /// By index.
    interfaces: BTreeMap<u32, Mac>,
    /// What is still to be said unasked, by address and interface.
    bursts: BTreeMap<(IpAddr, u32), Burst>,
}

/// When something is said again, and until when.
#[derive(Clone, Copy, Debug)]
struct Burst {
    next: Instant,
    until: Instant,
}

/// What is said unasked of one address on one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gratuitous {
    /// The index of the interface.
    pub interface: u32,
    /// The address.
    pub ip: IpAddr,
    /// What to send.
    pub frames: Vec<Vec<u8>>,
}

impl State {
    /// Takes what a generation wants to be announced.
    pub fn want(
        &mut self,
        generation: Generation,
        wanted: impl Iterator<Item = IpAddr>,
        now: Instant,
    ) {
        let before = std::mem::take(&mut self.wanted);
        let since = |ip: &IpAddr| before.get(ip).copied().unwrap_or(generation);
        self.wanted = wanted.map(|ip| (ip, since(&ip))).collect();
        self.update(now);
    }

    /// Takes what has sockets.
    pub fn serve(&mut self, served: Served, now: Instant) {
        self.served = served;
        self.update(now);
    }

    /// Takes which interfaces there are, by index. On one that is new, or has another MAC,
    /// everything is said anew.
    pub fn set_interfaces(&mut self, interfaces: BTreeMap<u32, Mac>, now: Instant) {
        let before = std::mem::replace(&mut self.interfaces, interfaces);
        self.bursts.retain(|(_, index), _| before.get(index) == self.interfaces.get(index));
        let fresh = self.interfaces.iter().filter(|(index, mac)| before.get(index) != Some(mac));
        for (index, _) in fresh {
            self.bursts.extend(self.announced.iter().map(|ip| ((*ip, *index), Burst::new(now))));
        }
    }

    fn update(&mut self, now: Instant) {
        let is_served = |(ip, since): &(&IpAddr, &Generation)| {
            self.served.generation >= **since && self.served.addresses.contains(*ip)
        };
        let announced: BTreeSet<_> = self.wanted.iter().filter(is_served).map(|it| *it.0).collect();
        self.bursts.retain(|(ip, _), _| announced.contains(ip));
        for ip in announced.difference(&self.announced) {
            let everywhere = self.interfaces.keys().map(|index| ((*ip, *index), Burst::new(now)));
            self.bursts.extend(everywhere);
        }
        self.announced = announced;
    }

    /// The addresses that are announced.
    pub fn announced(&self) -> &BTreeSet<IpAddr> {
        &self.announced
    }

    /// The groups in which they are asked for.
    pub fn groups(&self) -> BTreeSet<Ipv6Addr> {
        let v6 = self.announced.iter().filter_map(|ip| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(solicited_node(*ip)),
        });
        v6.collect()
    }

    /// What answers a frame that came to an interface, and for which address. `None`: nothing.
    pub fn answer(&self, interface: u32, frame: &[u8]) -> Option<(IpAddr, Vec<u8>)> {
        let mac = *self.interfaces.get(&interface)?;
        if let Some(asked) = ArpPacket::parse(frame) {
            let is_request = asked.operation == ArpOperation::Request;
            let is_for_us = asked.to == Mac::BROADCAST || asked.to == mac;
            // another node that takes the address over announces it by a request
            let is_question = is_request && asked.sender_ip != asked.target_ip;
            let ip = IpAddr::V4(asked.target_ip);
            let is_answered = is_for_us && is_question && self.announced.contains(&ip);
            return is_answered.then(|| (ip, asked.answer(mac).frame()));
        }
        let asked = NeighbourSolicitation::parse(frame)?;
        let is_for_us = asked.to.is_group() || asked.to == mac;
        let ip = IpAddr::V6(asked.target);
        let is_answered = is_for_us && self.announced.contains(&ip);
        is_answered.then(|| (ip, asked.answer(mac).frame()))
    }

    /// When [`State::due`] has something next.
    pub fn next(&self) -> Option<Instant> {
        self.bursts.values().map(|burst| burst.next).min()
    }

    /// What is to be said unasked by now.
    pub fn due(&mut self, now: Instant) -> Vec<Gratuitous> {
        let mut due = Vec::new();
        for ((ip, interface), burst) in &mut self.bursts {
            let Some(mac) = self.interfaces.get(interface).filter(|_| burst.next <= now) else {
                continue;
            };
            // late, the next one is later, too: the others are not made up for
            burst.next = now + EVERY;
            due.push(Gratuitous { interface: *interface, ip: *ip, frames: unasked(*ip, *mac) });
        }
        self.bursts.retain(|_, burst| burst.next <= burst.until);
        due
    }
}

impl Burst {
    fn new(now: Instant) -> Self {
        Self { next: now, until: now + FOR }
    }
}

fn unasked(ip: IpAddr, mac: Mac) -> Vec<Vec<u8>> {
    match ip {
        IpAddr::V4(ip) => {
            let both = [ArpOperation::Request, ArpOperation::Reply];
            both.map(|operation| ArpPacket::gratuitous(operation, ip, mac).frame()).into()
        }
        IpAddr::V6(ip) => vec![NeighbourAdvertisement::unsolicited(ip, mac).frame()],
    }
}

/// As MetalLB (`internal/layer2/announcer.go`): more often than once a second some switches take
/// for a flood.
const EVERY: Duration = Duration::from_millis(1100);
const FOR: Duration = Duration::from_secs(5);
