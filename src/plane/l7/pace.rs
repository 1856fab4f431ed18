//! Whether a client does what it owes fast enough, on average.

use std::time::Duration;

use tokio::time::Instant;

use crate::plane::Limits;

/// How long a client was waited for, and how many bytes it has sent or taken meanwhile. Only the
/// time of the client counts: while an endpoint is the slow one, nothing passes.
#[derive(Debug, Default)]
pub(super) struct Pace {
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// The client is waited for from now on, unless it is already.
    pub(super) fn wait(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// It has sent or taken so many bytes. `false`: that was too slow for too long.
    pub(super) fn moved(&mut self, now: Instant, bytes: u64, limits: &Limits) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let Some(since) = self.since.take() else { return true };
        self.waited += now.saturating_duration_since(since);
        if self.waited < limits.client_rate_grace {
            return true;
        }
        let owed = self.waited.as_secs_f64() * limits.client_rate as f64;
        let is_enough = self.bytes as f64 >= owed;
        // what was fast once does not make up for what comes
        *self = Self::default();
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_is_waited_for_is_slow_and_only_after_its_grace() {
        let limits = Limits::default();
        for (bytes, wait, pause, turns, is_enough) in [
            // a byte every ten seconds, that never stalls
            (1, 10, 0, 2, true),
            (1, 10, 0, 3, false),
            (3_000, 10, 0, 50, true),
            (2_000, 10, 0, 3, false),
            // others are slow
            (1, 0, 10, 1_000, true),
            (100, 1, 10, 29, true),
            (100, 1, 10, 30, false),
        ] {
            let mut now = Instant::now();
            let mut pace = Pace::default();
            let mut was_enough = true;
            for _ in 0..turns {
                pace.wait(now);
                now += Duration::from_secs(wait);
                was_enough &= pace.moved(now, bytes, &limits);
                now += Duration::from_secs(pause);
            }
            assert_eq!(was_enough, is_enough, "{bytes} {wait} {pause} {turns}");
        }
    }

    #[test]
    fn what_was_fast_does_not_make_up_for_what_is_slow() {
        let limits = Limits::default();
        let (mut now, mut pace) = (Instant::now(), Pace::default());
        for (bytes, is_enough) in [(1_000_000, true), (1, false)] {
            pace.wait(now);
            now += Duration::from_secs(31);
            assert_eq!(pace.moved(now, bytes, &limits), is_enough);
        }
        let free = Limits { client_rate: 0, ..Limits::default() };
        pace.wait(now);
        assert!(pace.moved(now + Duration::from_secs(3600), 0, &free));
    }
}
