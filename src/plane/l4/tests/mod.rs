//! Shares of the traffic, over real sockets.

mod affinity;
mod client_address;
mod fuzz;
mod memory;
mod policy;
mod sessions;
mod tcp;
mod udp;
mod udp_sockets;

use std::rc::Rc;
use std::sync::Arc;

use crate::plane::l4::udp::Carrier;
use crate::plane::tests::{Core, failed_share, frontend, share};
use crate::snapshot::{Backend, Frontend, Reason, WeightedBackend};

/// A share of a test: who gets it, and its weight.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// A backend, by its place.
    Backend(usize, u32),
    /// Nobody, for this reason.
    Failed(Reason, u32),
}

use Part::{Backend as To, Failed};

/// Shares, and what of a hundred units of work each backend gets.
const TABLE: [(&[Part], [u32; 2]); 8] = [
    (&[To(0, 1)], [100, 0]),
    (&[To(0, 1), To(1, 1)], [50, 50]),
    (&[To(0, 70), To(1, 20), To(0, 10)], [80, 20]),
    (&[To(0, 0), To(1, 3)], [0, 100]),
    (&[To(0, 1), Failed(Reason::InvalidBackend, 1)], [50, 0]),
    (&[To(0, 1), Failed(Reason::InvalidBackend, 0), To(1, 3)], [25, 75]),
    (&[Failed(Reason::InvalidBackend, 9), To(1, 1)], [0, 10]),
    (&[To(0, 0), To(1, 0)], [0, 0]),
];

/// What carries the UDP of a worker.
fn carrier(core: &Core) -> Rc<Carrier> {
    Carrier::new(core.local.clone(), 1000, 1000)
}

fn frontend_of(parts: &[Part], backends: &[Arc<Backend>; 2]) -> Arc<Frontend> {
    let share = |part: &Part| -> WeightedBackend {
        match part {
            To(place, weight) => share(*weight, backends[*place].clone()),
            Failed(reason, weight) => failed_share(*weight, *reason),
        }
    };
    frontend(parts.iter().map(share).collect())
}

/// Why what no backend gets is refused.
fn refusal(parts: &[Part]) -> Reason {
    let is_weighted = |part: &&Part| matches!(part, To(_, 1..) | Failed(_, 1..));
    if parts.iter().any(|part| is_weighted(&part)) {
        Reason::InvalidBackend
    } else {
        Reason::NoService
    }
}

/// Counts are within five points of what they should be, and nothing is lost.
fn check(parts: &[Part], counts: [u64; 3], expected: [u32; 2]) {
    let total: u64 = counts.iter().sum();
    let refused = 100 - expected[0] - expected[1];
    for (count, expected) in counts.into_iter().zip([expected[0], expected[1], refused]) {
        let percent = count * 100 / total;
        let is_near = percent.abs_diff(u64::from(expected)) <= 5;
        let is_exact = !matches!(expected, 0 | 100) || percent == u64::from(expected);
        assert!(is_near && is_exact, "{parts:?}: {counts:?}");
    }
}
