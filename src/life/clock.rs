//! The time, read once a turn.
//!
//! A task does what it can and then waits: a turn of it takes microseconds. A request asks for the time
//! at every step, and each reading costs about as much as a look-up of its route; HAProxy and nginx read
//! the clock once a loop for the same reason.

use std::cell::Cell;

use tokio::time::Instant;

thread_local! {
    static TURN: Cell<Turn> = const { Cell::new(Turn::None) };
}

/// What is known of the time.
#[derive(Clone, Copy)]
enum Turn {
    /// No task of ours has its turn.
    None,
    /// One has, and nobody has asked yet.
    Unasked,
    Asked(Instant),
}

/// When the task that runs first asked in this turn; without a task, the time of now. Good for time-outs
/// and for how long a request takes, not for how long a piece of code takes.
pub fn now() -> Instant {
    match TURN.get() {
        Turn::None => Instant::now(),
        Turn::Unasked => {
            let now = Instant::now();
            TURN.set(Turn::Asked(now));
            now
        }
        Turn::Asked(now) => now,
    }
}

/// Gives a task its turn.
pub(super) fn turn<T>(act: impl FnOnce() -> T) -> T {
    let _end = End;
    TURN.set(Turn::Unasked);
    act()
}

/// Ends a turn, also by a panic.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        TURN.set(Turn::None);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_time_stands_still_within_a_turn_and_in_no_other() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let task = crate::life::spawn_local("test", async move {
                    assert_eq!(now(), start);
                    tokio::time::sleep(second).await;
                    assert_eq!(now(), start + second);
                    assert_eq!(now(), start + second);
                });
                task.await.expect("it must not panic");
                assert_eq!(now(), start + second);
                tokio::time::advance(second).await;
                assert_eq!(now(), start + second * 2);
            })
            .await;
        let panicked = std::panic::catch_unwind(|| turn(|| panic!("a turn that ends so")));
        assert!(panicked.is_err() && matches!(TURN.get(), Turn::None));
        turn(|| {
            let begun = now();
            std::thread::yield_now();
            assert_eq!(now(), begun);
        });
    }
}
