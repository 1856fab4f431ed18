use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::balance::InFlight;
use crate::balance::tests::endpoints;
use crate::manifest::{ObjectKey, Origin};
use crate::snapshot::{AppProtocol, Balancing, HashKey, Transport};

fn backend(algorithm: Algorithm, endpoints: Vec<Arc<Endpoint>>) -> Arc<Backend> {
    let slow_start = Duration::from_secs(10);
    Arc::new(Backend {
        id: BackendId {
            service: ObjectKey::new("default", "web"),
            port: "http".into(),
            transport: Transport::Tcp,
        },
        port: 80,
        app_protocol: AppProtocol::Http,
        proxy_protocol: None,
        balancing: Arc::new(Balancing { algorithm, slow_start, ..Balancing::default() }),
        compress: Default::default(),
        endpoints: endpoints.clone(),
        usable: endpoints,
        local: Vec::new(),
        topology: Default::default(),
        origin: Origin::default(),
        field: "".into(),
    })
}

/// Some of nine endpoints, in order.
fn some(rng: &mut Rng) -> Vec<Arc<Endpoint>> {
    endpoints(9).into_iter().filter(|_| rng.below(3) > 0).collect()
}

fn some_tried(all: &[Arc<Endpoint>], rng: &mut Rng) -> Vec<EndpointId> {
    all.iter().map(|it| it.id).filter(|_| rng.below(4) == 0).collect()
}

/// A worker: what it remembers, and the time.
struct World {
    balancer: Balancer,
    loads: Loads,
    rng: Rng,
    now: Instant,
    failing: Vec<EndpointId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (balancer, loads) = Default::default();
        let failing = Vec::new();
        Self { balancer, loads, rng: Rng::new(seed), now: Instant::now(), failing }
    }

    fn choose(&mut self, backend: &Arc<Backend>, tried: &[EndpointId]) -> Option<EndpointId> {
        self.choose_for(backend, tried, None)
    }

    fn choose_for(
        &mut self,
        backend: &Arc<Backend>,
        tried: &[EndpointId],
        hash: Option<u64>,
    ) -> Option<EndpointId> {
        let choice = Choice { backend, tried, failing: &self.failing, hash, now: self.now };
        self.balancer.choose(choice, &self.loads, &mut self.rng).map(|it| it.id)
    }

    /// How many of so many requests each endpoint gets, one at a time.
    fn counts(&mut self, backend: &Arc<Backend>, requests: usize) -> BTreeMap<EndpointId, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..requests {
            let id = self.choose(backend, &[]).expect("an endpoint");
            *counts.entry(id).or_default() += 1;
        }
        counts
    }
}

const ALL: [fn() -> Algorithm; 5] = [
    || Algorithm::PeakEwma,
    || Algorithm::RoundRobin,
    || Algorithm::LeastRequest,
    || Algorithm::Random,
    || Algorithm::Maglev(HashKey::Source),
];

#[test]
fn random_choices_are_among_what_was_not_tried_whatever_the_algorithm() {
    for seed in 0..256 {
        for algorithm in ALL {
            let (mut random, mut world) = (Rng::new(seed), World::new(!seed));
            // a table of Maglev takes its time
            let rounds = if matches!(algorithm(), Algorithm::Maglev(_)) { 1 } else { 40 };
            for _ in 0..rounds {
                let all = some(&mut random);
                let tried = some_tried(&all, &mut random);
                let backend = backend(algorithm(), all.clone());
                let hash = (random.below(4) > 0).then(|| random.next_u64());
                let chosen = world.choose_for(&backend, &tried, hash);
                let is_open = |id: &EndpointId| !tried.contains(id);
                let mut open = all.iter().map(|it| it.id).filter(is_open);
                match chosen {
                    Some(id) => assert!(open.any(|it| it == id), "seed {seed}"),
                    None => assert_eq!(open.next(), None, "seed {seed}"),
                }
                world.now += Duration::from_millis(random.below(5_000) as u64);
            }
        }
    }
}

/// A cursor that goes round and skips what was tried.
#[test]
fn random_rounds_agree_with_a_naive_cursor() {
    for seed in 0..256 {
        let (mut random, mut world) = (Rng::new(seed), World::new(seed));
        let all = some(&mut random);
        let backend = backend(Algorithm::RoundRobin, all.clone());
        let mut next = 0;
        for _ in 0..100 {
            let tried = some_tried(&all, &mut random);
            let turned = (0..all.len()).map(|step| (next + step) % all.len());
            let expected = turned.into_iter().find(|place| !tried.contains(&all[*place].id));
            next = expected.map_or(next, |place| place + 1);
            let chosen = world.choose(&backend, &tried);
            assert_eq!(chosen, expected.map(|place| all[place].id), "seed {seed}");
        }
    }
}

/// What is in flight and how long it took, kept in lists; two are drawn in the same order.
#[test]
fn random_requests_agree_with_naive_costs() {
    for seed in 0..256 {
        for by_latency in [false, true] {
            let (mut random, mut world) = (Rng::new(seed), World::new(!seed));
            let algorithm = if by_latency { Algorithm::PeakEwma } else { Algorithm::LeastRequest };
            let all = endpoints(2 + u8::try_from(random.below(6)).expect("small"));
            let backend = backend(algorithm, all.clone());
            let mut held: Vec<InFlight> = Vec::new();
            let mut heard: BTreeMap<EndpointId, (f64, Instant)> = BTreeMap::new();
            for _ in 0..100 {
                world.now += Duration::from_millis(random.below(500) as u64);
                let tried = some_tried(&all, &mut random);
                let now = world.now;
                let latency = |id: &EndpointId| {
                    let Some((nanos, at)) = heard.get(id) else { return 1e6 };
                    (nanos * (-(now - *at).as_secs_f64() / 10.0).exp()).max(1e6)
                };
                let cost = |id: EndpointId| {
                    let requests = f64::from(world.loads.of(id)) + 1.0;
                    if by_latency { latency(&id) * requests } else { requests }
                };
                let mut rng = world.rng.clone();
                let mut draw = || {
                    let start = rng.below(all.len());
                    let turned = (0..all.len()).map(|step| all[(start + step) % all.len()].id);
                    turned.into_iter().find(|id| !tried.contains(id))
                };
                let expected = draw().map(|a| {
                    let b = (0..4).find_map(|_| draw().filter(|b| *b != a)).unwrap_or(a);
                    if cost(b) < cost(a) { b } else { a }
                });
                let chosen = world.choose(&backend, &tried);
                assert_eq!(chosen, expected, "seed {seed}");
                let Some(id) = chosen else { continue };
                let took = 2 + random.below(300) as u64;
                let nanos = took as f64 * 1e6;
                let before = heard.get(&id).copied().unwrap_or((0.0, now));
                let kept = (-(now - before.1).as_secs_f64() / 10.0).exp();
                let peak = nanos >= before.0;
                let after = if peak { nanos } else { before.0 * kept + nanos * (1.0 - kept) };
                heard.insert(id, (after, now));
                let in_flight = world.loads.begin(id);
                in_flight.observe(Duration::from_millis(took), now);
                held.push(in_flight);
                if random.below(2) == 0 {
                    held.swap_remove(random.below(held.len()));
                }
            }
        }
    }
}

#[test]
fn an_endpoint_that_answers_slowly_gets_little_and_is_asked_again_later() {
    let mut world = World::new(1);
    let all = endpoints(5);
    let backend = backend(Algorithm::PeakEwma, all.clone());
    world.loads.begin(all[0].id).observe(Duration::from_secs(1), world.now);
    let count = world.counts(&backend, 1_000).get(&all[0].id).copied().unwrap_or_default();
    assert!(count <= 5, "every other one is faster: {count}");
    world.now += Duration::from_secs(100);
    let count = world.counts(&backend, 1_000)[&all[0].id];
    assert!((140..=260).contains(&count), "{count}");
    world.loads.purge(world.now);
    assert_eq!(world.loads.of(all[0].id), 0);
}

#[test]
fn random_choices_and_rounds_are_even() {
    let mut world = World::new(3);
    let all = endpoints(5);
    let random = world.counts(&backend(Algorithm::Random, all.clone()), 5_000);
    assert!(random.values().all(|count| (850..1_150).contains(count)), "{random:?}");
    let rounds = World::new(3).counts(&backend(Algorithm::RoundRobin, all), 5_000);
    assert!(rounds.values().all(|count| *count == 1_000), "{rounds:?}");
}

#[test]
fn an_endpoint_that_has_just_come_gets_a_growing_share_of_all_but_hashes() {
    let least = Algorithm::LeastRequest;
    for algorithm in [Algorithm::PeakEwma, least, Algorithm::RoundRobin, Algorithm::Random] {
        let mut world = World::new(5);
        let all = endpoints(4);
        let old = backend(algorithm.clone(), all[..3].to_vec());
        let even = world.counts(&old, 300);
        assert!(even.values().all(|count| *count > 60), "all are new: {even:?}");
        let new = backend(algorithm, all.clone());
        let mut share = |seconds| {
            world.now += Duration::from_secs(seconds);
            world.counts(&new, 1_000).get(&all[3].id).copied().unwrap_or_default()
        };
        let shares = [share(0), share(6), share(6)];
        assert!((5..60).contains(&shares[0]), "{shares:?}");
        assert!((100..220).contains(&shares[1]), "{shares:?}");
        assert!((200..=300).contains(&shares[2]), "{shares:?}");
    }
}

#[test]
fn the_share_of_a_newcomer_under_load_rises_from_a_tenth() {
    let mut world = World::new(6);
    let all = endpoints(2);
    let old = backend(Algorithm::LeastRequest, all[..1].to_vec());
    world.choose(&old, &[]);
    let new = backend(Algorithm::LeastRequest, all.clone());
    let mut held = Vec::new();
    for _ in 0..100 {
        let id = world.choose(&new, &[]).expect("one");
        held.push(world.loads.begin(id));
    }
    let newcomer = world.loads.of(all[1].id);
    assert!((2..=25).contains(&newcomer), "{newcomer}");
}

#[test]
fn equal_keys_go_to_the_same_endpoint_as_long_as_it_is_there() {
    for seed in 0..16 {
        let mut world = World::new(seed);
        let all = endpoints(7);
        let maglev =
            |all: &[Arc<Endpoint>]| backend(Algorithm::Maglev(HashKey::Source), all.to_vec());
        let (before, after) = (maglev(&all), maglev(&all[1..]));
        let mut kept = Vec::new();
        for hash in (0..200).map(|key| Some(crate::balance::hash_of(&[key]))) {
            let first = world.choose_for(&before, &[], hash).expect("one");
            assert_eq!(Some(first), world.choose_for(&before, &[], hash));
            let other = world.choose_for(&before, &[first], hash).expect("another");
            assert_eq!(Some(other), world.choose_for(&before, &[first], hash));
            assert_ne!(first, other);
            kept.extend((first != all[0].id).then_some((hash, first)));
        }
        let moved = kept
            .iter()
            .filter(|(hash, first)| world.choose_for(&after, &[], *hash) != Some(*first));
        let moved = moved.count();
        assert!(moved <= 10, "seed {seed}: {moved}");
    }
}

#[test]
fn backends_that_are_gone_are_forgotten() {
    let mut world = World::new(1);
    world.choose(&backend(Algorithm::PeakEwma, endpoints(2)), &[]);
    assert_eq!(world.balancer.known.borrow().len(), 1);
    world.balancer.purge(&Snapshot::default());
    assert!(world.balancer.known.borrow().is_empty());
}

#[test]
fn an_ejected_endpoint_gets_nothing_until_it_comes_back_and_then_a_growing_share() {
    for algorithm in ALL {
        let mut world = World::new(9);
        let all = endpoints(4);
        let backend = backend(algorithm(), all.clone());
        world.choose(&backend, &[]);
        let ejected = world.balancer.eject(all[0].id, &backend, world.now, &mut world.rng);
        let time = ejected.expect("it must go");
        assert_eq!(world.counts(&backend, 500).get(&all[0].id), None);
        let others: Vec<_> = all[1..].iter().map(|it| it.id).collect();
        assert_eq!(world.choose(&backend, &others), Some(all[0].id), "better than nobody");
        world.now += time;
        let first = world.counts(&backend, 1_000).get(&all[0].id).copied().unwrap_or(0);
        world.now += Duration::from_secs(11);
        let later = world.counts(&backend, 1_000).get(&all[0].id).copied().unwrap_or(0);
        assert!((5..60).contains(&first) && (180..=320).contains(&later), "{first} {later}");
    }
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_nothing_while_there_is_another() {
    for algorithm in ALL {
        let mut world = World::new(2);
        let all = endpoints(3);
        let backend = backend(algorithm(), all.clone());
        world.failing = vec![all[1].id];
        assert_eq!(world.counts(&backend, 200).get(&all[1].id), None);
        assert_eq!(world.choose(&backend, &[all[0].id, all[2].id]), Some(all[1].id));
    }
}
