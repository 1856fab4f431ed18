//! Neighbour discovery of IPv6 on Ethernet (RFC 4861): the solicitation and the advertisement. Pure.

use std::net::Ipv6Addr;

use super::Mac;
use super::ethernet::{Header, IPV6};

/// Who has the target's address?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourSolicitation {
    /// To whom the frame goes.
    pub to: Mac,
    /// Where the answer goes.
    pub source_mac: Mac,
    /// Who asks; `::` where it wants to know whether it may take the address (RFC 4862).
    pub source: Ipv6Addr,
    /// Whose MAC is asked for.
    pub target: Ipv6Addr,
}

/// The target's address is at this MAC, whatever was known before (the override flag).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourAdvertisement {
    /// To whom: who asked, or everybody.
    pub to: (Mac, Ipv6Addr),
    /// Where the address is.
    pub mac: Mac,
    /// The address, which the packet comes from too.
    pub target: Ipv6Addr,
    /// Whether somebody asked: this confirms that the way there works.
    pub is_solicited: bool,
}

/// The group in which those who look for an address ask for it (RFC 4291 section 2.7.1).
pub fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = ip.octets();
    Ipv6Addr::from([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

impl NeighbourSolicitation {
    /// Reads a frame. `None`: it is none, or not a valid one (RFC 4861 section 7.1.1): what came by
    /// a router (its hop limit is not 255) is no neighbour's.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (Header { to, from, ether_type: IPV6 }, rest) = Header::parse(frame)? else {
            return None;
        };
        let Packet { source, destination, message } = Packet::parse(rest)?;
        let (kind, rest) = message.split_first_chunk::<8>()?;
        let (target, options) = rest.split_first_chunk::<16>()?;
        let target = Ipv6Addr::from(*target);
        let source_mac = source_mac(options)?;
        let [SOLICITATION, 0, ..] = *kind else { return None };
        // for who has no address yet there is no way back but to everybody
        let is_anonymous = source.is_unspecified();
        let is_valid = match is_anonymous {
            true => destination == solicited_node(target) && source_mac.is_none(),
            false => destination == solicited_node(target) || destination == target,
        };
        let source_mac = source_mac.unwrap_or(from);
        let is_valid = is_valid && !target.is_multicast() && !source.is_multicast();
        let is_valid = is_valid && !source_mac.is_group();
        is_valid.then_some(Self { to, source_mac, source, target })
    }

    /// What answers it: the target is here.
    pub fn answer(&self, mac: Mac) -> NeighbourAdvertisement {
        let is_solicited = !self.source.is_unspecified();
        let to = if is_solicited { (self.source_mac, self.source) } else { ALL_NODES };
        NeighbourAdvertisement { to, mac, target: self.target, is_solicited }
    }
}

impl NeighbourAdvertisement {
    /// Tells everybody where an address is, unasked (RFC 4861 section 7.2.6).
    pub fn unsolicited(target: Ipv6Addr, mac: Mac) -> Self {
        Self { to: ALL_NODES, mac, target, is_solicited: false }
    }

    /// The frame, as it is sent.
    pub fn frame(&self) -> Vec<u8> {
        let (to, destination) = self.to;
        let flags = if self.is_solicited { SOLICITED | OVERRIDE } else { OVERRIDE };
        let body = |checksum: u16| {
            let kind = [ADVERTISEMENT, 0];
            let target = self.target.octets();
            let parts = [&kind[..], &checksum.to_be_bytes(), &[flags, 0, 0, 0], &target];
            [&parts.concat()[..], &[TARGET_MAC, 1], &self.mac.0].concat()
        };
        let message = body(!sum(self.target, destination, &body(0)));
        let length = u16::try_from(message.len()).unwrap_or_default();
        let header = [
            &[0x60, 0, 0, 0][..],
            &length.to_be_bytes(),
            &[ICMPV6, HOP_LIMIT],
            &self.target.octets(),
            &destination.octets(),
            &message,
        ];
        Header { to, from: self.mac, ether_type: IPV6 }.frame(&header.concat())
    }
}

/// A packet of ICMPv6 that no router has touched.
struct Packet<'a> {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: &'a [u8],
}

impl<'a> Packet<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<8>()?;
        let (source, rest) = rest.split_first_chunk::<16>()?;
        let (destination, rest) = rest.split_first_chunk::<16>()?;
        let [version, _, _, _, high, low, ICMPV6, HOP_LIMIT] = *fixed else { return None };
        // short frames are filled up
        let message = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
        let (source, destination) = (Ipv6Addr::from(*source), Ipv6Addr::from(*destination));
        let is_whole = version >> 4 == 6 && sum(source, destination, message) == u16::MAX;
        is_whole.then_some(Self { source, destination, message })
    }
}

/// The MAC among the options of a solicitation, if it is there. `None`: they are broken, and so is
/// all of it.
fn source_mac(mut options: &[u8]) -> Option<Option<Mac>> {
    let mut found = None;
    while let Some((kind, rest)) = options.split_first() {
        // in units of eight bytes, kind and length included
        let (length, _) = rest.split_first()?;
        let (option, after) = options.split_at_checked(usize::from(*length) * 8)?;
        let (_, value) = option.split_first_chunk::<2>()?;
        if *kind == SOURCE_MAC {
            found = value.first_chunk().map(|mac| Mac(*mac));
        }
        options = after;
    }
    Some(found)
}

/// The sum of ones' complement over a message and its addresses (RFC 4443 section 2.3), which is
/// all ones if the checksum in it is right.
fn sum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or_default();
    let pseudo = [&source.octets()[..], &destination.octets(), &length.to_be_bytes()].concat();
    let words = [&pseudo[..], &[0, 0, 0, ICMPV6], message].into_iter().flat_map(|part| {
        part.chunks(2).map(|pair| {
            let [high, low] = [pair.first(), pair.get(1)].map(|it| it.copied().unwrap_or_default());
            u64::from(u16::from_be_bytes([high, low]))
        })
    });
    let mut sum: u64 = words.sum();
    while let carry @ 1.. = sum >> 16 {
        sum = (sum & 0xffff) + carry;
    }
    u16::try_from(sum).unwrap_or_default()
}

/// ff02::1, and where its frames go (RFC 2464 section 7).
const ALL_NODES: (Mac, Ipv6Addr) =
    (Mac([0x33, 0x33, 0, 0, 0, 1]), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));

pub(super) const ICMPV6: u8 = 58;
/// What no packet has that a router has passed on.
const HOP_LIMIT: u8 = 255;
pub(super) const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

#[cfg(test)]
mod tests;
