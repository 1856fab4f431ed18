//! What the process uses, what it may use, and what was lost.

use prometheus_client::encoding::DescriptorEncoder;

use super::{Encoded, Labels, counters, gauges};
use crate::life::Overload;
use crate::observe::process::Process;

pub(super) fn encode(
    lost_lines: u64,
    limits: &[(&'static str, f64)],
    encoder: &mut DescriptorEncoder<'_>,
) -> Encoded {
    let one = |value: u64| [(Labels::new(), value)].into_iter();
    let panics = one(crate::life::task_panics());
    counters(encoder, "rutter_panics", "Tasks that panicked", None, panics)?;
    let lost = one(lost_lines);
    counters(encoder, "rutter_access_log_lost_lines", "Lines not written", None, lost)?;
    let series = limits.iter().map(|(name, value)| (vec![("name", (*name).to_owned())], *value));
    let help = "Limits as --limit sets them, in seconds, bytes, percent or by count";
    gauges(encoder, "rutter_limit", help, series)?;
    let Some(process) = Process::read() else { return Ok(()) };
    let rows = [
        ("process_cpu_seconds_total", "User and system CPU time", process.cpu_seconds),
        ("process_resident_memory_bytes", "Resident memory", process.resident_bytes as f64),
        ("process_open_fds", "Open file descriptors", process.open_descriptors as f64),
        ("process_max_fds", "Limit of file descriptors", process.max_descriptors as f64),
    ];
    rows.into_iter().try_for_each(|(name, help, value)| {
        gauges(encoder, name, help, [(Labels::new(), value)].into_iter())
    })
}

pub(super) fn encode_overload(overload: &Overload, encoder: &mut DescriptorEncoder<'_>) -> Encoded {
    let one = |value: f64| [(Labels::new(), value)].into_iter();
    let help = "What is done about memory: 1 idle connections are closed, 2 what is new is refused, \
                3 what holds most is reset";
    gauges(encoder, "rutter_overload_level", help, one(f64::from(overload.level() as u8)))?;
    let help = "Memory that counts against its limit; 0 where there is none";
    gauges(encoder, "rutter_memory_bytes", help, one(overload.used() as f64))?;
    let series = overload.counts().map(|(what, count)| (vec![("what", what.to_owned())], count));
    counters(encoder, "rutter_shed", "What was given up to save memory", None, series)
}
