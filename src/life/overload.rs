//! How near memory is to its end, and what is shed before it is reached.
//!
//! One task of the control thread looks; workers are woken when there is something to shed, and
//! know the level of the last look.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::Memory;

/// What is done to keep below the limit of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    #[default]
    None,
    /// What is idle is closed, and connections end with their next response.
    Trim,
    /// What is new is refused as well.
    Shed,
    /// What holds most is reset as well.
    Reset,
}

/// From how many percent of memory on each level is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Of [`Level::Trim`].
    pub trim: u32,
    /// Of [`Level::Shed`].
    pub shed: u32,
    /// Of [`Level::Reset`].
    pub reset: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self { trim: 80, shed: 90, reset: 95 }
    }
}

impl Thresholds {
    /// Whether a higher level does not come before a lower one.
    pub fn are_in_order(self) -> bool {
        self.trim <= self.shed && self.shed <= self.reset
    }

    fn level(self, percent: u128) -> Level {
        let levels =
            [(self.reset, Level::Reset), (self.shed, Level::Shed), (self.trim, Level::Trim)];
        let reached = levels.into_iter().find(|(from, _)| percent >= u128::from(*from));
        reached.map_or(Level::None, |(_, level)| level)
    }
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
    thresholds: Thresholds,
    workers: u64,
    used: AtomicU64,
    load: watch::Sender<Load>,
    shed: [AtomicU64; Shed::ALL.len()],
}

impl Overload {
    /// Without memory, nothing is shed.
    pub fn new(memory: Option<Memory>, thresholds: Thresholds, workers: usize) -> Self {
        Self { memory, thresholds, workers: workers as u64, ..Self::default() }
    }

    /// Looks again and again; a drain needs memory too.
    pub async fn watch(&self) {
        let Some(memory) = &self.memory else { return };
        loop {
            if let Some(used) = memory.used() {
                self.note(used, memory.limit());
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// A look has found so much memory used.
    pub fn note(&self, used: u64, limit: u64) {
        self.used.store(used, Ordering::Relaxed);
        let percent = u128::from(used) * 100 / u128::from(limit.max(1));
        let level = self.thresholds.level(percent);
        let most = limit / 100 * u64::from(self.thresholds.reset);
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
        let overload = Overload::new(None, Thresholds::default(), 2);
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
    fn levels_begin_where_they_are_said_to() {
        let thresholds = Thresholds { trim: 50, shed: 50, reset: 100 };
        let overload = Overload::new(None, thresholds, 1);
        for (used, level) in
            [(49, Level::None), (50, Level::Shed), (99, Level::Shed), (100, Level::Reset)]
        {
            overload.note(used, 100);
            assert_eq!(overload.level(), level, "{used}");
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
