//! The one place where a snapshot changes hands: one writer, any number of readers.
//!
//! `ArcSwap` is named in this file only, so that it can become a lock in one commit. Readers
//! never hold a guard: [`Reader::load`] clones the `Arc`, and [`CachedReader`] (one a worker)
//! does so only when the generation moved, at the cost of one atomic load a unit of work.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Generation, Snapshot};

/// Makes the cell: the only [`Publisher`] there will be, and the first [`Reader`].
pub fn new() -> (Publisher, Reader) {
    let (sender, receiver) = watch::channel(Generation::default());
    let current = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
    let publisher = Publisher { current: current.clone(), generation: sender };
    (publisher, Reader { current, generation: receiver })
}

/// The writer's half. Invariant: not `Clone`; one task owns it (two writers that load, build and
/// store lose an update).
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    generation: watch::Sender<Generation>,
}

impl Publisher {
    /// Publishes `next` under the next generation, which it returns.
    pub fn publish(&mut self, mut next: Snapshot) -> Generation {
        let generation = Generation(self.generation.borrow().0 + 1);
        next.generation = generation;
        self.current.store(Arc::new(next));
        self.generation.send_replace(generation);
        generation
    }

    /// What is published now.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

/// A reader's half; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    current: Arc<ArcSwap<Snapshot>>,
    generation: watch::Receiver<Generation>,
}

impl Reader {
    /// The snapshot that is current now.
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Waits for a snapshot that this reader has not been told of, and returns it. `None`: the
    /// publisher is gone, nothing will change any more. Cancel-safe.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        self.generation.changed().await.ok()?;
        self.generation.mark_unchanged();
        Some(self.load())
    }

    /// A reader for one thread that loads without touching shared memory while nothing changes.
    pub fn cached(self) -> CachedReader {
        CachedReader { cached: RefCell::new(self.load()), reader: self }
    }
}

/// A [`Reader`] that keeps the snapshot it saw last; one a worker thread.
#[derive(Debug)]
pub struct CachedReader {
    reader: Reader,
    cached: RefCell<Arc<Snapshot>>,
}

impl CachedReader {
    /// The snapshot that is current now.
    pub fn load(&self) -> Arc<Snapshot> {
        let mut cached = self.cached.borrow_mut();
        let current = self.reader.current.load();
        if !Arc::ptr_eq(&cached, &current) {
            *cached = Arc::clone(&current);
        }
        Arc::clone(&cached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_counts_generations_and_readers_see_the_newest() {
        let (mut publisher, reader) = new();
        let cached = reader.clone().cached();
        assert_eq!(cached.load().generation, Generation(0));
        publisher.publish(Snapshot::default());
        publisher.publish(Snapshot::default());
        assert_eq!(reader.load().generation, Generation(2));
        assert_eq!(cached.load().generation, Generation(2));
    }

    #[tokio::test]
    async fn a_reader_is_woken_once_for_what_it_has_not_seen() {
        let (mut publisher, mut reader) = new();
        publisher.publish(Snapshot::default());
        publisher.publish(Snapshot::default());
        let snapshot = reader.changed().await.expect("the publisher must be alive");
        assert_eq!(snapshot.generation, Generation(2));
        drop(publisher);
        assert!(reader.changed().await.is_none());
    }
}
