//! Durations by bucket.

use std::time::Duration;

/// Upper bounds in seconds: from a name answered from memory to a request that hangs.
pub(super) const BOUNDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The same in nanoseconds, to be compared without conversion.
const NANOS: [u64; 14] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
    30_000_000_000,
];

/// Counts of durations, one a bucket and one for what is longer than the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    pub(super) counts: [u64; NANOS.len() + 1],
    nanos: u64,
}

impl Histogram {
    pub(super) fn observe(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = NANOS.iter().position(|bound| nanos <= *bound).unwrap_or(NANOS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.nanos = self.nanos.saturating_add(nanos);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.nanos = self.nanos.saturating_add(other.nanos);
    }

    /// The sum of all durations.
    pub(super) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }
}
