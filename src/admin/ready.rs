//! Readiness, check by check.

use crate::life::Phase;
use crate::plane::listeners::Unbound;
use crate::snapshot::Generation;
use crate::store::Status;

/// One line of `/readyz?verbose`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    /// Whether the process is unready while this one fails. What is stale or unbound is shown, but
    /// sending traffic elsewhere would not help it: everything else serves.
    pub(super) decides: bool,
    pub(super) detail: String,
}

pub(super) fn checks(
    phase: Phase,
    status: &Status,
    applied: Generation,
    unbound: &[Unbound],
) -> Vec<Check> {
    let check = |name, passed, decides, detail| Check { name, passed, decides, detail };
    let unbound_lines: Vec<&str> = unbound.iter().map(|unbound| &*unbound.message).collect();
    vec![
        check("serving", phase == Phase::Serving, true, format!("the phase is {phase:?}")),
        check("applied", applied > Generation(0), true, format!("generation {applied}")),
        check(
            "fresh",
            status.stale == 0,
            false,
            format!("{} stale objects: their text is broken, see /report", status.stale),
        ),
        check("listening", unbound.is_empty(), false, unbound_lines.join("; ")),
    ]
}

pub(super) fn text(checks: &[Check], is_ready: bool, is_verbose: bool) -> String {
    let mut text = String::new();
    for check in checks.iter().filter(|_| is_verbose) {
        let (sign, end) = if check.passed { ('+', "ok") } else { ('-', check.detail.as_str()) };
        text += &format!("[{sign}] {}: {end}\n", check.name);
    }
    text + if is_ready { "ready\n" } else { "not ready\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stale_is_shown_but_keeps_nobody_away() {
        let status = Status { stale: 2, ..Status::default() };
        let checks = checks(Phase::Serving, &status, Generation(1), &[]);
        assert!(checks.iter().all(|check| check.passed || !check.decides));
        let text = text(&checks, true, true);
        assert!(text.contains("[-] fresh: 2 stale objects"), "{text}");
        assert!(text.ends_with("ready\n"));
    }

    #[test]
    fn nobody_is_ready_before_the_first_generation_or_while_draining() {
        let status = Status::default();
        for (phase, generation) in [(Phase::Syncing, 0), (Phase::Draining, 1)] {
            let checks = checks(phase, &status, Generation(generation), &[]);
            assert!(checks.iter().any(|check| check.decides && !check.passed));
        }
    }
}
