//! A sorted map of which two generations share what they have in common.
//!
//! Entries are in chunks behind `Arc`s: a copy costs a pointer a chunk, a change copies one chunk,
//! and what is shared compares equal without being looked at. Compact too: no node has room to
//! spare. A `BTreeMap` was rejected because a snapshot of ten thousand Services would be copied
//! and compared whole for one endpoint; persistent trees of other crates because they keep a node
//! an entry.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

/// Entries by key, each key once.
pub struct SortedMap<K, V> {
    /// None is empty; in order, within and among them.
    chunks: Vec<Arc<Vec<(K, V)>>>,
}

/// Entries of a new chunk; one that has grown to twice as many is split.
const CHUNK: usize = 64;

impl<K, V> SortedMap<K, V> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Every entry, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &V)> + Clone {
        self.chunks.iter().flat_map(|chunk| chunk.iter().map(|(key, value)| (key, value)))
    }

    /// Every key, in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> + Clone {
        self.iter().map(|(key, _)| key)
    }

    /// Every value, in order of the keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// The first entry of which the key is where it is looked for: `place` tells how a key
    /// compares to that, in the order of the keys.
    pub fn find(&self, place: impl Fn(&K) -> Ordering) -> Option<&V> {
        self.range(place).next().map(|(_, value)| value)
    }

    /// Every entry of which `place` says that its key is equal, in order.
    pub fn range<P: Fn(&K) -> Ordering>(
        &self,
        place: P,
    ) -> impl Iterator<Item = (&K, &V)> + use<'_, K, V, P> {
        let is_before = |(key, _): &(K, V)| place(key) == Ordering::Less;
        let first = self.chunks.partition_point(|chunk| chunk.last().is_some_and(is_before));
        let start = self.chunks.get(first).map_or(0, |chunk| chunk.partition_point(is_before));
        let chunks = self.chunks.get(first..).unwrap_or_default();
        let entries = chunks.iter().flat_map(|chunk| chunk.iter()).skip(start);
        entries
            .take_while(move |(key, _)| place(key) == Ordering::Equal)
            .map(|(key, value)| (key, value))
    }
}

impl<K, V> SortedMap<K, V> {
    /// The entries in chunks that another map does not share: all that differ, and few more.
    pub fn beyond(&self, other: &Self) -> impl Iterator<Item = (&K, &V)> {
        let shared: HashSet<_> = other.chunks.iter().map(Arc::as_ptr).collect();
        let own = self.chunks.iter().filter(move |chunk| !shared.contains(&Arc::as_ptr(chunk)));
        own.flat_map(|chunk| chunk.iter()).map(|(key, value)| (key, value))
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.find(|it| it.cmp(key))
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }
}

impl<K: Ord + Clone, V: Clone> SortedMap<K, V> {
    /// Puts a value in the place of its key; the one that was there is given back.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let at = self.chunk_of(&key).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Arc::new(vec![(key, value)]));
            return None;
        };
        let chunk = Arc::make_mut(chunk);
        match chunk.binary_search_by(|(it, _)| it.cmp(&key)) {
            Ok(place) => chunk.get_mut(place).map(|it| std::mem::replace(&mut it.1, value)),
            Err(place) => {
                chunk.insert(place, (key, value));
                if chunk.len() >= 2 * CHUNK {
                    let rest = chunk.split_off(CHUNK);
                    self.chunks.insert(at + 1, Arc::new(rest));
                }
                None
            }
        }
    }

    /// Takes a key away; its value is given back.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.chunk_of(key);
        let chunk = self.chunks.get_mut(at)?;
        let place = chunk.binary_search_by(|(it, _)| it.cmp(key)).ok()?;
        let (_, value) = Arc::make_mut(chunk).remove(place);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        Some(value)
    }

    /// The first chunk that does not end before the key.
    fn chunk_of(&self, key: &K) -> usize {
        self.chunks.partition_point(|chunk| chunk.last().is_some_and(|(last, _)| last < key))
    }
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

/// The chunks are shared.
impl<K, V> Clone for SortedMap<K, V> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone() }
    }
}

impl<K: PartialEq, V: PartialEq> PartialEq for SortedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let pairs = || self.chunks.iter().zip(&other.chunks);
        let are_aligned = self.chunks.len() == other.chunks.len()
            && pairs().all(|(left, right)| left.len() == right.len());
        if are_aligned {
            return pairs().all(|(left, right)| Arc::ptr_eq(left, right) || left == right);
        }
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for SortedMap<K, V> {}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for SortedMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Of one key, the last value counts.
impl<K: Ord, V> FromIterator<(K, V)> for SortedMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<(K, V)> = entries.into_iter().collect();
        if !entries.is_sorted_by(|(left, _), (right, _)| left < right) {
            entries.reverse();
            // stable: of one key, the last that was given stands first
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            entries.dedup_by(|(left, _), (right, _)| left == right);
        }
        let mut entries = entries.into_iter();
        let mut chunks = Vec::with_capacity(entries.len().div_ceil(CHUNK));
        while entries.len() > 0 {
            chunks.push(Arc::new(entries.by_ref().take(CHUNK).collect()));
        }
        Self { chunks }
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for SortedMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16, u8),
        Remove(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0u16..700, any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => (0u16..700).prop_map(Step::Remove),
        ];
        prop::collection::vec(step, 0..900)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_tree_holds(
            first in prop::collection::vec((0u16..700, any::<u8>()), 0..300),
            steps in steps(),
        ) {
            let mut map: SortedMap<u16, u8> = first.iter().copied().collect();
            let mut tree: BTreeMap<u16, u8> = first.into_iter().collect();
            let (earlier, earlier_tree) = (map.clone(), tree.clone());
            for step in steps {
                match step {
                    Step::Insert(key, value) => {
                        prop_assert_eq!(map.insert(key, value), tree.insert(key, value));
                    }
                    Step::Remove(key) => prop_assert_eq!(map.remove(&key), tree.remove(&key)),
                }
            }
            prop_assert!(map.iter().eq(tree.iter()));
            prop_assert!(earlier.iter().eq(earlier_tree.iter()), "a copy must not change");
            prop_assert_eq!(map.len(), tree.len());
            prop_assert!(map.chunks.iter().all(|chunk| (1..2 * CHUNK).contains(&chunk.len())));
            for key in 0..700 {
                prop_assert_eq!(map.get(&key), tree.get(&key));
            }
            let in_tens = |ten: u16| map.range(move |key| (key / 10).cmp(&ten)).count();
            for ten in 0..70 {
                prop_assert_eq!(in_tens(ten), tree.range(ten * 10..(ten + 1) * 10).count());
            }
            prop_assert_eq!(&map, &tree.iter().map(|(key, value)| (*key, *value)).collect());
            prop_assert_eq!(map == earlier, tree == earlier_tree);
            let beyond: Vec<_> = map.beyond(&earlier).collect();
            for entry in map.iter().filter(|(key, value)| earlier.get(key) != Some(value)) {
                prop_assert!(beyond.contains(&entry));
            }
        }
    }
}
