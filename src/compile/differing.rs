//! In what two sorted listings differ.

use std::cmp::Ordering;

/// The keys that only one of them has, or both with values that are not the same; in order, as both
/// listings must be.
pub(super) fn differing<K: Ord, V>(
    before: impl IntoIterator<Item = (K, V)>,
    now: impl IntoIterator<Item = (K, V)>,
    is_same: impl Fn(&V, &V) -> bool,
) -> Vec<K> {
    let (mut before, mut now) = (before.into_iter().peekable(), now.into_iter().peekable());
    let mut keys = Vec::new();
    loop {
        let order = match (before.peek(), now.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return keys,
        };
        let old = before.next_if(|_| order.is_le());
        let new = now.next_if(|_| order.is_ge());
        match (old, new) {
            (Some((_, old)), Some((_, new))) if is_same(&old, &new) => {}
            (old, new) => keys.extend(new.or(old).map(|(key, _)| key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_what_changed_and_what_went_differs() {
        let before = [("a", 1), ("b", 1), ("d", 1), ("f", 1)];
        let now = [("b", 1), ("c", 1), ("d", 2), ("g", 1)];
        assert_eq!(differing(before, now, PartialEq::eq), ["a", "c", "d", "f", "g"]);
        assert_eq!(differing(before, before, PartialEq::eq), [""; 0]);
        assert_eq!(differing(before, [], PartialEq::eq), ["a", "b", "d", "f"]);
    }
}
