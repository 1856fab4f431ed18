//! How many retries a Service takes (GEP-3388), as one worker counts them.
//!
//! A retry is allowed if, with it, at most the given percentage of all that was sent within the
//! interval are retries; or if there were fewer of them within the short interval than the
//! guaranteed number, so that the first failures of a quiet Service are retried too. A Service whose
//! policy says nothing has [`RetryBudget::DEFAULT`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::time::Instant;

use crate::snapshot::{BackendId, RetryBudget};

/// Requests and retries of late, by backend. A backend without any takes no memory.
#[derive(Debug, Default)]
pub struct Budgets {
    ledgers: RefCell<HashMap<BackendId, Ledger, RandomState>>,
}

impl Budgets {
    /// Counts a request that is sent for the first time.
    pub fn note_request(&self, backend: &BackendId, budget: &RetryBudget, now: Instant) {
        self.with(backend, budget, now, |ledger| ledger.requests.add(now));
    }

    /// Counts a retry, if the budget allows one more now.
    pub fn take_retry(&self, backend: &BackendId, budget: &RetryBudget, now: Instant) -> bool {
        self.with(backend, budget, now, |ledger| ledger.take_retry(budget, now))
    }

    /// Forgets backends that nothing was sent to within their interval.
    pub fn purge(&self, now: Instant) {
        self.ledgers.borrow_mut().retain(|_, ledger| {
            ledger.requests.count(now) > 0
                || ledger.retries.count(now) > 0
                || ledger.guaranteed.count(now) > 0
        });
    }

    fn with<T>(
        &self,
        backend: &BackendId,
        budget: &RetryBudget,
        now: Instant,
        act: impl FnOnce(&mut Ledger) -> T,
    ) -> T {
        let mut ledgers = self.ledgers.borrow_mut();
        if let Some(ledger) = ledgers.get_mut(backend)
            && ledger.spans == (budget.interval, budget.min_interval)
        {
            return act(ledger);
        }
        let ledger = ledgers.entry(backend.clone()).insert_entry(Ledger::new(budget, now));
        act(ledger.into_mut())
    }
}

/// What was sent to one backend.
#[derive(Debug)]
struct Ledger {
    /// The intervals that it was made for.
    spans: (Duration, Duration),
    requests: Window,
    retries: Window,
    /// Retries within the short interval.
    guaranteed: Window,
}

impl Ledger {
    fn new(budget: &RetryBudget, now: Instant) -> Self {
        Self {
            spans: (budget.interval, budget.min_interval),
            requests: Window::new(budget.interval, now),
            retries: Window::new(budget.interval, now),
            guaranteed: Window::new(budget.min_interval, now),
        }
    }

    fn take_retry(&mut self, budget: &RetryBudget, now: Instant) -> bool {
        let retries = self.retries.count(now).saturating_add(1);
        let all = self.requests.count(now).saturating_add(retries);
        let within = retries.saturating_mul(100) <= all.saturating_mul(budget.percent.into());
        let guaranteed = self.guaranteed.count(now) < u64::from(budget.min_count);
        if within || guaranteed {
            self.retries.add(now);
            self.guaranteed.add(now);
        }
        within || guaranteed
    }
}

/// A count over the last while: a ring of slots, of which the oldest is emptied when its time
/// comes again. It reaches back for the whole interval and at most a tenth more.
#[derive(Debug)]
struct Window {
    slots: [u64; SLOTS + 1],
    slot_time: Duration,
    begun: Instant,
    /// Slots since `begun`, the current one last.
    current: u64,
}

impl Window {
    fn new(interval: Duration, now: Instant) -> Self {
        let slot_time = (interval / SLOTS as u32).max(Duration::from_millis(1));
        Self { slots: [0; SLOTS + 1], slot_time, begun: now, current: 0 }
    }

    fn add(&mut self, now: Instant) {
        self.advance(now);
        let place = self.place(self.current);
        if let Some(slot) = self.slots.get_mut(place) {
            *slot = slot.saturating_add(1);
        }
    }

    fn count(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.slots.iter().sum()
    }

    /// Empties what is too old now. A clock that goes back changes nothing.
    fn advance(&mut self, now: Instant) {
        let wanted = nanos(now.saturating_duration_since(self.begun)) / nanos(self.slot_time);
        let steps = wanted.saturating_sub(self.current).min(self.slots.len() as u64);
        for slot in wanted.saturating_sub(steps)..wanted {
            let place = self.place(slot.saturating_add(1));
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = 0;
            }
        }
        self.current = self.current.max(wanted);
    }

    fn place(&self, slot: u64) -> usize {
        usize::try_from(slot % self.slots.len() as u64).unwrap_or_default()
    }
}

/// For five hundred years, and at least one: divisions of 64 bits are cheap.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// Slots of an interval; one more is the one that fills.
const SLOTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Rng;
    use crate::manifest::ObjectKey;
    use crate::snapshot::Transport;

    fn backend(name: &str) -> BackendId {
        BackendId {
            service: ObjectKey::new("default", name),
            port: "80".into(),
            transport: Transport::Tcp,
        }
    }

    fn budget(percent: u32, min_count: u32) -> RetryBudget {
        let seconds = Duration::from_secs;
        RetryBudget { percent, interval: seconds(10), min_count, min_interval: seconds(1) }
    }

    #[test]
    fn retries_stay_below_the_percentage_and_the_guaranteed_rate_when_everything_fails() {
        let start = Instant::now();
        for seed in 0..24 {
            let mut rng = Rng::new(seed);
            let budget = budget(rng.below(101) as u32, rng.below(20) as u32);
            let budgets = Budgets::default();
            let mut sent = Sent::default();
            let mut now = start;
            for _ in 0..500 {
                now += Duration::from_millis(rng.below(80) as u64);
                budgets.note_request(&backend("a"), &budget, now);
                sent.0.push((now, false));
                // each failure asks for up to three further attempts
                for _ in 0..3 {
                    if !budgets.take_retry(&backend("a"), &budget, now) {
                        break;
                    }
                    sent.0.push((now, true));
                    // a window reaches back for the interval and at most a tenth more
                    let share = sent.since(now, 11_000).0 * budget.percent as usize / 100;
                    let within = sent.since(now, 10_000).1 <= share;
                    let guaranteed = sent.since(now, 1_000).1 <= budget.min_count as usize;
                    assert!(within || guaranteed, "seed {seed}: {budget:?}");
                }
            }
            let retries = sent.0.iter().filter(|(_, is_retry)| *is_retry).count();
            let seconds = (now - start).as_secs() as usize + 1;
            let guaranteed = seconds * budget.min_count as usize;
            let share = sent.0.len() * budget.percent as usize / 100;
            assert!(retries <= share + guaranteed, "seed {seed}: {retries} {budget:?}");
        }
    }

    /// Everything that was sent, when, and whether it was a retry.
    #[derive(Default)]
    struct Sent(Vec<(Instant, bool)>);

    impl Sent {
        /// All and retries of the last so many milliseconds.
        fn since(&self, now: Instant, millis: u64) -> (usize, usize) {
            let span = Duration::from_millis(millis);
            let recent = self.0.iter().rev().take_while(|(at, _)| now - *at <= span);
            recent.fold((0, 0), |(all, retries), (_, is_retry)| {
                (all + 1, retries + usize::from(*is_retry))
            })
        }
    }

    #[test]
    fn a_quiet_service_has_its_guaranteed_retries_and_gets_them_again() {
        let (budgets, budget, now) = (Budgets::default(), budget(0, 3), Instant::now());
        let taken = |at: u64| {
            let now = now + Duration::from_millis(at);
            (0..10).filter(|_| budgets.take_retry(&backend("a"), &budget, now)).count()
        };
        assert_eq!([taken(0), taken(500), taken(999), taken(1_200)], [3, 0, 0, 3]);
    }

    #[test]
    fn a_percentage_of_what_is_sent_may_be_retries() {
        let (budgets, budget, now) = (Budgets::default(), budget(20, 0), Instant::now());
        for _ in 0..800 {
            budgets.note_request(&backend("a"), &budget, now);
        }
        // 200 of 1000 active requests, as the GEP has it
        let taken = (0..500).filter(|_| budgets.take_retry(&backend("a"), &budget, now)).count();
        assert_eq!(taken, 200);
        assert!(!budgets.take_retry(&backend("b"), &budget, now));
        let later = now + Duration::from_secs(12);
        assert!(!budgets.take_retry(&backend("a"), &budget, later), "old requests still count");
    }

    #[test]
    fn backends_without_traffic_and_changed_intervals_are_forgotten() {
        let (budgets, now) = (Budgets::default(), Instant::now());
        let mut budget = budget(0, 1);
        assert!(budgets.take_retry(&backend("a"), &budget, now));
        assert!(!budgets.take_retry(&backend("a"), &budget, now));
        budget.min_interval = Duration::from_secs(2);
        assert!(budgets.take_retry(&backend("a"), &budget, now));
        budgets.purge(now);
        assert_eq!(budgets.ledgers.borrow().len(), 1);
        budgets.purge(now + Duration::from_secs(12));
        assert!(budgets.ledgers.borrow().is_empty());
    }
}
