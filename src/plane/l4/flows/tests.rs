//! The flow table alone, and against a naive model.

use std::collections::BTreeMap;

use super::*;
use crate::balance::Rng;

fn key(number: usize) -> FlowKey {
    of_client(1, number)
}

fn of_client(client: usize, number: usize) -> FlowKey {
    let port = u16::try_from(1000 + number).expect("a port");
    let client = ([127, 0, 0, u8::try_from(client).expect("a byte")], port);
    FlowKey::new(client.into(), ([127, 96, 0, 1], 53).into())
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn a_flow_ends_after_30_seconds_of_silence_and_a_stream_after_120() {
    // when the client sends, when it is answered, and the last second of its flow
    for (sent, answered, last) in [
        (&[0][..], &[][..], 29),
        (&[0, 20], &[], 49),
        (&[0], &[1], 30),
        (&[0, 1], &[1, 2], 31),
        (&[0], &[3], 122),
        (&[0, 3], &[1], 122),
        (&[0, 3, 100], &[1], 219),
        (&[0, 31], &[32], 61),
    ] {
        for (silence, is_there) in [(last, true), (last + 1, false)] {
            let start = Instant::now();
            let mut table = FlowTable::new(10, start);
            for second in 0..=silence {
                let now = after(start, second);
                if sent.contains(&second) && table.send(key(1), now, |()| true).is_none() {
                    table.begin(key(1), (), now);
                }
                if answered.contains(&second) {
                    table.answer(key(1), now);
                }
                if second % 7 == 0 {
                    table.expire(now);
                }
            }
            let found = table.send(key(1), after(start, silence), |()| true).is_some();
            assert_eq!(found, is_there, "{sent:?} {answered:?} {silence}");
        }
    }
}

#[test]
fn flows_to_other_addresses_are_other_flows() {
    let now = Instant::now();
    let mut table = FlowTable::new(10, now);
    let client = key(1).client();
    let other = FlowKey::new(client, ([127, 96, 0, 2], 53).into());
    table.begin(key(1), "one", now);
    table.begin(other, "two", now);
    assert_eq!(table.send(key(1), now, |_| true), Some(&"one"));
    assert_eq!(table.send(other, now, |_| true), Some(&"two"));
}

#[test]
fn what_is_usable_no_more_is_given_up_at_the_next_datagram() {
    let now = Instant::now();
    let mut table = FlowTable::new(10, now);
    table.begin(key(1), 1, now);
    assert!(table.send(key(1), now, |held| *held != 1).is_none());
    assert_eq!((table.flows.len(), table.clients.len()), (0, 0));
}

#[test]
fn a_full_table_gives_up_an_idle_flow_and_keeps_active_ones() {
    let start = Instant::now();
    let mut table = FlowTable::new(3, start);
    for number in 0..3 {
        table.begin(key(number), number, start);
    }
    let later = after(start, 10);
    table.send(key(0), later, |_| true);
    table.send(key(2), later, |_| true);
    table.begin(key(9), 9, later);
    assert_eq!(table.flows.len(), 3);
    assert!(table.send(key(1), later, |_| true).is_none());
    assert!(table.send(key(0), later, |_| true).is_some());
}

#[test]
fn a_table_that_is_nearly_full_begins_no_more_flows_for_who_has_many() {
    let start = Instant::now();
    let mut table = FlowTable::new(64, start);
    for number in 0..48 {
        assert_eq!(table.admit(key(0).client().ip(), start), Ok(()), "{number}");
        table.begin(key(number), (), start);
    }
    assert_eq!(table.admit(of_client(1, 99).client().ip(), start), Err(Full));
    for number in 0..4 {
        let key = of_client(2, number);
        assert_eq!(table.admit(key.client().ip(), start), Ok(()), "{number}");
        table.begin(key, (), start);
    }
    assert_eq!(table.admit(of_client(2, 99).client().ip(), start), Err(Full));
    // what is over makes room
    assert_eq!(table.admit(key(0).client().ip(), after(start, 30)), Ok(()));
}

#[test]
fn flows_that_are_not_kept_end_and_the_others_stay() {
    let now = Instant::now();
    let mut table = FlowTable::new(10, now);
    (0..6).for_each(|number| table.begin(key(number), number, now));
    table.retain(|held| held % 2 == 0);
    for number in 0..6 {
        assert_eq!(table.send(key(number), now, |_| true).is_some(), number % 2 == 0);
    }
    assert_eq!(table.clients.values().sum::<u32>(), 3);
}

/// What the table must do, without any cleverness.
#[derive(Default)]
struct Shadow {
    flows: BTreeMap<(usize, usize), ShadowFlow>,
}

#[derive(Clone, Copy)]
struct ShadowFlow {
    held: usize,
    began: Instant,
    last: Instant,
    is_answered: bool,
}

impl ShadowFlow {
    fn lives(&self, now: Instant) -> bool {
        let is_stream = self.is_answered && self.last > self.began + Duration::from_secs(2);
        now < self.last + Duration::from_secs(if is_stream { 120 } else { 30 })
    }
}

impl Shadow {
    fn is_full_for(&self, client: usize) -> bool {
        let held = self.flows.keys().filter(|it| it.0 == client).count();
        self.flows.len() >= 36 && held >= 3
    }
}

#[test]
fn random_traffic_agrees_with_a_naive_model() {
    let mut refused = 0;
    for seed in 0..256 {
        refused += simulate(seed);
    }
    assert!(refused > 256, "shares are tried: {refused}");
}

fn simulate(seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let mut now = Instant::now();
    // room for all there can be: eviction is an approximation, the rest is not
    let mut table = FlowTable::new(48, now);
    let mut shadow = Shadow::default();
    let mut usable = [true; 4];
    let mut refused = 0;
    let pace = 1 + rng.below(4000) as u64;
    for _ in 0..500 {
        now += Duration::from_millis(rng.below(1 + usize::try_from(pace).expect("small")) as u64);
        shadow.flows.retain(|_, flow| flow.lives(now));
        let who = (rng.below(4), rng.below(12));
        let key = of_client(who.0, who.1);
        match rng.below(20) {
            0 => {
                let changed = rng.below(usable.len());
                usable[changed] = !usable[changed];
            }
            1 => drop(table.expire(now)),
            2..=5 => {
                table.answer(key, now);
                if let Some(flow) = shadow.flows.get_mut(&who) {
                    (flow.last, flow.is_answered) = (now, true);
                }
            }
            _ => {
                let known = shadow.flows.get(&who).copied().filter(|it| usable[it.held]);
                let held = table.send(key, now, |it| usable[*it]).copied();
                assert_eq!(held, known.map(|it| it.held), "seed {seed}");
                if let Some(known) = known {
                    shadow.flows.insert(who, ShadowFlow { last: now, ..known });
                    continue;
                }
                shadow.flows.remove(&who);
                let is_full = shadow.is_full_for(who.0);
                assert_eq!(table.admit(key.client().ip(), now).is_err(), is_full, "seed {seed}");
                if is_full {
                    refused += 1;
                    continue;
                }
                let held = rng.below(4);
                table.begin(key, held, now);
                let fresh = ShadowFlow { held, began: now, last: now, is_answered: false };
                shadow.flows.insert(who, fresh);
            }
        }
    }
    let end = after(now, 120);
    while table.expire(end).is_some() {}
    assert_eq!(table.flows.len(), 0, "seed {seed}: every flow ends");
    assert!(table.queue.is_empty() && table.clients.is_empty(), "seed {seed}: and leaves nothing");
    refused
}
