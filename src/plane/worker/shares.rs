//! How many connections each client holds, of all workers. Looked at once a connection.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

/// The connections of clients that have any. In parts, so that workers rarely wait for each other.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    parts: Arc<[Mutex<HashMap<IpAddr, usize, RandomState>>]>,
    hasher: RandomState,
}

impl Default for Shares {
    fn default() -> Self {
        let parts = (0..PARTS).map(|_| Mutex::default()).collect();
        Self { parts, hasher: RandomState::default() }
    }
}

impl Shares {
    /// One connection more of a client, if it has less than `most`.
    pub(super) fn take(&self, address: IpAddr, most: usize) -> Option<Share> {
        let client = client(address);
        let mut part = self.part(client)?;
        let count = part.entry(client).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(part);
        Some(Share { all: self.clone(), client })
    }

    /// A panic elsewhere while counting leaves numbers, not broken data.
    fn part(&self, client: IpAddr) -> Option<MutexGuard<'_, HashMap<IpAddr, usize, RandomState>>> {
        let place = usize::try_from(self.hasher.hash_one(client)).unwrap_or_default() % PARTS;
        Some(self.parts.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One connection of a client, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    all: Shares,
    client: IpAddr,
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some(mut part) = self.all.part(self.client) else { return };
        match part.get_mut(&self.client) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(part.remove(&self.client)),
        }
    }
}

/// Who counts as one client: an address, but with IPv6 a /64, of which one host has every address.
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

const PARTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_with_ipv6_a_network_and_gives_its_places_back() {
        let shares = Shares::default();
        let take = |address: &str| shares.take(address.parse().expect("an address"), 2);
        let held =
            [take("192.0.2.1"), take("::ffff:192.0.2.1"), take("2001:db8::1"), take("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        for full in ["192.0.2.1", "2001:db8::ffff"] {
            assert!(take(full).is_none(), "{full}");
        }
        let others = [take("192.0.2.2"), take("2001:db8:0:1::1")];
        assert!(others.iter().all(Option::is_some));
        drop((held, others));
        assert!(shares.parts.iter().all(|part| part.lock().expect("no panic").is_empty()));
        assert!(take("192.0.2.1").is_some());
    }
}
