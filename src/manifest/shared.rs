//! Strings that are written again and again, kept once: names of nodes, zones, ports and labels.

use std::borrow::Cow;
use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

/// A string that is shared with those that were read before and are the same.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SharedString(pub(super) Arc<str>);

impl<'de> Deserialize<'de> for SharedString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self(shared(&text)))
    }
}

/// For `deserialize_with`: a string or nothing; `null` is nothing.
pub(super) fn option<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Arc<str>>, D::Error> {
    Ok(Option::<SharedString>::deserialize(deserializer)?.map(|text| text.0))
}

/// For `deserialize_with`: a string; `null` is the empty one.
pub(super) fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    Ok(option(deserializer)?.unwrap_or_default())
}

/// For `deserialize_with`: strings; `null` is none.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<str>>, D::Error> {
    let all = Option::<Vec<SharedString>>::deserialize(deserializer)?.unwrap_or_default();
    Ok(all.into_iter().map(|text| text.0).collect())
}

/// The last string of each hash is remembered: that bounds what is kept, and what is written often
/// is found almost always.
fn shared(text: &str) -> Arc<str> {
    thread_local! {
        static KNOWN: RefCell<Vec<Arc<str>>> = RefCell::new(vec![Arc::default(); SLOTS]);
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let slot = usize::try_from(hasher.finish() % SLOTS as u64).unwrap_or_default();
    KNOWN.with_borrow_mut(|known| match known.get_mut(slot) {
        Some(last) if **last == *text => last.clone(),
        Some(last) => {
            *last = text.into();
            last.clone()
        }
        None => text.into(),
    })
}

/// Many times as many as a cluster has nodes and names of ports.
const SLOTS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_again_is_kept_once_however_much_comes_between() {
        let first = shared("node1");
        assert!(Arc::ptr_eq(&first, &shared("node1")));
        for number in 0..10 * SLOTS {
            assert_eq!(*shared(&number.to_string()), number.to_string());
        }
        assert_eq!(*shared("node1"), *first);
    }
}
