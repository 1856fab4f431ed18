//! What can be given, and what is taken.

use std::collections::HashSet;
use std::net::IpAddr;

use foldhash::fast::RandomState;

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
        let number = self.numbers_mut(family).allocate(name)?;
        Some(match family {
            Family::V4 => IpAddr::V4(u32::try_from(number).ok()?.into()),
            Family::V6 => IpAddr::V6(number.into()),
        })
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

/// Node ports of one transport: 30000–32767, as `--service-node-port-range` is by default.
#[derive(Debug)]
pub(super) struct PortSpace(Numbers);

impl Default for PortSpace {
    fn default() -> Self {
        Self(Numbers::new(std::iter::once((30_000, 32_767))))
    }
}

impl PortSpace {
    pub(super) fn take(&mut self, port: u16) {
        self.0.take(port.into());
    }

    pub(super) fn allocate(&mut self, name: &str) -> Option<u16> {
        u16::try_from(self.0.allocate(name)?).ok()
    }
}

/// Ranges of numbers, and which of them are taken.
#[derive(Debug)]
struct Numbers {
    /// First and last, inclusive.
    ranges: Vec<(u128, u128)>,
    size: u64,
    taken: HashSet<u128, RandomState>,
}

impl Numbers {
    fn new(ranges: impl Iterator<Item = (u128, u128)>) -> Self {
        let ranges: Vec<_> = ranges.filter(|(first, last)| first <= last).collect();
        let size = ranges.iter().fold(0_u64, |size, range| size.saturating_add(length(*range)));
        Self { ranges, size, taken: HashSet::default() }
    }

    fn contains(&self, number: u128) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    fn take(&mut self, number: u128) {
        if self.contains(number) {
            self.taken.insert(number);
        }
    }

    fn allocate(&mut self, name: &str) -> Option<u128> {
        if self.taken.len() as u64 >= self.size {
            return None;
        }
        let start = stable_hash(name) % self.size;
        (start..self.size).chain(0..start).find_map(|place| {
            let number = self.at(place)?;
            self.taken.insert(number).then_some(number)
        })
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
}
