//! Session affinity of Services (`sessionAffinity: ClientIP`): which endpoint a client had last.
//!
//! One table for all workers. A Service has an address and a port in many places, each with a socket
//! of another worker, and fresh connections are handed between workers; but a client has one
//! endpoint, by whichever of them it comes. An owner for each client was rejected: asking it costs
//! a message there and back before a connection can go on, where a look at the table costs a lock
//! that nobody else wants. Only Services that ask for affinity come here at all.
//!
//! The table is made of many small sets, each behind a lock of its own, and a client belongs to one
//! set. So memory is bounded without a queue to keep: a set that is full gives up what is over, or
//! else the client that is over first. It holds hashes under a random key in place of names and
//! addresses. If two were equal, which a table of this size sees once in two billion times,
//! one of the clients would get the endpoint of the other, and only if it serves both of them.
//! Deliberately absent: clocks, the choice of an endpoint.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::snapshot::{BackendId, Endpoint, EndpointId};

/// The endpoints that clients had last.
#[derive(Debug)]
pub struct Affinity {
    sets: Box<[Mutex<Vec<Entry>>]>,
    clients_of_set: usize,
    hash: RandomState,
}

/// Whose endpoint is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct StickyClient<'a> {
    /// The Service port; its addresses and node ports share what is remembered.
    pub service: &'a BackendId,
    /// The client, whatever port it comes from.
    pub ip: IpAddr,
    /// Counted anew with every connection.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    client: u64,
    endpoint: EndpointId,
    end: Instant,
}

impl Default for Affinity {
    /// Room for 131,072 clients, which take 8 MiB; at half of that, hardly one is given up early.
    fn default() -> Self {
        Self::new(4096, 32)
    }
}

impl Affinity {
    fn new(sets: usize, clients_of_set: usize) -> Self {
        let sets = (0..sets.max(1)).map(|_| Mutex::default()).collect();
        Self { sets, clients_of_set: clients_of_set.max(1), hash: RandomState::default() }
    }

    /// The endpoint that the client had last, if it is among `usable` and was not `tried`; else what
    /// `choose` gives. It is the client's from now on.
    ///
    /// Of two connections that a client makes at a time, the second waits for the choice of the
    /// first: `choose` runs under the lock, and must not come here again.
    pub fn pick<'a>(
        &self,
        client: StickyClient<'_>,
        now: Instant,
        usable: &'a [Arc<Endpoint>],
        tried: &[EndpointId],
        choose: impl FnOnce() -> Option<&'a Arc<Endpoint>>,
    ) -> Option<&'a Arc<Endpoint>> {
        let hash = self.hash.hash_one((client.service, client.ip.to_canonical()));
        let mut set = self.set(hash)?;
        let known = set.iter_mut().find(|it| it.client == hash);
        let last = known.as_ref().filter(|it| now < it.end).map(|it| it.endpoint);
        let last = last.filter(|it| !tried.contains(it));
        let kept = last.and_then(|last| usable.iter().find(|endpoint| endpoint.id == last));
        let endpoint = kept.or_else(choose)?;
        let entry = Entry { client: hash, endpoint: endpoint.id, end: now + client.timeout };
        match known {
            Some(known) => *known = entry,
            None => insert(&mut set, entry, now, self.clients_of_set),
        }
        Some(endpoint)
    }

    /// A lock is held for a few comparisons; one that a panic poisoned holds good entries still.
    fn set(&self, hash: u64) -> Option<MutexGuard<'_, Vec<Entry>>> {
        let place = usize::try_from(hash % self.sets.len() as u64).ok()?;
        Some(self.sets.get(place)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn insert(set: &mut Vec<Entry>, entry: Entry, now: Instant, most: usize) {
    set.retain(|it| now < it.end);
    if set.len() >= most
        && let Some(first) = set.iter_mut().min_by_key(|it| it.end)
    {
        *first = entry;
        return;
    }
    set.push(entry);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::balance::Rng;
    use crate::balance::tests::endpoints;
    use crate::manifest::ObjectKey;
    use crate::snapshot::Transport;

    const TIMEOUT: Duration = Duration::from_secs(100);

    fn service(name: &str) -> BackendId {
        BackendId {
            service: ObjectKey::new("default", name),
            port: "http".into(),
            transport: Transport::Tcp,
        }
    }

    fn client(service: &BackendId, last: u8) -> StickyClient<'_> {
        StickyClient { service, ip: [10, 0, 0, last].into(), timeout: TIMEOUT }
    }

    #[test]
    fn a_client_keeps_its_endpoint_as_long_as_it_comes_back_in_time() {
        let (table, service, all) = (Affinity::default(), service("web"), endpoints(3));
        let start = Instant::now();
        let pick = |now, place: usize| {
            table.pick(client(&service, 1), now, &all, &[], || all.get(place)).map(|it| it.id)
        };
        assert_eq!(pick(start, 1), Some(all[1].id));
        assert_eq!(pick(start + TIMEOUT / 2, 2), Some(all[1].id));
        assert_eq!(pick(start + TIMEOUT, 2), Some(all[1].id), "every connection counts anew");
        assert_eq!(pick(start + TIMEOUT * 2, 2), Some(all[2].id), "the time is over");
    }

    #[test]
    fn services_and_clients_are_told_apart_and_families_of_one_address_are_not() {
        let (table, now, all) = (Affinity::default(), Instant::now(), endpoints(3));
        let (web, api) = (service("web"), service("api"));
        let pick = |client, place: usize| {
            table.pick(client, now, &all, &[], || all.get(place)).map(|it| it.id)
        };
        assert_eq!(pick(client(&web, 1), 0), Some(all[0].id));
        assert_eq!(pick(client(&api, 1), 1), Some(all[1].id));
        assert_eq!(pick(client(&web, 2), 2), Some(all[2].id));
        let ip = IpAddr::V6(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!(pick(StickyClient { ip, ..client(&web, 1) }, 2), Some(all[0].id));
    }

    #[test]
    fn an_endpoint_that_is_gone_or_failed_is_replaced_for_good() {
        let (table, service, all) = (Affinity::default(), service("web"), endpoints(3));
        let now = Instant::now();
        let pick = |usable: std::ops::Range<usize>, tried: &[EndpointId], place: usize| {
            let usable = &all[usable];
            let choose = || all.get(place);
            table.pick(client(&service, 1), now, usable, tried, choose).map(|it| it.id)
        };
        assert_eq!(pick(0..3, &[], 0), Some(all[0].id));
        assert_eq!(pick(1..3, &[], 1), Some(all[1].id), "it is gone");
        assert_eq!(pick(0..3, &[], 0), Some(all[1].id), "and has lost the client");
        assert_eq!(pick(0..3, &[all[1].id], 2), Some(all[2].id), "it refused");
        assert_eq!(pick(0..3, &[], 0), Some(all[2].id));
        assert_eq!(pick(0..0, &[], 9), None);
    }

    #[test]
    fn a_full_table_gives_up_what_is_over_then_what_is_over_first() {
        let (table, service, all) = (Affinity::new(1, 2), service("web"), endpoints(3));
        let start = Instant::now();
        let pick = |seconds, last, place: usize| {
            let now = start + Duration::from_secs(seconds);
            table.pick(client(&service, last), now, &all, &[], || all.get(place)).map(|it| it.id)
        };
        pick(0, 1, 0);
        pick(10, 2, 1);
        pick(20, 1, 2);
        pick(30, 3, 2);
        assert_eq!(pick(40, 1, 2), Some(all[0].id), "client 2 was nearest to its end");
        assert_eq!(pick(200, 9, 1), Some(all[1].id));
        assert_eq!(table.set(0).expect("the set").len(), 1, "the others were over");
    }

    #[test]
    fn random_connections_agree_with_a_naive_model() {
        for seed in 0..256 {
            simulate(seed);
        }
    }

    /// What the table must do: for each Service and client the endpoint and its end. The table is
    /// large enough that nothing is given up.
    fn simulate(seed: u64) {
        let mut rng = Rng::new(seed);
        let table = Affinity::new(8, 64);
        let mut shadow: BTreeMap<(usize, u8), (EndpointId, Instant)> = BTreeMap::new();
        let services = [service("a"), service("b")];
        let all = endpoints(5);
        let mut usable = all.clone();
        let mut now = Instant::now();
        for _ in 0..400 {
            now += Duration::from_secs(rng.below(20) as u64);
            if rng.below(10) == 0 {
                usable = all.iter().filter(|_| rng.below(3) > 0).cloned().collect();
            }
            let (place, last) = (rng.below(2), u8::try_from(rng.below(16)).expect("a byte"));
            let tried: Vec<_> = all.iter().filter(|_| rng.below(8) == 0).map(|it| it.id).collect();
            let fits = |id: EndpointId| !tried.contains(&id) && usable.iter().any(|it| it.id == id);
            let fresh = usable.iter().find(|it| !tried.contains(&it.id));
            let known = shadow.get(&(place, last)).filter(|(id, end)| now < *end && fits(*id));
            let expected = known.map(|(id, _)| *id).or_else(|| fresh.map(|it| it.id));
            let client = client(&services[place], last);
            let picked = table.pick(client, now, &usable, &tried, || fresh).map(|it| it.id);
            assert_eq!(picked, expected, "seed {seed}");
            if let Some(id) = expected {
                shadow.insert((place, last), (id, now + TIMEOUT));
            }
        }
    }
}
