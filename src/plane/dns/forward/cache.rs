//! What upstreams have said, while it is good, and a while longer for when they say nothing.

use std::collections::HashMap;
use std::rc::Rc;

use tokio::time::Instant;

use super::answer::{Age, Answer};
use super::reply::Reply;
use crate::observe::ByKind;
use crate::snapshot::CachePolicy;

#[cfg(test)]
mod tests;

/// Answers by question, in bounded memory. Two generations: what is asked for stays in the young
/// one; when that is full, the old one is forgotten as a whole and the young one grows old. So a
/// flood of names that are asked for once does not drive out those that are asked for again.
#[derive(Debug)]
pub(super) struct Cache {
    policy: CachePolicy,
    young: Generation,
    old: Generation,
    /// Forgotten for lack of room, since [`Cache::usage`] last told.
    evicted: ByKind,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
    count: ByKind,
}

#[derive(Debug)]
struct Entry {
    reply: Rc<Reply>,
    stored: Instant,
    hits: u32,
}

/// What a cache takes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) entries: ByKind,
    pub(super) bytes: u64,
    /// Since this was last told.
    pub(super) evicted: ByKind,
}

/// What the cache has.
#[derive(Debug)]
pub(super) enum Found {
    /// A good answer. `is_due`: it is asked for often and ends soon, so ask again before it does.
    Fresh { answer: Answer, is_due: bool },
    /// It is out of date, but better than none (RFC 8767).
    Stale(Answer),
    /// Nothing.
    Missing,
}

impl Cache {
    /// Makes an empty one.
    pub(super) fn new(policy: &CachePolicy) -> Self {
        Self {
            policy: policy.clone(),
            young: Generation::default(),
            old: Generation::default(),
            evicted: ByKind::default(),
        }
    }

    /// Goes by another policy from now on. What is there was stored by the old one.
    pub(super) fn adopt(&mut self, policy: &CachePolicy) {
        if policy.size < self.policy.size {
            self.clear();
        }
        self.policy = policy.clone();
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.young, self.old) = Default::default();
    }

    pub(super) fn usage(&mut self) -> Usage {
        let mut entries = self.young.count;
        entries.add(self.old.count);
        let bytes = self.young.bytes + self.old.bytes;
        Usage { entries, bytes: bytes as u64, evicted: std::mem::take(&mut self.evicted) }
    }

    pub(super) fn get(&mut self, key: &[u8], now: Instant) -> Found {
        if !self.young.entries.contains_key(key) {
            let Some((key, entry)) = self.old.take(key) else { return Found::Missing };
            self.keep(key, entry);
        }
        let Some(entry) = self.young.entries.get_mut(key) else { return Found::Missing };
        let age = now.saturating_duration_since(entry.stored).as_secs();
        let ttl = u64::from(entry.reply.ttl);
        let reply = entry.reply.clone();
        if age < ttl {
            entry.hits = entry.hits.saturating_add(1);
            let is_popular = self.policy.prefetch.is_some_and(|least| entry.hits >= least);
            let is_due = is_popular && age >= ttl - ttl / 10;
            let age = Age::Seconds(u32::try_from(age).unwrap_or(u32::MAX));
            return Found::Fresh { answer: Answer { reply, age }, is_due };
        }
        if !reply.is_failure() && age < ttl + self.policy.serve_stale.as_secs() {
            return Found::Stale(Answer { reply, age: Age::Stale });
        }
        self.young.take(key);
        Found::Missing
    }

    /// Remembers an answer instead of what was there. A failure takes no place of an answer.
    pub(super) fn insert(&mut self, key: Box<[u8]>, reply: Rc<Reply>, now: Instant) {
        if reply.ttl == 0 {
            return;
        }
        if reply.is_failure() && !matches!(self.get(&key, now), Found::Missing) {
            return;
        }
        self.young.take(&key);
        self.old.take(&key);
        self.keep(key, Entry { reply, stored: now, hits: 0 });
    }

    fn keep(&mut self, key: Box<[u8]>, entry: Entry) {
        let (size, half) = (size(&key, &entry), self.policy.size / 2);
        if size > half {
            return;
        }
        if self.young.bytes + size > half {
            self.evicted.add(self.old.count);
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += size;
        *self.young.count.of(entry.reply.is_positive) += 1;
        self.young.entries.insert(key, entry);
    }
}

impl Generation {
    fn take(&mut self, key: &[u8]) -> Option<(Box<[u8]>, Entry)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= size(&key, &entry);
        *self.count.of(entry.reply.is_positive) -= 1;
        Some((key, entry))
    }
}

/// In bytes, the allocator's and the table's share included.
fn size(key: &[u8], entry: &Entry) -> usize {
    let reply = &*entry.reply;
    OVERHEAD
        + key.len()
        + reply.bytes.len()
        + 2 * (reply.ttls.len() + reply.addresses.len() + reply.owners.len())
}

const OVERHEAD: usize = 256;
