//! The flow table: which way the datagrams of a client go. Sans-IO: time is an argument, and what a
//! flow holds is the caller's.
//!
//! Datagrams have no end, so a flow ends by silence, after as long as conntrack has it. Ends are found
//! by a queue in which every flow stands once: its place tells when to look at it next, not when it
//! ends, so that a datagram costs a time stamp and nothing else. A wheel and a map in the order of
//! ends were rejected: both cost a move for every datagram.
//!
//! A table that is nearly full begins no more flows for those who have many: whoever sends from ever
//! new ports loses their own, not those of others.
//! Deliberately absent: sockets, clocks, the choice of an endpoint.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

/// What tells flows apart: who sends, and to which address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlowKey {
    client: SocketAddr,
    // not a socket address, which has room for more: there are 100,000 of them
    ip: IpAddr,
    port: u16,
}

impl FlowKey {
    pub(super) fn new(client: SocketAddr, at: SocketAddr) -> Self {
        Self { client, ip: at.ip(), port: at.port() }
    }

    pub(super) fn client(self) -> SocketAddr {
        self.client
    }

    /// The address that the client sent to.
    pub(super) fn ip(self) -> IpAddr {
        self.ip
    }
}

/// No room for a flow of a client who has so many already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Flows by key.
#[derive(Debug)]
pub(super) struct FlowTable<T> {
    flows: HashMap<FlowKey, Flow<T>, RandomState>,
    /// How many each client has.
    clients: HashMap<IpAddr, u32, RandomState>,
    /// When to look at a flow again. Invariant: every flow stands here exactly once; an entry of a
    /// flow that is gone, or of an older one of the same key, is stale and skipped.
    queue: BinaryHeap<Reverse<Entry>>,
    capacity: usize,
    /// Numbers flows, so that a stale entry is told from a fresh one.
    count: u32,
    /// What the times of flows are counted from: a number takes half as much as an instant.
    epoch: Instant,
}

#[derive(Debug)]
struct Flow<T> {
    began: Millis,
    last: Millis,
    number: u32,
    is_answered: bool,
    held: T,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    due: Millis,
    number: u32,
    key: FlowKey,
}

/// Since the epoch of the table.
type Millis = u64;

impl<T> FlowTable<T> {
    /// At most `capacity` flows, from `now` on.
    pub(super) fn new(capacity: usize, now: Instant) -> Self {
        Self {
            flows: HashMap::default(),
            clients: HashMap::default(),
            queue: BinaryHeap::new(),
            capacity: capacity.max(1),
            count: 0,
            epoch: now,
        }
    }

    /// The flow of a client that sends a datagram now. One that is usable no more is given up, so
    /// that the datagram begins another.
    pub(super) fn send(
        &mut self,
        key: FlowKey,
        now: Instant,
        is_usable: impl FnOnce(&T) -> bool,
    ) -> Option<&T> {
        let now = self.millis(now);
        let flow = self.flows.get(&key)?;
        if flow.is_over(now) || !is_usable(&flow.held) {
            self.remove(key);
            return None;
        }
        let flow = self.flows.get_mut(&key)?;
        flow.last = now;
        Some(&flow.held)
    }

    /// An answer came for a flow, which lives on. One that is over is not revived.
    pub(super) fn answer(&mut self, key: FlowKey, now: Instant) {
        let now = self.millis(now);
        if let Some(flow) = self.flows.get_mut(&key).filter(|flow| !flow.is_over(now)) {
            flow.last = now;
            flow.is_answered = true;
        }
    }

    /// Whether a client may begin another flow now.
    pub(super) fn admit(&mut self, client: IpAddr, now: Instant) -> Result<(), Full> {
        if self.is_nearly_full() {
            self.expire(now);
        }
        let held = self.clients.get(&client).map_or(0, |count| *count as usize);
        let share = (self.capacity / SHARE).max(1);
        if self.is_nearly_full() && held >= share { Err(Full) } else { Ok(()) }
    }

    /// Begins a flow, in place of the one of this key. A full table gives up the flow that seems
    /// idlest.
    pub(super) fn begin(&mut self, key: FlowKey, held: T, now: Instant) {
        self.remove(key);
        while self.flows.len() >= self.capacity {
            self.evict();
        }
        let now = self.millis(now);
        self.count = self.count.wrapping_add(1);
        let number = self.count;
        let flow = Flow { began: now, last: now, number, is_answered: false, held };
        self.queue.push(Reverse(Entry { due: flow.due(), number, key }));
        self.flows.insert(key, flow);
        *self.clients.entry(key.client.ip()).or_default() += 1;
    }

    /// Ends what has been silent for too long, and tells when to look again.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        let now = self.millis(now);
        while let Some(Reverse(entry)) = self.queue.peek().copied() {
            if entry.due > now {
                return Some(self.epoch + Duration::from_millis(entry.due));
            }
            self.queue.pop();
            let Some(flow) = self.current(entry) else { continue };
            if flow.is_over(now) {
                self.remove(entry.key);
            } else {
                let due = flow.due();
                self.queue.push(Reverse(Entry { due, ..entry }));
            }
        }
        None
    }

    /// Gives up one flow: the one that would end next, as far as that is known without looking at
    /// many.
    pub(super) fn evict(&mut self) {
        for turn in 0.. {
            let Some(Reverse(entry)) = self.queue.pop() else { return };
            let Some(flow) = self.current(entry) else { continue };
            let due = flow.due();
            if turn < SECOND_CHANCES && due > entry.due {
                self.queue.push(Reverse(Entry { due, ..entry }));
                continue;
            }
            self.remove(entry.key);
            return;
        }
    }

    /// Ends the flows that hold something else.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&T) -> bool) {
        let gone = self.flows.iter().filter(|(_, flow)| !is_kept(&flow.held));
        let gone: Vec<FlowKey> = gone.map(|(key, _)| *key).collect();
        gone.into_iter().for_each(|key| self.remove(key));
    }

    fn remove(&mut self, key: FlowKey) {
        if self.flows.remove(&key).is_none() {
            return;
        }
        let client = key.client.ip();
        if let Some(count) = self.clients.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
    }

    fn current(&self, entry: Entry) -> Option<&Flow<T>> {
        self.flows.get(&entry.key).filter(|flow| flow.number == entry.number)
    }

    fn is_nearly_full(&self) -> bool {
        self.flows.len() >= self.capacity - self.capacity / 4
    }

    fn millis(&self, now: Instant) -> Millis {
        let since = now.saturating_duration_since(self.epoch).as_millis();
        Millis::try_from(since).unwrap_or(Millis::MAX)
    }
}

impl<T> Flow<T> {
    /// As conntrack has it: answered, and still sending after the first exchange.
    fn is_stream(&self) -> bool {
        self.is_answered && self.last - self.began > EXCHANGE
    }

    /// When it ends, if nothing comes.
    fn due(&self) -> Millis {
        self.last + if self.is_stream() { REPLIED } else { UNREPLIED }
    }

    fn is_over(&self, now: Millis) -> bool {
        now >= self.due()
    }
}

/// `nf_conntrack_udp_timeout`: silence that ends a flow of one exchange.
const UNREPLIED: Millis = 30_000;
/// `nf_conntrack_udp_timeout_stream`: silence that ends a stream.
const REPLIED: Millis = 120_000;
/// What is exchanged for longer is a stream.
const EXCHANGE: Millis = 2_000;
/// Flows that are passed over before one of them is given up all the same.
const SECOND_CHANCES: usize = 16;
/// What part of the table one client may have once the table is nearly full: a sixteenth.
const SHARE: usize = 16;

#[cfg(test)]
mod tests;
