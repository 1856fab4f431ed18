use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn reply(ttl: u32, rcode: u8, length: usize) -> Rc<Reply> {
    Rc::new(Reply {
        bytes: vec![0; length].into(),
        name: 0,
        owners: Box::default(),
        ttls: Box::default(),
        addresses: Box::default(),
        address: 0,
        rcode,
        is_positive: rcode == 0,
        ttl,
        shortest: 0,
        longest: u32::MAX,
    })
}

fn of_size(size: usize) -> Cache {
    Cache::new(&CachePolicy { size, ..CachePolicy::default() })
}

fn key(number: u8) -> Box<[u8]> {
    vec![number; 4].into()
}

/// What a map without limits says: when a reply was stored.
#[derive(Default)]
struct Model(BTreeMap<u8, (Rc<Reply>, u64)>);

#[derive(Debug, PartialEq)]
enum Said {
    Fresh(Rc<Reply>, u32),
    Stale(Rc<Reply>),
    Missing,
}

impl Model {
    fn get(&self, number: u8, now: u64) -> Said {
        let Some((reply, stored)) = self.0.get(&number) else { return Said::Missing };
        let age = now - stored;
        if age < u64::from(reply.ttl) {
            return Said::Fresh(reply.clone(), u32::try_from(age).expect("a short time"));
        }
        if reply.rcode == 0 && age < u64::from(reply.ttl) + 3600 {
            return Said::Stale(reply.clone());
        }
        Said::Missing
    }

    fn insert(&mut self, number: u8, reply: Rc<Reply>, now: u64) {
        let is_kept = reply.rcode != 0 && self.get(number, now) != Said::Missing;
        if reply.ttl > 0 && !is_kept {
            self.0.insert(number, (reply, now));
        }
    }
}

fn said(found: Found) -> Said {
    match found {
        Found::Fresh { answer: Answer { reply, age: Age::Seconds(age) }, .. } => {
            Said::Fresh(reply, age)
        }
        Found::Stale(answer) => Said::Stale(answer.reply),
        Found::Fresh { .. } => panic!("fresh and stale"),
        Found::Missing => Said::Missing,
    }
}

/// The key, the seconds that have passed, and what is stored: its time, whether it is a failure, and
/// its length.
type Step = (u8, u64, Option<(u32, bool, usize)>);

fn step() -> impl Strategy<Value = Step> {
    let time = prop_oneof![0u64..3, 0u64..100, 0u64..5000];
    let ttl = prop_oneof![0u32..3, 0u32..100, Just(3600)];
    let reply = prop::option::of((ttl, prop::bool::weighted(0.2), 0usize..600));
    (0u8..12, time, reply)
}

/// Takes the same steps in both; `is_exact`: the cache must not have forgotten anything.
fn run(steps: Vec<Step>, limit: usize, is_exact: bool) -> Result<(), TestCaseError> {
    let start = Instant::now();
    let (mut cache, mut model, mut seconds) = (of_size(limit), Model::default(), 0);
    for (number, passed, stored) in steps {
        seconds += passed;
        let now = start + Duration::from_secs(seconds);
        if let Some((ttl, is_failure, length)) = stored {
            let reply = reply(ttl, if is_failure { 2 } else { 0 }, length);
            // what is forgotten stands in no failure's way
            if !is_exact && is_failure {
                continue;
            }
            cache.insert(key(number), reply.clone(), now);
            model.insert(number, reply, seconds);
        }
        let found = said(cache.get(&key(number), now));
        if is_exact || found != Said::Missing {
            prop_assert_eq!(found, model.get(number, seconds));
        }
        let of_generation = |generation: &Generation| {
            let sizes = generation.entries.iter().map(|(key, entry)| size(key, entry));
            sizes.sum::<usize>()
        };
        prop_assert_eq!(of_generation(&cache.young), cache.young.bytes);
        prop_assert_eq!(of_generation(&cache.old), cache.old.bytes);
        let usage = cache.usage();
        prop_assert!(usage.bytes <= limit as u64);
        let entries = cache.young.entries.values().chain(cache.old.entries.values());
        let (success, denial): (Vec<_>, Vec<_>) = entries.partition(|it| it.reply.is_positive);
        let counted = ByKind { success: success.len() as u64, denial: denial.len() as u64 };
        prop_assert_eq!(usage.entries, counted);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_cache_with_room_says_what_a_map_says(steps in prop::collection::vec(step(), 1..200)) {
        run(steps, 1 << 20, true)?;
    }

    #[test]
    fn a_cache_without_room_forgets_and_never_says_anything_else(
        steps in prop::collection::vec(step(), 1..200),
        limit in 0usize..4000,
    ) {
        run(steps, limit, false)?;
    }
}

#[test]
fn what_is_asked_for_survives_a_flood_of_names_that_are_asked_for_once() {
    let now = Instant::now();
    let mut cache = of_size(64 * 1024);
    cache.insert(key(0), reply(3600, 0, 100), now);
    for flood in 0..10_000u32 {
        cache.insert(flood.to_be_bytes().repeat(2).into(), reply(3600, 3, 100), now);
        if flood % 50 == 0 {
            assert!(!matches!(cache.get(&key(0), now), Found::Missing), "after {flood}");
        }
    }
}

#[test]
fn what_is_forgotten_for_lack_of_room_is_counted() {
    let now = Instant::now();
    let mut cache = of_size(16 * 1024);
    let mut evicted = ByKind::default();
    for number in 0..1_000u32 {
        let rcode = if number % 2 == 0 { 0 } else { 3 };
        cache.insert(number.to_be_bytes().into(), reply(3600, rcode, 100), now);
        evicted.add(cache.usage().evicted);
    }
    let entries = cache.usage().entries;
    assert!(entries.success > 0 && evicted.success > 0);
    assert_eq!(entries.success + evicted.success, 500);
    assert_eq!(entries.denial + evicted.denial, 500);
}

#[test]
fn a_policy_may_switch_off_what_the_cache_does() {
    let start = Instant::now();
    let later = |seconds| start + Duration::from_secs(seconds);
    let mut cache = Cache::new(&CachePolicy {
        prefetch: None,
        serve_stale: Duration::ZERO,
        ..CachePolicy::default()
    });
    cache.insert(key(1), reply(100, 0, 50), start);
    for second in [1, 2, 3, 99] {
        let found = cache.get(&key(1), later(second));
        assert!(matches!(found, Found::Fresh { is_due: false, .. }), "{found:?}");
    }
    assert!(matches!(cache.get(&key(1), later(100)), Found::Missing));
    // a smaller one has no room for what was there
    cache.insert(key(1), reply(100, 0, 50), start);
    cache.adopt(&CachePolicy { size: 0, ..CachePolicy::default() });
    assert!(matches!(cache.get(&key(1), start), Found::Missing));
    cache.insert(key(1), reply(100, 0, 50), start);
    assert!(matches!(cache.get(&key(1), start), Found::Missing));
}

#[test]
fn popular_answers_are_due_before_they_end() {
    let start = Instant::now();
    let mut cache = of_size(1 << 20);
    cache.insert(key(1), reply(100, 0, 50), start);
    cache.insert(key(2), reply(100, 0, 50), start);
    let mut is_due = |number, second| {
        let found = cache.get(&key(number), start + Duration::from_secs(second));
        matches!(found, Found::Fresh { is_due: true, .. })
    };
    assert!(!is_due(1, 1) && !is_due(1, 2) && !is_due(1, 89));
    assert!(is_due(1, 90) && is_due(1, 99));
    assert!(!is_due(2, 95), "asked for once");
}
