//! How requests spread over backends.

use std::collections::BTreeMap;

use super::case::backend_of;
use crate::common::block_on;

/// Upstream sends 500 requests and tries up to ten times; so many at once have a deviation of one
/// percentage point, so that five never come by chance.
const REQUESTS: usize = 2_000;
const TOLERANCE: f64 = 5.0;

/// Asks for the pods of many requests, and compares the shares of their backends, in percent.
#[track_caller]
pub fn check(shares: &[(&str, f64)], mut pod: impl AsyncFnMut() -> String) {
    let counts = block_on(async {
        let mut counts = BTreeMap::<String, usize>::new();
        for _ in 0..REQUESTS {
            *counts.entry(backend_of(&pod().await).to_owned()).or_default() += 1;
        }
        counts
    });
    for (backend, wanted) in shares {
        let count = counts.get(*backend).copied().unwrap_or_default();
        let actual = count as f64 * 100.0 / REQUESTS as f64;
        let is_right =
            if *wanted == 0.0 { count == 0 } else { (actual - wanted).abs() <= TOLERANCE };
        assert!(is_right, "{backend} has {actual} %, not {wanted} %: {counts:?}");
    }
    let others: Vec<_> =
        counts.keys().filter(|it| !shares.iter().any(|(backend, _)| backend == it)).collect();
    assert!(others.is_empty(), "requests went to {others:?} too");
}
