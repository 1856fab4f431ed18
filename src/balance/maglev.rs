//! Maglev (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
//! section 3.4): a table in which every endpoint has the same number of slots, give or take one, and
//! of which little changes when an endpoint comes or goes.

use super::hash::hash_of;
use super::rng::mix;
use crate::snapshot::EndpointId;

/// Which endpoint each slot belongs to, by its place in the list that it was made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Maglev {
    slots: Box<[u16]>,
}

impl Maglev {
    /// Takes a millisecond or two. Of more endpoints than a place can name the rest gets nothing.
    pub(super) fn new(endpoints: &[EndpointId]) -> Self {
        Self::with_slots(endpoints, SLOTS)
    }

    fn with_slots(endpoints: &[EndpointId], size: u64) -> Self {
        let mut orders: Vec<_> = endpoints.iter().map(|id| Preference::new(*id, size)).collect();
        orders.truncate(usize::from(u16::MAX));
        let mut slots = vec![NOBODY; usize::try_from(size).unwrap_or_default()];
        let mut free = if orders.is_empty() { 0 } else { slots.len() };
        while free > 0 {
            for (place, order) in (0..).zip(&mut orders) {
                if free > 0 && order.take_next(&mut slots, place) {
                    free -= 1;
                }
            }
        }
        Self { slots: slots.into() }
    }

    /// The place of the endpoint for a hash; `attempt` above 0: of another one, most likely. `None`:
    /// there are no endpoints.
    pub(super) fn place(&self, hash: u64, attempt: u64) -> Option<usize> {
        let hash = if attempt == 0 { hash } else { mix(hash.wrapping_add(attempt)) };
        let slot = hash.checked_rem(self.slots.len() as u64)?;
        let place = self.slots.get(usize::try_from(slot).ok()?)?;
        (*place != NOBODY).then_some(usize::from(*place))
    }
}

/// The order in which an endpoint wants the slots: all of them, since their number is prime.
struct Preference {
    next: u64,
    skip: u64,
    size: u64,
}

impl Preference {
    fn new(id: EndpointId, size: u64) -> Self {
        let mut bytes = match id.ip() {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.extend(id.addr().port().to_be_bytes());
        let hash = hash_of(&bytes);
        Self { next: hash % size, skip: mix(hash) % (size - 1) + 1, size }
    }

    /// Takes the slot that it wants most among those that are free; one must be.
    fn take_next(&mut self, slots: &mut [u16], place: u16) -> bool {
        for _ in 0..slots.len() {
            let wanted = usize::try_from(self.next).unwrap_or_default();
            self.next = (self.next + self.skip) % self.size;
            if let Some(slot) = slots.get_mut(wanted).filter(|slot| **slot == NOBODY) {
                *slot = place;
                return true;
            }
        }
        false
    }
}

const NOBODY: u16 = u16::MAX;
/// Prime, and a hundred times as many as the endpoints of nearly every Service, as the paper
/// advises: 128 KiB for each Service that asks for it.
const SLOTS: u64 = 65_537;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::balance::Rng;

    /// Prime and small, so that many tables are made in little time.
    const SIZE: u64 = 5_003;

    fn some(rng: &mut Rng, most: usize) -> Vec<EndpointId> {
        let ids: BTreeSet<EndpointId> = (0..1 + rng.below(most))
            .map(|_| {
                let [.., a, b] = rng.next_u64().to_be_bytes();
                EndpointId(([10, 0, a, b], 80).into())
            })
            .collect();
        ids.into_iter().collect()
    }

    /// As the paper writes it down: every permutation whole, and one turn after the other.
    fn naive(endpoints: &[EndpointId], size: u64) -> Vec<usize> {
        let permutations: Vec<Vec<usize>> = endpoints
            .iter()
            .map(|id| {
                let Preference { next: offset, skip, .. } = Preference::new(*id, size);
                let slot = |turn: u64| usize::try_from((offset + turn * skip) % size);
                (0..size).map(|turn| slot(turn).expect("small")).collect()
            })
            .collect();
        let mut next = vec![0; endpoints.len()];
        let mut entry: Vec<Option<usize>> = vec![None; usize::try_from(size).expect("small")];
        loop {
            for (place, permutation) in permutations.iter().enumerate() {
                let wanted = permutation.iter().skip(next[place]);
                let wanted = wanted.take_while(|slot| entry[**slot].is_some()).count();
                next[place] += wanted;
                let slot = permutation[next[place]];
                entry[slot] = Some(place);
                next[place] += 1;
                if entry.iter().all(Option::is_some) {
                    return entry.into_iter().flatten().collect();
                }
            }
        }
    }

    #[test]
    fn random_tables_agree_with_the_pseudocode_of_the_paper() {
        for seed in 0..256 {
            let ids = some(&mut Rng::new(seed), 12);
            let table = Maglev::with_slots(&ids, 251);
            let slots: Vec<_> = table.slots.iter().map(|place| usize::from(*place)).collect();
            assert_eq!(slots, naive(&ids, 251), "seed {seed}");
        }
    }

    #[test]
    fn every_endpoint_has_the_same_number_of_slots_give_or_take_one() {
        for seed in 0..256 {
            let ids = some(&mut Rng::new(seed), 50);
            let table = Maglev::with_slots(&ids, SIZE);
            let mut counts = vec![0_usize; ids.len()];
            table.slots.iter().for_each(|place| counts[usize::from(*place)] += 1);
            let (least, most) = (counts.iter().min(), counts.iter().max());
            let spread = most.expect("one") - least.expect("one");
            assert!(spread <= 1, "seed {seed}: {counts:?}");
        }
    }

    /// The paper measures for tables of a hundred times the endpoints that up to a fiftieth of the
    /// slots moves between endpoints that stay.
    #[test]
    fn an_endpoint_that_goes_takes_few_others_keys_along() {
        let mut worst: f64 = 0.0;
        for seed in 0..256 {
            let mut rng = Rng::new(seed);
            let before = some(&mut rng, 50);
            let gone = rng.below(before.len());
            let mut after = before.clone();
            after.remove(gone);
            let (old, new) = (Maglev::with_slots(&before, SIZE), Maglev::with_slots(&after, SIZE));
            let moved = (0..SIZE).filter(|hash| {
                let old = old.place(*hash, 0).map(|place| before[place]);
                old != Some(before[gone]) && old != new.place(*hash, 0).map(|place| after[place])
            });
            let share = moved.count() as f64 / SIZE as f64;
            worst = worst.max(share);
            assert!(share <= MOST_MOVED || after.is_empty(), "seed {seed}: {share}");
        }
        assert!(worst > 0.0, "some key moves, or the test sees nothing");
    }

    /// A twentieth: tables are smaller here than those of the paper.
    const MOST_MOVED: f64 = 0.05;

    #[test]
    fn nobody_is_found_among_no_endpoints() {
        assert_eq!(Maglev::new(&[]).place(7, 0), None);
    }

    #[test]
    fn a_table_is_the_same_in_every_version() {
        let ids: Vec<_> = (1..=3).map(|last| EndpointId(([10, 0, 0, last], 80).into())).collect();
        let table = Maglev::new(&ids);
        let places: Vec<_> = (0..12).filter_map(|key| table.place(hash_of(&[key]), 0)).collect();
        assert_eq!(places, [2, 2, 0, 1, 0, 2, 0, 0, 1, 1, 1, 2]);
    }
}
