//! How the streams of a connection wait for their client: they take turns, and a turn may take long.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crate::plane::Limits;

/// What all streams of one connection have sent so far, and how many of them wait.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Cell<u64>,
    taken: Cell<u64>,
}

/// A stream that waits for its client.
#[derive(Debug)]
pub(super) struct Turn {
    of: Rc<Turns>,
    /// What was taken when it last was known to be fast enough.
    taken: u64,
}

impl Turns {
    /// A client has taken so much.
    pub(super) fn note(&self, bytes: usize) {
        self.taken.set(self.taken.get().saturating_add(bytes as u64));
    }
}

impl Turn {
    /// A stream waits from now on, until this is dropped.
    pub(super) fn begin(of: &Rc<Turns>) -> Self {
        of.waiting.set(of.waiting.get().saturating_add(1));
        Self { taken: of.taken.get(), of: of.clone() }
    }

    /// Begins anew after so long a wait. `false`: the client was not busy with the others meanwhile, of
    /// which it would have taken more than it owes to all that wait.
    pub(super) fn renew(&mut self, time: Duration, limits: &Limits) -> bool {
        let all = self.of.taken.get();
        let taken = all.saturating_sub(std::mem::replace(&mut self.taken, all));
        let owed = limits.client_rate as f64 * time.as_secs_f64() * self.of.waiting.get() as f64;
        taken as f64 > owed
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.of.waiting.set(self.of.waiting.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_waits_on_while_its_client_takes_what_it_owes_to_all_that_wait() {
        let limits = Limits { client_rate: 100, ..Limits::default() };
        let (turns, time) = (Rc::<Turns>::default(), Duration::from_secs(30));
        for (waiting, taken, is_renewed) in [
            (1, 0, false),
            (1, 3_000, false),
            (1, 3_001, true),
            (100, 3_001, false),
            (100, 300_001, true),
        ] {
            let mut all: Vec<_> = (0..waiting).map(|_| Turn::begin(&turns)).collect();
            turns.note(taken);
            let told = all.iter_mut().map(|turn| turn.renew(time, &limits));
            assert!(told.eq((0..waiting).map(|_| is_renewed)), "{waiting} {taken}");
            // what was taken counts once
            assert!(!all[0].renew(time, &limits), "{waiting} {taken}");
        }
        assert_eq!(turns.waiting.get(), 0);
    }
}
