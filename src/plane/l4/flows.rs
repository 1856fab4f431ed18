//! The flow table: which endpoint the datagrams of a client go to. Sans-IO: time is an argument,
//! and what a flow holds is the caller's.
//!
//! Datagrams have no end, so a flow ends by silence. Ends are found by a queue in which every flow
//! stands once: its place tells when to look at it next, not when it ends, so that a datagram costs
//! a time stamp and nothing else. A wheel and an ordered map were rejected: both cost a move for
//! every datagram.
//! Deliberately absent: sockets, clocks, the choice of an endpoint.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::snapshot::EndpointId;

/// Flows by client.
#[derive(Debug)]
pub(super) struct FlowTable<T> {
    flows: HashMap<SocketAddr, Flow<T>, RandomState>,
    /// When to look at a flow again. Invariant: every flow stands here exactly once; an entry of a
    /// flow that is gone, or of an older one of the same client, is stale and skipped.
    queue: VecDeque<Entry>,
    capacity: usize,
    idle: Duration,
    /// Numbers flows, so that a stale entry is told from a fresh one.
    count: u64,
}

#[derive(Debug)]
struct Flow<T> {
    endpoint: EndpointId,
    last: Instant,
    number: u64,
    held: T,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Instant,
    client: SocketAddr,
    number: u64,
}

impl<T> FlowTable<T> {
    /// At most `capacity` flows, each ending after `idle` without a datagram either way.
    pub(super) fn new(capacity: usize, idle: Duration) -> Self {
        Self {
            flows: HashMap::default(),
            queue: VecDeque::new(),
            capacity: capacity.max(1),
            idle,
            count: 0,
        }
    }

    /// The flow of a client that sends a datagram now. A flow whose endpoint is usable no more is
    /// given up, so that the datagram begins another.
    pub(super) fn send(
        &mut self,
        client: SocketAddr,
        now: Instant,
        is_usable: impl Fn(EndpointId) -> bool,
    ) -> Option<&T> {
        let flow = self.flows.get(&client)?;
        if is_over(flow, now, self.idle) || !is_usable(flow.endpoint) {
            self.flows.remove(&client);
            return None;
        }
        let flow = self.flows.get_mut(&client)?;
        flow.last = now;
        Some(&flow.held)
    }

    /// An answer came for a client: its flow lives on. One that is over is not revived.
    pub(super) fn answer(&mut self, client: SocketAddr, now: Instant) {
        let flow = self.flows.get_mut(&client).filter(|flow| !is_over(flow, now, self.idle));
        if let Some(flow) = flow {
            flow.last = now;
        }
    }

    /// Begins a flow, in place of the one that the client had. A full table gives up the flow that
    /// seems idlest.
    pub(super) fn begin(
        &mut self,
        client: SocketAddr,
        endpoint: EndpointId,
        held: T,
        now: Instant,
    ) {
        self.flows.remove(&client);
        while self.flows.len() >= self.capacity {
            self.evict();
        }
        self.count += 1;
        let number = self.count;
        self.flows.insert(client, Flow { endpoint, last: now, number, held });
        self.queue.push_back(Entry { due: now + self.idle, client, number });
    }

    /// Ends what has been silent for too long, and tells when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.queue.front().copied() {
            if entry.due > now {
                return Some(entry.due);
            }
            self.queue.pop_front();
            let Some(flow) = self.current(entry) else { continue };
            if is_over(flow, now, self.idle) {
                self.flows.remove(&entry.client);
            } else {
                let due = flow.last + self.idle;
                self.queue.push_back(Entry { due, ..entry });
            }
        }
        None
    }

    /// How many flows there are.
    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    fn current(&self, entry: Entry) -> Option<&Flow<T>> {
        self.flows.get(&entry.client).filter(|flow| flow.number == entry.number)
    }

    /// Gives up one flow: the next in the queue, but those that were active since they were queued
    /// get another turn, as long as that does not take long.
    fn evict(&mut self) {
        for turn in 0.. {
            let Some(entry) = self.queue.pop_front() else { return };
            let Some(flow) = self.current(entry) else { continue };
            let due = flow.last + self.idle;
            if due > entry.due && turn < SECOND_CHANCES {
                self.queue.push_back(Entry { due, ..entry });
                continue;
            }
            self.flows.remove(&entry.client);
            return;
        }
    }
}

fn is_over<T>(flow: &Flow<T>, now: Instant, idle: Duration) -> bool {
    now.saturating_duration_since(flow.last) >= idle
}

/// Active flows that are passed over before one of them is given up all the same.
const SECOND_CHANCES: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::balance::Rng;

    const IDLE: Duration = Duration::from_secs(60);

    fn client(number: usize) -> SocketAddr {
        ([127, 0, 0, 1], u16::try_from(1000 + number).expect("a port")).into()
    }

    fn endpoint(number: usize) -> EndpointId {
        EndpointId(([127, 97, 0, u8::try_from(number).expect("a byte")], 53).into())
    }

    #[test]
    fn a_client_keeps_its_endpoint_until_it_is_silent() {
        let start = Instant::now();
        let mut table = FlowTable::new(10, IDLE);
        table.begin(client(1), endpoint(1), "first", start);
        assert_eq!(table.send(client(1), start + IDLE / 2, |_| true), Some(&"first"));
        table.answer(client(1), start + IDLE);
        assert_eq!(table.send(client(1), start + IDLE * 3 / 2, |_| true), Some(&"first"));
        assert_eq!(table.send(client(1), start + IDLE * 5 / 2, |_| true), None);
    }

    #[test]
    fn an_endpoint_that_is_gone_loses_its_flows_at_the_next_datagram() {
        let now = Instant::now();
        let mut table = FlowTable::new(10, IDLE);
        table.begin(client(1), endpoint(1), (), now);
        assert!(table.send(client(1), now, |it| it != endpoint(1)).is_none());
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_full_table_gives_up_an_idle_flow_and_keeps_active_ones() {
        let start = Instant::now();
        let mut table = FlowTable::new(3, IDLE);
        for number in 0..3 {
            table.begin(client(number), endpoint(1), number, start);
        }
        let later = start + IDLE / 2;
        table.send(client(0), later, |_| true);
        table.send(client(2), later, |_| true);
        table.begin(client(9), endpoint(1), 9, later);
        assert_eq!(table.len(), 3);
        assert!(table.send(client(1), later, |_| true).is_none());
        assert!(table.send(client(0), later, |_| true).is_some());
    }

    /// What the table must do, without any cleverness: the last activity of each client.
    #[derive(Default)]
    struct Shadow {
        flows: BTreeMap<SocketAddr, (EndpointId, Instant)>,
    }

    #[test]
    fn random_traffic_agrees_with_a_naive_model() {
        for seed in 0..256 {
            simulate(seed);
        }
    }

    fn simulate(seed: u64) {
        let mut rng = Rng::new(seed);
        let mut now = Instant::now();
        // large enough that nothing is evicted: eviction is an approximation, the rest is not
        let mut table = FlowTable::new(64, IDLE);
        let mut shadow = Shadow::default();
        let mut usable = [true; 4];
        for _ in 0..500 {
            now += Duration::from_secs(rng.below(20) as u64);
            let who = client(rng.below(32));
            match rng.below(10) {
                0 => {
                    let changed = rng.below(usable.len());
                    usable[changed] = !usable[changed];
                }
                1 => drop(table.expire(now)),
                2 | 3 => {
                    table.answer(who, now);
                    if let Some(flow) = shadow.flows.get_mut(&who).filter(|it| now < it.1 + IDLE) {
                        flow.1 = now;
                    }
                }
                _ => {
                    let is_usable = |it: EndpointId| (0..4).any(|n| it == endpoint(n) && usable[n]);
                    let known = shadow.flows.get(&who).copied();
                    let known = known.filter(|it| now < it.1 + IDLE && is_usable(it.0));
                    let held = table.send(who, now, is_usable).copied();
                    assert_eq!(held, known.map(|it| it.0), "seed {seed}");
                    let next = endpoint(rng.below(4));
                    let next = known.map_or(next, |it| it.0);
                    if known.is_none() {
                        table.begin(who, next, next, now);
                    }
                    shadow.flows.insert(who, (next, now));
                }
            }
        }
        let end = now + IDLE;
        while table.expire(end).is_some() {}
        assert_eq!(table.len(), 0, "seed {seed}: every flow ends");
        assert!(table.queue.is_empty(), "seed {seed}: the queue ends with the flows");
    }
}
