//! What can be given, and what is taken.
//!
//! A static band at the beginning of a range is given last, as the API server does: those who
//! choose an address or a port themselves choose low ones (KEP-3070, KEP-3668).

use std::collections::HashSet;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use ipnet::IpNet;

use crate::compile::address::Family;
use crate::compile::settings::AddressRange;

/// Addresses of both families.
#[derive(Debug)]
pub(in crate::compile) struct AddressSpace {
    v4: Numbers,
    v6: Numbers,
}

impl AddressSpace {
    pub(in crate::compile) fn new(ranges: impl Iterator<Item = AddressRange> + Clone) -> Self {
        let of = |family| {
            let ranges = ranges.clone().filter(move |range| Family::of(range.first) == family);
            Numbers::new(ranges.map(|range| (number(range.first), number(range.last))))
        };
        Self { v4: of(Family::V4), v6: of(Family::V6) }
    }

    /// What may be given from service CIDRs, at most one a family: not the network, not the first
    /// ten addresses, of which the tenth is the cluster's DNS by custom, and not the broadcast
    /// address.
    pub(super) fn of_service_cidrs(cidrs: &[IpNet]) -> Self {
        let of = |family| {
            let cidr = cidrs.iter().find(|cidr| Family::of(cidr.addr()) == family);
            let numbers = cidr.map(|cidr| {
                let (network, last) = (number(cidr.network()), number(cidr.broadcast()));
                let last = if family == Family::V4 { last.saturating_sub(1) } else { last };
                let first = network.saturating_add(RESERVED.into());
                let band = static_addresses(*cidr).saturating_sub(RESERVED - 1);
                Numbers::new(std::iter::once((first, last))).with_static_band(band)
            });
            numbers.unwrap_or_else(|| Numbers::new(std::iter::empty()))
        };
        Self { v4: of(Family::V4), v6: of(Family::V6) }
    }

    pub(in crate::compile) fn has_family(&self, family: Family) -> bool {
        self.numbers(family).size > 0
    }

    pub(in crate::compile) fn contains(&self, ip: IpAddr) -> bool {
        self.numbers(Family::of(ip)).contains(number(ip))
    }

    /// Whether nobody has it yet.
    pub(in crate::compile) fn is_free(&self, ip: IpAddr) -> bool {
        !self.numbers(Family::of(ip)).taken.contains(&number(ip))
    }

    /// Nobody else will be given it.
    pub(in crate::compile) fn take(&mut self, ip: IpAddr) {
        self.numbers_mut(Family::of(ip)).take(number(ip));
    }

    /// The first free address from the place that `name` hashes to, which is then taken.
    pub(in crate::compile) fn allocate(&mut self, family: Family, name: &str) -> Option<IpAddr> {
        let ip = self.find(family, name, |_| true)?;
        self.take(ip);
        Some(ip)
    }

    /// The same among those that `accept` accepts; it is not taken yet.
    pub(super) fn find(
        &self,
        family: Family,
        name: &str,
        accept: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        let accept = |number| address(family, number).is_some_and(&accept);
        address(family, self.numbers(family).find(name, accept)?)
    }

    fn numbers(&self, family: Family) -> &Numbers {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    fn numbers_mut(&mut self, family: Family) -> &mut Numbers {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}

/// How many addresses at the beginning of a service CIDR are not given, the network among them.
const RESERVED: u64 = 11;

/// How many addresses behind the network are for those who choose (KEP-3070).
fn static_addresses(cidr: IpNet) -> u64 {
    let bits = u32::from(cidr.max_prefix_len() - cidr.prefix_len());
    let size = 1_u64.checked_shl(bits).unwrap_or(u64::MAX);
    if size <= 16 { 0 } else { (size / 16).clamp(16, 256) }
}

/// Node ports: 30000–32767, as `--service-node-port-range` is by default, of which the first
/// 86 are for those who choose (KEP-3668). A number is given once, whatever the transport.
#[derive(Debug)]
pub(super) struct PortSpace(Numbers);

impl Default for PortSpace {
    fn default() -> Self {
        let (first, last) = (30_000_u16, 32_767_u16);
        let size = u64::from(last - first) + 1;
        let numbers = Numbers::new(std::iter::once((first.into(), last.into())));
        Self(numbers.with_static_band((size / 32).clamp(16, 128)))
    }
}

impl PortSpace {
    pub(super) fn take(&mut self, port: u16) {
        self.0.take(port.into());
    }

    /// The first free port from the place that `name` hashes to; it is not taken yet.
    pub(super) fn find(&self, name: &str) -> Option<u16> {
        u16::try_from(self.0.find(name, |_| true)?).ok()
    }
}

/// Ranges of numbers, and which of them are taken.
#[derive(Debug)]
struct Numbers {
    /// First and last, inclusive.
    ranges: Vec<(u128, u128)>,
    size: u64,
    /// How many of the first ones are given only when no other is left.
    static_band: u64,
    taken: HashSet<u128, RandomState>,
}

impl Numbers {
    fn new(ranges: impl Iterator<Item = (u128, u128)>) -> Self {
        let ranges: Vec<_> = ranges.filter(|(first, last)| first <= last).collect();
        let size = ranges.iter().fold(0_u64, |size, range| size.saturating_add(length(*range)));
        Self { ranges, size, static_band: 0, taken: HashSet::default() }
    }

    fn with_static_band(self, static_band: u64) -> Self {
        Self { static_band: static_band.min(self.size), ..self }
    }

    fn contains(&self, number: u128) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    fn take(&mut self, number: u128) {
        if self.contains(number) {
            self.taken.insert(number);
        }
    }

    /// The first free one that is accepted, from the place that `name` hashes to.
    fn find(&self, name: &str, accept: impl Fn(u128) -> bool) -> Option<u128> {
        if self.taken.len() as u64 >= self.size {
            return None;
        }
        let start = stable_hash(name) % self.size;
        let band = self.static_band;
        let places = (start.max(band)..self.size).chain(band..start).chain(0..band);
        let mut numbers = places.filter_map(|place| self.at(place));
        numbers.find(|number| !self.taken.contains(number) && accept(*number))
    }

    fn at(&self, mut place: u64) -> Option<u128> {
        for range in &self.ranges {
            if place < length(*range) {
                return Some(range.0 + u128::from(place));
            }
            place -= length(*range);
        }
        None
    }
}

fn length((first, last): (u128, u128)) -> u64 {
    u64::try_from(last - first).unwrap_or(u64::MAX).saturating_add(1)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

fn address(family: Family, number: u128) -> Option<IpAddr> {
    Some(match family {
        Family::V4 => IpAddr::V4(u32::try_from(number).ok()?.into()),
        Family::V6 => IpAddr::V6(number.into()),
    })
}

/// What is left of a range without another one.
pub(super) fn without(range: AddressRange, other: AddressRange) -> Vec<AddressRange> {
    let AddressRange { first, last } = range;
    if first.is_ipv4() != other.first.is_ipv4() || first > other.last || last < other.first {
        return vec![range];
    }
    let family = Family::of(first);
    let at = |number: Option<u128>| number.and_then(|number| address(family, number));
    let below = at(number(other.first).checked_sub(1)).filter(|end| *end >= first);
    let above = at(number(other.last).checked_add(1)).filter(|start| *start <= last);
    let below = below.map(|last| AddressRange { first, last });
    let above = above.map(|first| AddressRange { first, last });
    below.into_iter().chain(above).collect()
}

/// How many addresses a range has.
pub(super) fn count(range: AddressRange) -> u64 {
    length((number(range.first), number(range.last)))
}

/// FNV-1a: small, and the same in every version of rutter and on every machine.
pub(in crate::compile) fn stable_hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(first: [u8; 4], last: [u8; 4]) -> AddressSpace {
        let range = AddressRange { first: first.into(), last: last.into() };
        AddressSpace::new(std::iter::once(range))
    }

    #[test]
    fn every_address_is_given_once_and_then_none() {
        let mut space = space([10, 0, 0, 1], [10, 0, 0, 20]);
        space.take([10, 0, 0, 7].into());
        space.take([10, 0, 1, 7].into());
        let given: HashSet<IpAddr> =
            (0..19).map(|n| space.allocate(Family::V4, &format!("a/{n}")).expect("free")).collect();
        assert_eq!(given.len(), 19);
        assert!(!given.contains(&IpAddr::from([10, 0, 0, 7])));
        assert_eq!(space.allocate(Family::V4, "a/19"), None);
        assert_eq!(space.allocate(Family::V6, "a/19"), None);
    }

    #[test]
    fn the_place_of_a_name_does_not_change_between_versions() {
        let mut space = space([127, 96, 0, 11], [127, 96, 255, 254]);
        let given = space.allocate(Family::V4, "default/web");
        assert_eq!(given, Some(IpAddr::from([127, 96, 219, 178])));
    }
    #[test]
    fn those_who_do_not_choose_get_the_upper_band_first() {
        // of a /26 the first 16 behind the network are static, and 11 to 16 can be given at all
        let mut space = AddressSpace::of_service_cidrs(&["10.0.0.0/26".parse().expect("a CIDR")]);
        let last = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.octets()[3],
            IpAddr::V6(_) => panic!("an IPv4 address"),
        };
        let given: Vec<u8> =
            std::iter::from_fn(|| space.allocate(Family::V4, "a/x").map(last)).take(100).collect();
        let (upper, lower) = given.split_at(46);
        assert!(upper.iter().all(|last| (17..=62).contains(last)), "{upper:?}");
        assert_eq!(lower, [11, 12, 13, 14, 15, 16]);
    }

    #[test]
    fn static_bands_are_as_long_as_those_of_the_api_server() {
        for (cidr, expected) in [
            ("10.0.0.0/28", 0),
            ("10.0.0.0/27", 16),
            ("10.0.0.0/24", 16),
            ("10.0.0.0/20", 256),
            ("127.96.0.0/16", 256),
            ("fd00::/108", 256),
            ("fd00::/48", 256),
        ] {
            assert_eq!(static_addresses(cidr.parse().expect("a CIDR")), expected, "{cidr}");
        }
        let mut ports = PortSpace::default();
        let mut next = || ports.find("a/x").inspect(|port| ports.take(*port));
        let given: Vec<u16> = std::iter::from_fn(&mut next).collect();
        assert_eq!(given.len(), 2_768);
        assert!(given.iter().take(2_682).all(|port| *port >= 30_086), "the upper band first");
        assert_eq!(given.last(), Some(&30_085));
    }
    #[test]
    fn a_range_without_another_is_what_is_left_on_both_sides() {
        let range = |text: &str| {
            let (first, last) = text.split_once('-').expect("FIRST-LAST");
            let ip = |text: &str| text.parse().expect("an address");
            AddressRange { first: ip(first), last: ip(last) }
        };
        for (one, other, expected) in [
            ("10.0.0.1-10.0.0.9", "10.0.0.4-10.0.0.5", "10.0.0.1-10.0.0.3 10.0.0.6-10.0.0.9"),
            ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.5", "10.0.0.6-10.0.0.9"),
            ("10.0.0.1-10.0.0.9", "10.0.0.8-10.0.1.0", "10.0.0.1-10.0.0.7"),
            ("10.0.0.1-10.0.0.9", "10.0.0.0-10.0.0.9", ""),
            ("10.0.0.1-10.0.0.9", "10.0.1.0-10.0.1.9", "10.0.0.1-10.0.0.9"),
            ("10.0.0.1-10.0.0.9", "::-ffff::", "10.0.0.1-10.0.0.9"),
            ("::1-::9", "::5-ffff::", "::1-::4"),
        ] {
            let rest = without(range(one), range(other));
            let rest: Vec<_> = rest.iter().map(ToString::to_string).collect();
            assert_eq!(rest.join(" "), expected, "{one} without {other}");
        }
    }
}
