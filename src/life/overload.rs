//! How near memory is to its end, and what is shed before it is reached.
//!
//! One task of the control thread looks; workers are woken when there is something to shed, and
//! know the level of the last look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::{Drain, Memory};

/// What is done to keep below the limit of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// From 80 % on: what is idle is closed, and connections end with their next response.
    Trim,
    /// From 90 % on: what is new is refused as well.
    Shed,
    /// From 95 % on: what holds most is reset as well.
    Reset,
}

/// The level of a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What is done.
    pub level: Level,
    /// Bytes that each worker should free by resets.
    pub excess: u64,
}

/// What was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// A client connection without a request.
    IdleConnection,
    /// A connection to an endpoint without a request.
    UpstreamConnection,
    /// A fresh connection.
    Connection,
    /// A request.
    Request,
    /// An exchange that held much.
    Reset,
}

impl Shed {
    const ALL: [(Self, &'static str); 5] = [
        (Self::IdleConnection, "idle_connection"),
        (Self::UpstreamConnection, "upstream_connection"),
        (Self::Connection, "connection"),
        (Self::Request, "request"),
        (Self::Reset, "reset"),
    ];
}

/// What the control thread, workers and metrics share of it.
#[derive(Debug, Default)]
pub struct Overload {
    memory: Option<Memory>,
    workers: u64,
    used: AtomicU64,
    load: watch::Sender<Load>,
    shed: [AtomicU64; Shed::ALL.len()],
}

impl Overload {
    /// Without memory, nothing is shed.
    pub fn new(memory: Option<Memory>, workers: usize) -> Self {
        Self { memory, workers: workers as u64, ..Self::default() }
    }

    /// Looks again and again, until the drain.
    pub async fn watch(&self, drain: &Drain) {
        let Some(memory) = &self.memory else { return };
        loop {
            if let Some(used) = memory.used() {
                self.note(used, memory.limit());
            }
            tokio::select! {
                biased;
                () = drain.started() => return,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
        }
    }

    /// A look has found so much memory used.
    pub fn note(&self, used: u64, limit: u64) {
        self.used.store(used, Ordering::Relaxed);
        let percent = u128::from(used) * 100 / u128::from(limit.max(1));
        let level = match percent {
            0..80 => Level::None,
            80..90 => Level::Trim,
            90..95 => Level::Shed,
            _ => Level::Reset,
        };
        let most = limit / 100 * 95;
        let load = Load { level, excess: used.saturating_sub(most) / self.workers.max(1) };
        let was = self.load.borrow().level;
        if was != level {
            tracing::warn!(?level, was = ?was, used, limit, "memory");
        }
        if was != level || level > Level::None {
            self.load.send_replace(load);
        }
    }

    /// Tells of every look that finds something to shed, and of the one after.
    pub fn subscribe(&self) -> watch::Receiver<Load> {
        self.load.subscribe()
    }

    /// Counts what was shed.
    pub fn count(&self, what: Shed, count: usize) {
        let places = Shed::ALL.iter().zip(&self.shed);
        let counter = places.filter(|((of, _), _)| *of == what).map(|(_, counter)| counter).next();
        counter.map(|counter| counter.fetch_add(count as u64, Ordering::Relaxed));
    }

    /// What was shed so far, by name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let places = Shed::ALL.iter().zip(&self.shed);
        places.map(|((_, name), counter)| (*name, counter.load(Ordering::Relaxed)))
    }

    /// The level of the last look.
    pub fn level(&self) -> Level {
        self.load.borrow().level
    }

    /// The bytes that it found used.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_follows_what_is_used() {
        let overload = Overload::new(None, 2);
        let mut loads = overload.subscribe();
        for (used, level, excess) in [
            (0, Level::None, 0),
            (799, Level::None, 0),
            (800, Level::Trim, 0),
            (899, Level::Trim, 0),
            (900, Level::Shed, 0),
            (950, Level::Reset, 0),
            (970, Level::Reset, 10),
            (1_000, Level::Reset, 25),
            (2_000, Level::Reset, 525),
            (500, Level::None, 0),
        ] {
            overload.note(used, 1_000);
            assert_eq!((overload.level(), overload.used()), (level, used));
            if loads.has_changed().expect("it lives") {
                let load = *loads.borrow_and_update();
                assert_eq!((load.level, load.excess), (level, excess), "{used}");
            }
        }
    }

    #[test]
    fn every_look_at_a_high_level_is_told_and_none_at_a_low_one() {
        let overload = Overload::default();
        let mut loads = overload.subscribe();
        for (used, is_told) in [(1, false), (96, true), (96, true), (1, true), (1, false)] {
            overload.note(used, 100);
            assert_eq!(loads.has_changed().expect("it lives"), is_told, "{used}");
            loads.mark_unchanged();
        }
        overload.count(Shed::Request, 2);
        assert!(overload.counts().any(|counted| counted == ("request", 2)));
    }
}
