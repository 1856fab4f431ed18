//! Peak EWMA: an average of latency that rises at once and falls slowly, as Finagle has it.

use std::time::Duration;

use tokio::time::Instant;

/// How long an endpoint took to answer of late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    nanos: f64,
    at: Instant,
}

impl Latency {
    /// What counts as no latency, in nanoseconds: five milliseconds. Below it endpoints of a cluster
    /// differ by chance: the first answer of each has a connection to open and caches to fill, and one that
    /// was 1 ms slower then would get hardly anything for seconds where there is little to do. Where there
    /// is much, what is in flight tells the slower one.
    pub(super) const LEAST: f64 = 5e6;

    /// The average after another answer.
    pub(super) fn after(before: Option<Self>, latency: Duration, now: Instant) -> Self {
        let fresh = latency.as_nanos() as f64;
        let Some(before) = before.filter(|before| before.nanos > fresh) else {
            return Self { nanos: fresh, at: now };
        };
        if before.nanos <= Self::LEAST {
            return Self { nanos: before.nanos, at: now };
        }
        let kept = before.kept(now);
        Self { nanos: before.nanos * kept + fresh * (1.0 - kept), at: now }
    }

    /// What it counts as now, in nanoseconds: the longer nothing was heard, the less, so that an
    /// endpoint that was slow is asked again.
    pub(super) fn at(&self, now: Instant) -> f64 {
        if self.nanos <= Self::LEAST {
            return Self::LEAST;
        }
        (self.nanos * self.kept(now)).max(Self::LEAST)
    }

    /// Whether nothing was heard for so long that hardly anything is left of it.
    pub(super) fn is_forgotten(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= FORGOTTEN
    }

    /// Which part of it is left.
    fn kept(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (-passed / DECAY.as_secs_f64()).exp()
    }
}

/// The time in which an average falls to a third, 1/e.
const DECAY: Duration = Duration::from_secs(10);
/// Ten times that leaves less than a ten-thousandth.
const FORGOTTEN: Duration = Duration::from_secs(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Rng;

    const fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn it_rises_at_once_and_falls_with_time() {
        let start = Instant::now();
        let first = Latency::after(None, millis(10), start);
        let peak = Latency::after(Some(first), millis(200), start);
        assert_eq!(peak.at(start), 200e6);
        let later = Latency::after(Some(peak), millis(10), start + DECAY);
        let expected = 200e6 / std::f64::consts::E + 10e6 * (1.0 - 1.0 / std::f64::consts::E);
        assert!((later.at(start + DECAY) - expected).abs() < 1.0);
        assert_eq!(peak.at(start + DECAY * 50), Latency::LEAST, "and is a peak no more");
        assert!(!peak.is_forgotten(start + DECAY) && peak.is_forgotten(start + FORGOTTEN));
    }

    /// A naive average: every answer with its time, folded from the beginning each time.
    #[test]
    fn random_answers_agree_with_a_fold_over_all_of_them() {
        for seed in 0..256 {
            let mut rng = Rng::new(seed);
            let start = Instant::now();
            let (mut now, mut answers, mut latency) = (0, Vec::new(), None);
            for _ in 0..100 {
                now += rng.below(3_000) as u64;
                let took = 6 + rng.below(500) as u64;
                answers.push((now, took));
                let at = start + millis(now);
                latency = Some(Latency::after(latency, millis(took), at));
                let folded = answers.iter().fold((0, 0.0_f64), |(before, value), (at, took)| {
                    let took = *took as f64 * 1e6;
                    let kept = (-((at - before) as f64) / 10_000.0).exp();
                    (*at, if took >= value { took } else { value * kept + took * (1.0 - kept) })
                });
                let value = latency.expect("just made").at(at);
                assert!((value - folded.1).abs() < 1.0, "seed {seed}: {value} {}", folded.1);
            }
        }
    }
}
