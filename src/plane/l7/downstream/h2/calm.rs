//! How much a client may make rutter do for nothing: token buckets of one connection.
//!
//! A stream that ends before its time costs a request towards an endpoint and the client next to
//! nothing (Rapid Reset, CVE-2023-44487), whether it resets the stream itself or breaks a rule so that
//! rutter has to (MadeYouReset, CVE-2025-8671): one bucket is for both. Frames that carry no request
//! and no body (PING, SETTINGS, PRIORITY, WINDOW_UPDATE) have another. A client that has emptied one
//! is sent away: GOAWAY with ENHANCE_YOUR_CALM.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use tokio::time::Instant;

use crate::plane::Limits;

/// What one connection has left.
#[derive(Debug)]
pub(super) struct Calm {
    resets: RefCell<Bucket>,
    control_frames: RefCell<Bucket>,
    is_lost: Cell<bool>,
}

impl Calm {
    pub(super) fn new(limits: &Limits) -> Self {
        let resets = Bucket::new(limits.h2_resets, limits.h2_reset_interval);
        let frames = Bucket::new(limits.h2_control_frames, limits.h2_control_frame_interval);
        Self { resets: resets.into(), control_frames: frames.into(), is_lost: Cell::new(false) }
    }

    /// A stream ended before its time, and it was the client's doing.
    pub(super) fn note_reset(&self) {
        self.take(&self.resets);
    }

    /// The client sent a frame that carries nothing.
    pub(super) fn note_control_frame(&self) {
        self.take(&self.control_frames);
    }

    /// A request came, or a piece of a response went out: clients say that they have taken it, and ask
    /// how far they are away.
    pub(super) fn note_work(&self) {
        self.control_frames.borrow_mut().add(FRAMES_PER_WORK);
    }

    /// Whether a bucket was empty when something was to be taken.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.get()
    }

    fn take(&self, bucket: &RefCell<Bucket>) {
        if !bucket.borrow_mut().take(Instant::now()) {
            self.is_lost.set(true);
        }
    }
}

/// A number of tokens, to which one is added at every interval.
#[derive(Debug)]
struct Bucket {
    most: u32,
    interval: Duration,
    /// When it will be full again.
    full: Instant,
}

impl Bucket {
    fn new(most: u32, interval: Duration) -> Self {
        Self { most, interval, full: Instant::now() }
    }

    fn add(&mut self, tokens: u32) {
        let full = self.full.checked_sub(self.interval.saturating_mul(tokens));
        self.full = full.unwrap_or(self.full);
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let full = self.full.max(now) + self.interval;
        let is_there = full.duration_since(now) <= self.interval.saturating_mul(self.most);
        if is_there {
            self.full = full;
        }
        is_there
    }
}

/// Envoy has ten WINDOW_UPDATEs for each DATA.
const FRAMES_PER_WORK: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_takings_agree_with_a_naive_bucket() {
        for seed in 0..64 {
            let mut rng = crate::balance::Rng::new(seed);
            let mut bucket = Bucket::new(20, Duration::from_millis(250));
            let start = bucket.full;
            let (mut now, mut held) = (0, 20 * 250);
            for _ in 0..400 {
                let passed = rng.below(300) as u64;
                (now, held) = (now + passed, (held + passed).min(20 * 250));
                if rng.below(10) == 0 {
                    bucket.add(3);
                    held = (held + 3 * 250).min(20 * 250);
                }
                let is_there = bucket.take(start + Duration::from_millis(now));
                assert_eq!(is_there, held >= 250, "seed {seed} at {now}");
                held -= if is_there { 250 } else { 0 };
            }
        }
    }
}
