//! What upstreams have said, while it is good, and a while longer for when they say nothing.

use std::collections::HashMap;
use std::rc::Rc;

use tokio::time::Instant;

use super::forwarder::{Age, Answer};
use super::reply::Reply;

#[cfg(test)]
mod tests;

/// Answers by question, in bounded memory. Two generations: what is asked for stays in the young
/// one; when that is full, the old one is forgotten as a whole and the young one grows old. So a
/// flood of names that are asked for once does not drive out those that are asked for again.
#[derive(Debug)]
pub(super) struct Cache {
    young: Generation,
    old: Generation,
    /// Bytes of both.
    limit: usize,
}

#[derive(Debug, Default)]
struct Generation {
    entries: HashMap<Box<[u8]>, Entry>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    reply: Rc<Reply>,
    stored: Instant,
    hits: u32,
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
    /// Makes an empty one that takes at most so many bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { young: Generation::default(), old: Generation::default(), limit }
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
            let is_due = entry.hits >= POPULAR && age >= ttl - ttl / 10;
            let age = Age::Seconds(u32::try_from(age).unwrap_or(u32::MAX));
            return Found::Fresh { answer: Answer { reply, age }, is_due };
        }
        if !reply.is_failure() && age < ttl + STALE {
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
        let size = size(&key, &entry);
        if size > self.limit / 2 {
            return;
        }
        if self.young.bytes + size > self.limit / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.bytes += size;
        self.young.entries.insert(key, entry);
    }
}

impl Generation {
    fn take(&mut self, key: &[u8]) -> Option<(Box<[u8]>, Entry)> {
        let (key, entry) = self.entries.remove_entry(key)?;
        self.bytes -= size(&key, &entry);
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

/// How many times an answer must have been asked for to be asked for ahead of time.
const POPULAR: u32 = 3;

/// Seconds for which an answer is kept after its time, as by CoreDNS.
const STALE: u64 = 3600;
