//! Which few clients ask for so much that the kernel has to drop it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::shed::network;
use crate::net::SourceFilter;

/// Counts who asks, while a socket is overloaded. [`Shed`](super::shed::Shed) chooses among what is
/// in the inbox, but what finds the socket's buffer full falls before that, whose ever it is: when
/// the process is off the CPU, or the flood is quick. So for the few clients that ask for most of it,
/// a filter is put before the buffer. (Where many ask for equally much, or forge who they are, there is
/// no such client, and Shed's choice is all there is.)
#[derive(Debug)]
pub(super) struct HeavyHitters {
    /// When counting began; `None` while there is nothing to count for.
    since: Option<Instant>,
    asked: HashMap<IpAddr, u32, RandomState>,
    /// All of them, also of those who have no place in `asked`.
    count: u32,
    was_full: bool,
    filter: Option<Filter>,
    /// Queries a second that heavy hitters together may ask for.
    budget: f64,
}

#[derive(Debug)]
struct Filter {
    sources: Vec<IpAddr>,
    /// The share of their queries that pass.
    passing: f64,
    /// Until then it stays, whatever is asked.
    until: Instant,
    /// What may have waited before it was there: until that is taken in, it says nothing of what
    /// passes.
    earlier: usize,
}

/// What is to be done at the socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Attach(SourceFilter),
    Detach,
}

impl Default for HeavyHitters {
    fn default() -> Self {
        Self {
            since: None,
            asked: HashMap::default(),
            count: 0,
            was_full: false,
            filter: None,
            budget: BUDGET,
        }
    }
}

impl HeavyHitters {
    /// Takes note of who asked, and whether that was more than could be taken in at once; gives what
    /// is to be done, and how many queries a filter is likely to have dropped since it was asked last.
    pub(super) fn look(
        &mut self,
        clients: impl Iterator<Item = IpAddr>,
        is_full: bool,
        is_overloaded: bool,
        now: Instant,
    ) -> (Option<Change>, usize) {
        if self.filter.is_none() && !is_overloaded {
            self.since = None;
            return (None, 0);
        }
        if let Some(filter) = self.filter.as_mut().filter(|it| it.earlier > 0) {
            filter.earlier =
                if is_full { filter.earlier.saturating_sub(clients.count()) } else { 0 };
            self.begin(now);
            return (None, 0);
        }
        let since = match self.since {
            Some(since) => since,
            None => self.begin(now),
        };
        let elapsed = now.saturating_duration_since(since);
        self.was_full |= is_full;
        clients.for_each(|client| self.count(network(client)));
        let is_enough = self.filter.is_none() && self.count >= ENOUGH;
        if elapsed < WINDOW && !is_enough {
            return (None, 0);
        }
        let decided = self.decide(elapsed.max(Duration::from_millis(1)).as_secs_f64(), now);
        self.begin(now);
        decided
    }

    /// When [`HeavyHitters::look`] is to be called, although nobody asks.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        self.filter.as_ref().map(|_| self.since.unwrap_or(now) + WINDOW)
    }

    /// The socket has no filter, whatever was said.
    pub(super) fn forget(&mut self) {
        self.filter = None;
    }

    fn begin(&mut self, now: Instant) -> Instant {
        self.asked.clear();
        (self.count, self.was_full) = (0, false);
        *self.since.insert(now)
    }

    /// Who is heavy is among the first that come, so that others need no place.
    fn count(&mut self, client: IpAddr) {
        self.count = self.count.saturating_add(1);
        if let Some(asked) = self.asked.get_mut(&client) {
            *asked = asked.saturating_add(1);
        } else if self.asked.len() < COUNTED {
            self.asked.insert(client, 1);
        }
    }

    fn decide(&mut self, seconds: f64, now: Instant) -> (Option<Change>, usize) {
        let dropped = self.dropped();
        self.adapt(seconds);
        let total = (f64::from(self.count) + dropped) / seconds;
        let least = total.max(self.budget) / SourceFilter::MOST as f64;
        let filter = self.filter.as_ref();
        let mut heavy: Vec<(u64, IpAddr)> = Vec::new();
        for (client, asked) in &self.asked {
            let passing = filter.filter(|it| it.sources.contains(client)).map(|it| it.passing);
            let rate = f64::from(*asked) / passing.unwrap_or(1.0) / seconds;
            // of the few that pass it is a guess: who is heavy remains so for less
            if rate >= least / if passing.is_some() { 4.0 } else { 1.0 } {
                heavy.push((rate as u64, *client));
            }
        }
        heavy.sort_unstable_by(|a, b| b.cmp(a));
        heavy.truncate(SourceFilter::MOST);
        let rate = heavy.iter().map(|(rate, _)| *rate as f64).sum::<f64>();
        let change = if rate > self.budget {
            let mut sources: Vec<IpAddr> = heavy.into_iter().map(|(_, client)| client).collect();
            sources.sort_unstable();
            Some(self.attach(sources, (self.budget / rate).max(LEAST_PASSING), now))
        } else {
            let is_over = self.filter.take_if(|it| it.until <= now).is_some();
            is_over.then_some(Change::Detach)
        };
        (change, dropped as usize)
    }

    fn attach(&mut self, sources: Vec<IpAddr>, passing: f64, now: Instant) -> Change {
        let earlier = if self.filter.is_none() { MOST_WAITING } else { 0 };
        self.filter =
            Some(Filter { sources: sources.clone(), passing, until: now + CALM, earlier });
        Change::Attach(SourceFilter { sources, passing: (passing * f64::from(u32::MAX)) as u32 })
    }

    /// For each that passed so many did not, on average.
    fn dropped(&self) -> f64 {
        let Some(filter) = &self.filter else { return 0.0 };
        let passed = filter.sources.iter().filter_map(|it| self.asked.get(it));
        passed.map(|it| f64::from(*it)).sum::<f64>() * (1.0 / filter.passing - 1.0)
    }

    /// Slowly more, until it is too much.
    fn adapt(&mut self, seconds: f64) {
        if self.filter.is_some() {
            self.budget *= if self.was_full { 0.5 } else { 1.0 + GROWTH * seconds.min(1.0) };
            self.budget = self.budget.clamp(LEAST_BUDGET, MOST_BUDGET);
        }
    }
}

/// How long is counted, unless so much is asked that it is plain before, in queries.
const WINDOW: Duration = Duration::from_millis(100);
const ENOUGH: u32 = 1024;

/// Clients that are counted.
const COUNTED: usize = 1024;

/// How long a filter stays after it was needed.
const CALM: Duration = Duration::from_secs(1);

/// Queries a second. With the least, a socket's buffer of the usual size, some 270 queries, is not
/// full before a tenth of a second; with the first, a buffer as it is asked for lasts for seconds.
const BUDGET: f64 = 10_000.0;
const LEAST_BUDGET: f64 = 2_000.0;
const MOST_BUDGET: f64 = 1_000_000.0;

/// So that some pass by which it shows that they still ask.
const LEAST_PASSING: f64 = 1.0 / 1024.0;

/// Queries that a socket's buffer holds at most: the system takes about 800 bytes for one, and doubles
/// what it is asked for.
const MOST_WAITING: usize = 2 * super::datagrams::RECEIVE_BUFFER / 800;

/// Of the budget a second, while all is taken in: it doubles in about four.
const GROWTH: f64 = 0.2;

#[cfg(test)]
mod tests;
