//! How many answers over UDP a client gets, so that nobody is flooded in our name: the address that
//! a query comes from may be a victim's. Sans-IO: the time is an argument.
//!
//! Memory is fixed. A client has a bucket of tokens, and so has its network; what is remembered of
//! a bucket is when it will be full again (the generic cell rate algorithm). Where there is no place
//! for another, the one that is full soonest is forgotten, so that a victim cannot be washed out by
//! made-up addresses: they are as good as full.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::limits::RateLimits;

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Answer,
    /// The client is told to come by TCP, which somebody else's victim does not.
    Truncate,
    /// Nothing is sent.
    Drop,
}

/// The buckets of one worker.
#[derive(Debug)]
pub struct RateLimit {
    started: Instant,
    clients: Buckets,
    prefixes: Buckets,
}

impl RateLimit {
    /// Full buckets. The seed decides which clients share places; it must be nobody's to guess.
    pub fn new(limits: &RateLimits, seed: u64, now: Instant) -> Self {
        let buckets = |rate, count| Buckets::new(rate, limits.workers, count, seed);
        Self {
            started: now,
            clients: buckets(limits.client, CLIENTS),
            prefixes: buckets(limits.prefix, PREFIXES),
        }
    }

    /// What becomes of the next answer to a client. Of those beyond the limit, every second one is
    /// truncated, so that who has really asked gets through.
    pub fn check(&mut self, client: IpAddr, now: Instant) -> Verdict {
        let now = nanoseconds(now.saturating_duration_since(self.started));
        let (clients, prefixes) = (self.clients.rate, self.prefixes.rate);
        let client_bucket = self.clients.bucket(key(client, 32, 64));
        let prefix_bucket = self.prefixes.bucket(key(client, 24, 56));
        if !client_bucket.has_room(clients, now) {
            return client_bucket.refuse();
        }
        if !prefix_bucket.has_room(prefixes, now) {
            return prefix_bucket.refuse();
        }
        client_bucket.take(clients, now);
        prefix_bucket.take(prefixes, now);
        Verdict::Answer
    }
}

/// Every bucket of one kind, in sets of [`WAYS`].
#[derive(Debug)]
struct Buckets {
    rate: Rate,
    hasher: FixedState,
    buckets: Box<[Bucket]>,
}

impl Buckets {
    fn new(per_second: u32, workers: usize, count: usize, seed: u64) -> Self {
        Self {
            rate: Rate::new(per_second, workers),
            hasher: FixedState::with_seed(seed),
            buckets: vec![Bucket::default(); count].into(),
        }
    }

    /// The bucket of a key: a full one, if it is not remembered.
    fn bucket(&mut self, key: u64) -> &mut Bucket {
        let sets = (self.buckets.len() / WAYS).max(1) as u64;
        let set = usize::try_from(self.hasher.hash_one(key) % sets).unwrap_or_default();
        let mut buckets = self.buckets.iter_mut().skip(set * WAYS).take(WAYS);
        let mut place = buckets.next().expect("a set must have buckets");
        for bucket in buckets {
            if place.key != key && (bucket.key == key || bucket.full_at < place.full_at) {
                place = bucket;
            }
        }
        if place.key != key {
            *place = Bucket { key, ..Bucket::default() };
        }
        place
    }
}

/// How fast a bucket fills, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// For one token.
    token: u64,
    /// From empty to full: as many tokens as all workers give in a second.
    all: u64,
}

impl Rate {
    fn new(per_second: u32, workers: usize) -> Self {
        let workers = u64::try_from(workers).unwrap_or(1).max(1);
        let token = SECOND.saturating_mul(workers) / u64::from(per_second.max(1));
        Self { token, all: token.saturating_mul(per_second.max(1).into()) }
    }
}

/// What is remembered of a client or a network.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    key: u64,
    /// In nanoseconds since the start.
    full_at: u64,
    /// Whether the last answer beyond the limit was dropped.
    has_dropped: bool,
}

impl Bucket {
    fn has_room(&self, rate: Rate, now: u64) -> bool {
        self.full_at.saturating_sub(now).saturating_add(rate.token) <= rate.all
    }

    fn take(&mut self, rate: Rate, now: u64) {
        self.full_at = self.full_at.max(now).saturating_add(rate.token);
    }

    fn refuse(&mut self) -> Verdict {
        self.has_dropped = !self.has_dropped;
        if self.has_dropped { Verdict::Drop } else { Verdict::Truncate }
    }
}

/// The first bits of an address. IPv4 is told apart by a first byte that no client with IPv6 has
/// (multicast).
fn key(client: IpAddr, v4: u32, v6: u32) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => 0xff << 56 | u64::from(ip.to_bits() >> (32 - v4) << (32 - v4)),
        IpAddr::V6(ip) => {
            let network = (ip.to_bits() >> 64) as u64;
            network >> (64 - v6) << (64 - v6)
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const SECOND: u64 = 1_000_000_000;
/// Places that a key may have.
const WAYS: usize = 4;
/// 24 bytes each.
const CLIENTS: usize = 8192;
const PREFIXES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Rng;

    fn limits(client: u32, prefix: u32, workers: usize) -> RateLimits {
        RateLimits { client, prefix, everybody: true, workers }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// How many of `count` answers at one time are sent, truncated, dropped.
    fn burst(limit: &mut RateLimit, client: &str, count: usize, now: Instant) -> [usize; 3] {
        let mut verdicts = [0; 3];
        for _ in 0..count {
            verdicts[limit.check(ip(client), now) as usize] += 1;
        }
        verdicts
    }

    #[test]
    fn a_client_gets_its_rate_and_half_of_the_rest_is_told_to_come_by_tcp() {
        let now = Instant::now();
        let mut limit = RateLimit::new(&limits(10, 1000, 1), 1, now);
        assert_eq!(burst(&mut limit, "192.0.2.1", 110, now), [10, 50, 50]);
        assert_eq!(burst(&mut limit, "192.0.2.2", 10, now), [10, 0, 0], "it is another client");
        let later = now + Duration::from_millis(500);
        assert_eq!(burst(&mut limit, "192.0.2.1", 7, later), [5, 1, 1]);
        let much_later = now + Duration::from_secs(100);
        assert_eq!(burst(&mut limit, "192.0.2.1", 12, much_later), [10, 1, 1]);
    }

    #[test]
    fn a_network_has_a_limit_of_its_own() {
        for (network, other) in [("192.0.2.", "192.0.3.1"), ("2001:db8:0:0", "2001:db8:0:100::1")] {
            let now = Instant::now();
            let mut limit = RateLimit::new(&limits(10, 25, 1), 1, now);
            let sent: usize = (1..=9)
                .map(|last| match network.ends_with('.') {
                    true => format!("{network}{last}"),
                    false => format!("{network}{last}::1"),
                })
                .map(|client| burst(&mut limit, &client, 10, now)[0])
                .sum();
            assert_eq!(sent, 25);
            assert_eq!(burst(&mut limit, other, 10, now)[0], 10);
        }
    }

    #[test]
    fn a_host_with_ipv6_is_one_client_by_all_of_its_addresses() {
        let now = Instant::now();
        let mut limit = RateLimit::new(&limits(10, 1000, 1), 1, now);
        let sent: usize =
            (1..=9).map(|last| burst(&mut limit, &format!("2001:db8::{last}"), 10, now)[0]).sum();
        assert_eq!(sent, 10);
        assert_eq!(burst(&mut limit, "2001:db8:0:1::1", 10, now)[0], 10);
        assert_eq!(burst(&mut limit, "::ffff:192.0.2.1", 10, now)[0], 10);
        assert_eq!(burst(&mut limit, "192.0.2.1", 10, now)[0], 0, "it is the same client");
    }

    #[test]
    fn workers_share_what_a_client_gets() {
        let now = Instant::now();
        let mut limit = RateLimit::new(&limits(10, 1000, 4), 1, now);
        burst(&mut limit, "192.0.2.1", 100, now);
        let later = now + Duration::from_secs(2);
        assert_eq!(burst(&mut limit, "192.0.2.1", 100, later)[0], 5, "a quarter of the rate");
    }

    /// A flood from made-up addresses leaves a victim as limited as before, whatever the seed.
    #[test]
    fn made_up_addresses_do_not_free_a_victim() {
        for seed in 0..16 {
            let mut now = Instant::now();
            let mut random = Rng::new(seed);
            let mut limit = RateLimit::new(&limits(10, 1_000_000, 1), seed, now);
            let mut sent = 0;
            // 10 s: 2,000 queries of others, then 10 of the victim, every 50 ms
            for _ in 0..200 {
                for _ in 0..2_000 {
                    let forged = u32::try_from(random.next_u64() >> 32).expect("32 bits");
                    limit.check(std::net::Ipv4Addr::from_bits(forged).into(), now);
                }
                sent += burst(&mut limit, "192.0.2.1", 10, now)[0];
                now += Duration::from_millis(50);
            }
            assert!((105..=115).contains(&sent), "seed {seed}: {sent}");
        }
    }
}
